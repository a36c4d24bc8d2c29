"""What a colcon build installs: executables on PATH, which run with the Python that colcon itself ran with."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[1]
EXECUTABLES = ("policy_node", "eval_policy", "export_policy", "draft_robot", "bag_to_dataset", "triton_server")
TIMEOUT_S = 300.0

pytestmark = pytest.mark.skipif(importlib.util.find_spec("colcon_core") is None, reason="colcon is not installed here")


@pytest.fixture(scope="module")
def install(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The install folder of `python -m colcon build`, as the quickstart has it."""
    folder = tmp_path_factory.mktemp("workspace")
    build = [sys.executable, "-m", "colcon", "--log-base", str(folder / "log"), "build", "--base-paths", str(PROJECT)]
    build += ["--packages-select", "act_inference_ros", "--build-base", str(folder / "build")]
    build += ["--install-base", str(folder / "install")]
    done = subprocess.run(build, cwd=folder, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "install"


def test_the_executables_are_on_the_path_of_a_workspace(install: Path) -> None:
    found = subprocess.run(
        ["bash", "-c", f'source "$0" && command -v {" ".join(EXECUTABLES)}', str(install / "setup.bash")],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    folder = install / "act_inference_ros" / "lib" / "act_inference_ros"
    assert found.stdout.split() == [str(folder / name) for name in EXECUTABLES], found.stderr


def test_they_run_with_the_python_that_built_them(install: Path) -> None:
    for name in EXECUTABLES:
        script = install / "act_inference_ros" / "lib" / "act_inference_ros" / name
        first = script.read_text().splitlines()[0]
        assert first == f"#!{sys.executable}"
