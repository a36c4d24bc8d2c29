"""A test run fails if it leaves anything behind, and says what and since when."""

import contextlib
import os
import signal
import subprocess
import sys
import textwrap
import uuid
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[1]
NAME = f"act_leftover_{uuid.uuid4().hex}"
SHARED = Path("/dev/shm") / NAME  # noqa: S108
needs_shared_memory = pytest.mark.skipif(not SHARED.parent.is_dir(), reason="no /dev/shm here")


def run_tests(directory: Path, text: str) -> subprocess.CompletedProcess[str]:
    """A test run of its own, on one file."""
    (directory / "test_tiny.py").write_text(textwrap.dedent(text))
    command = [sys.executable, "-m", "pytest", "-q", "-p", "test.conftest", "-p", "no:cacheprovider", "test_tiny.py"]
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
    return subprocess.run(command, cwd=directory, env=environment, capture_output=True, text=True, timeout=90.0)


@needs_shared_memory
def test_what_a_test_leaves_behind_fails_the_run_and_is_named(tmp_path: Path) -> None:
    text = f"""
        import pathlib, subprocess, sys, tempfile
        def test_leaves_much():
            pathlib.Path("{SHARED}").touch()
            tempfile.mkdtemp(prefix="forgotten_")
            started = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True)
            pathlib.Path("pid").write_text(str(started.pid))
    """
    try:
        run = run_tests(tmp_path, text)
    finally:
        SHARED.unlink(missing_ok=True)
        with contextlib.suppress(ProcessLookupError):
            os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)
    assert run.returncode == 1, run.stdout
    assert f"{SHARED} (first seen after test_tiny.py)" in run.stdout
    assert "/forgotten_" in run.stdout
    assert "time.sleep(60) (first seen after test_tiny.py)" in run.stdout


@needs_shared_memory
def test_what_another_program_uses_meanwhile_does_not(tmp_path: Path) -> None:
    program = f"""if True:
        import os, time
        while not os.path.exists("begun"):
            time.sleep(0.01)
        file = open("{SHARED}", "w")
        time.sleep(60)
    """
    foreign = {name: value for name, value in os.environ.items() if not name.startswith("ACT_INFERENCE_ROS_TEST")}
    text = f"""
        import pathlib, time
        def test_waits():
            pathlib.Path("begun").touch()
            end = time.monotonic() + 60
            while not pathlib.Path("{SHARED}").exists() and time.monotonic() < end:
                time.sleep(0.01)
    """
    with contextlib.ExitStack() as stack:
        stack.callback(SHARED.unlink, missing_ok=True)
        other = stack.enter_context(subprocess.Popen([sys.executable, "-c", program], cwd=tmp_path, env=foreign))
        stack.callback(other.kill)
        run = run_tests(tmp_path, text)
    assert run.returncode == 0, run.stdout


def test_a_clean_run_passes(tmp_path: Path) -> None:
    text = """
        import subprocess, sys
        def test_cleans(tmp_path):
            (tmp_path / "of pytest").touch()
            subprocess.run([sys.executable, "-c", ""], check=True)
    """
    run = run_tests(tmp_path, text)
    assert run.returncode == 0, run.stdout
