"""Ctrl-C while an executable is still importing its modules ends it at once, without a traceback."""

import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[1]
ENTRY_POINTS = dict(re.findall(r'"(\w+) = ([\w.]+:\w+)"', (PROJECT / "setup.py").read_text()))
NODES = ("policy_node", "replay_bag", "sim_robot")
_STALLED = """
import sys, time

class Stalled:
    def find_spec(self, name, path=None, target=None):
        if name == {program!r}:
            print("importing", flush=True)
            time.sleep(60)

sys.meta_path.insert(0, Stalled())
from {module} import {function} as main
sys.argv = [{name!r}]
sys.exit(main())
"""


def test_every_executable_is_known() -> None:
    from act_inference_ros.program.executables import EXECUTABLES

    assert set(ENTRY_POINTS) == set(EXECUTABLES)
    for executable in EXECUTABLES.values():
        path = PROJECT / f"{executable.module.replace('.', '/')}.py"
        assert "\ndef main(" in path.read_text(), path


@pytest.mark.parametrize("name", ENTRY_POINTS)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_during_the_import_ends_it_without_a_traceback(name: str, number: int) -> None:
    from act_inference_ros.program.executables import EXECUTABLES

    module, _, function = ENTRY_POINTS[name].partition(":")
    code = _STALLED.format(program=EXECUTABLES[name].module, module=module, function=function, name=name)
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=PROJECT, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "importing\n"
            process.send_signal(number)
            _, errors = process.communicate(timeout=20.0)
        finally:
            process.kill()
    assert errors == ""
    assert process.returncode == (0 if name in NODES else 128 + number)


def test_what_an_entry_point_imports_before_it_heeds_signals_is_little() -> None:
    code = (
        "import sys; before = set(sys.modules); import act_inference_ros.program.executables; "
        "print(*sorted({name.partition('.')[0] for name in set(sys.modules) - before}))"
    )
    found = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, timeout=60.0)
    assert not {"numpy", "rclpy", "torch", "cv2", "rosbags"} & set(found.stdout.split()), found.stdout
    assert "act_inference_ros" in found.stdout


def test_the_package_gives_what_it_always_gave() -> None:
    code = "from act_inference_ros import *; import act_inference_ros as p; print(InferenceClient, p.PolicySpec)"
    found = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, timeout=60.0)
    assert found.stdout.count("<class 'act_inference_ros.") == 2, found.stderr
    code = "import act_inference_ros; act_inference_ros.Nothing"
    found = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, timeout=60.0)
    assert "AttributeError: module 'act_inference_ros' has no attribute 'Nothing'" in found.stderr
