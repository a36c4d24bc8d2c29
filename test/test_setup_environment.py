"""deploy/setup_environment.sh on machines that are not as it would like them: one line each, and what to do.

It runs in a copy of what it reads, with empty lists of requirements, and with a stand-in for MuJoCo.
"""

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[1]
TIMEOUT_S = 300.0
READY = "[setup] ready"
AGAIN = "[setup] .venv is not whole, or was made in another place: it is made again"
_FILES = (
    "setup.py",
    "setup.cfg",
    "pyproject.toml",
    "package.xml",
    "deploy/constraints.txt",
    "deploy/setup_environment.sh",
)
_NEEDED = ("setuptools", "pkg_resources", "_distutils_hack")
"""Of this environment, for the editable install: from Python 3.12 on a new environment has them no more."""


def made_in(tmp_path: Path) -> Path:
    """A checkout without requirements, in a folder whose name has spaces."""
    folder = tmp_path / "a folder" / "check out"
    (folder / "deploy").mkdir(parents=True)
    for file in _FILES:
        shutil.copy(PROJECT / file, folder / file)
    for path in (PROJECT / "deploy").glob("requirements*.txt"):
        (folder / "deploy" / path.name).touch()
    (folder / "act_inference_ros").mkdir()
    (folder / "act_inference_ros" / "__init__.py").touch()
    (folder / "resource").mkdir()
    (folder / "resource" / "act_inference_ros").touch()
    stubs = tmp_path / "stubs"
    stubs.mkdir()
    (stubs / "mujoco.py").write_text("class GLContext:\n    def __init__(self, *size): ...\n    def free(self): ...\n")
    for name in _NEEDED:
        specification = importlib.util.find_spec(name)
        if specification is not None and specification.origin is not None:
            (stubs / name).symlink_to(Path(specification.origin).parent)
    return folder


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    return made_in(tmp_path)


@pytest.fixture(scope="module")
def homeless(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """A checkout that is set up where HOME cannot be written, and what that said: an environment takes its time."""
    folder = made_in(tmp_path_factory.mktemp("homeless"))
    return folder, set_up(folder, HOME="/proc/none")


def set_up(checkout: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    stubs = checkout.parents[1] / "stubs"
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ROS_", "PIP_", "PYTHON"))}
    return subprocess.run(
        ["bash", str(checkout / "deploy" / "setup_environment.sh"), "run"],
        env={**kept, "PYTHON": sys.executable, "PYTHONPATH": str(stubs), "PIP_NO_INDEX": "1", **environment},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )


def assert_refused(done: subprocess.CompletedProcess[str], *said: str) -> None:
    """Exit status, and one line that says all of this."""
    assert done.returncode == 2
    [line] = done.stderr.splitlines()
    for words in said:
        assert words in line


def program(path: Path, *lines: str) -> str:
    path.write_text("\n".join(["#!/bin/sh", *lines, ""]))
    path.chmod(0o755)
    return str(path)


def test_it_sets_up_once_in_a_path_with_spaces_and_again_where_it_was_cut_short_or_moved(checkout: Path) -> None:
    first = set_up(checkout)
    assert READY in first.stdout, first.stderr
    assert AGAIN not in first.stdout
    assert set_up(checkout).stdout == ""

    for path in (checkout / ".venv" / "lib").glob("python*/site-packages/pip*"):  # the venv was made to here
        shutil.rmtree(path)
    cut_short = set_up(checkout)
    assert AGAIN in cut_short.stdout
    assert READY in cut_short.stdout, cut_short.stderr

    moved = checkout.with_name("moved")
    checkout.rename(moved)
    there = set_up(moved)
    assert AGAIN in there.stdout
    assert READY in there.stdout, there.stderr
    script = (moved / ".venv" / "bin" / "policy_node").read_text()
    assert str(moved) in script
    assert str(checkout) not in script


def test_a_home_that_cannot_be_written_does_not_matter(
    homeless: tuple[Path, subprocess.CompletedProcess[str]],
) -> None:
    assert READY in homeless[1].stdout, homeless[1].stderr


def test_a_python_that_is_too_old_is_refused(checkout: Path, tmp_path: Path) -> None:
    old = program(tmp_path / "python3.9", 'if [ "$1" = --version ]; then echo Python 3.9.18; else exit 1; fi')
    assert_refused(
        set_up(checkout, PYTHON=old), "expected Python 3.10 to 3.14", f"PYTHON={old} (Python 3.9.18)", "set "
    )


def test_a_python_that_is_not_there_is_refused(checkout: Path) -> None:
    assert_refused(
        set_up(checkout, PYTHON="/no/python"),
        "expected Python 3.10",
        "PYTHON=/no/python, which is not there",
        "set PYTHON",
    )


def test_a_python_without_venv_is_refused(checkout: Path, tmp_path: Path) -> None:
    without = program(tmp_path / "python", f'case "$*" in *venv*) exit 1;; *) exec "{sys.executable}" "$@";; esac')
    (tmp_path / "bin").mkdir()
    program(tmp_path / "bin" / "dpkg-query", "echo install ok installed")  # nothing may be installed here
    path = f"{tmp_path / 'bin'}:{os.environ['PATH']}"
    assert_refused(set_up(checkout, PYTHON=without, PATH=path), "has no module venv", "apt-get install python3-venv")


def test_a_machine_without_a_network_is_told(homeless: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    checkout = homeless[0]
    (checkout / "deploy" / "requirements.txt").write_text("no-such-package-of-act-inference-ros\n")
    done = set_up(checkout, PIP_NO_INDEX="0", PIP_INDEX_URL="http://127.0.0.1:9/simple", PIP_RETRIES="1")
    assert_refused(done, "the package index cannot be reached", "connect to the network")


def test_a_package_that_is_not_to_be_had_is_named(homeless: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    checkout = homeless[0]
    (checkout / "deploy" / "requirements.txt").write_text("no-such-package-of-act-inference-ros\n")
    assert_refused(set_up(checkout), "could not install", "no-such-package-of-act-inference-ros")


def test_a_ros_that_is_for_another_python_is_told(checkout: Path) -> None:
    stub = checkout.parents[1] / "stubs" / "rclpy.py"
    stub.write_text("raise ImportError('made for another Python')\n")
    assert_refused(set_up(checkout, ROS_DISTRO="jazzy"), "cannot import rclpy of ROS 2 jazzy", "set PYTHON")
