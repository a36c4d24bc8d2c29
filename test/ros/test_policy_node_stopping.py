"""However the node is told to stop, the last thing each controller hears is to hold, soon, and nothing after it."""

import ctypes
import importlib.util
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from act_inference_ros.program import shared_memory
from test.leftovers import FOR_EVER
from test.ros.policy_node_stand import Stand, running_policy_node
from test.ros.policy_stand_in import Behaviour, Options
from test.ros.robot_stand_in import ends_at, is_hold, seconds, told_at
from test.ros.ros_helpers import NodeProcess, wait_until

PROMISE_S = 0.2
"""The arm must be at rest within this time after the signal, s."""
needs_torch = pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="torch is not installed")
FROZEN_S = 1.3
"""How long a controller does not listen, s: longer than the node waits for its own threads when it ends."""
WAKE_S = 0.3
"""How long a loaded machine may take to wake a thread and deliver a message."""


def deactivate(stand: Stand) -> None:
    assert stand.transition("deactivate")


def interrupt(stand: Stand) -> None:
    stand.node.send(signal.SIGINT)


def terminate(stand: Stand) -> None:
    stand.node.send(signal.SIGTERM)


def terminate_by_way_of_a_library(stand: Stand) -> None:
    """Send SIGTERM to a thread of a library: the system may do so while the main thread is busy."""
    pid = stand.node._process.pid
    threads = sorted(int(thread) for thread in os.listdir(f"/proc/{pid}/task"))
    unblocked = next(thread for thread in threads if thread != pid and not blocks(pid, thread, signal.SIGTERM))
    assert ctypes.CDLL(None).tgkill(pid, unblocked, int(signal.SIGTERM)) == 0


def blocks(pid: int, thread: int, number: int) -> bool:
    status = Path(f"/proc/{pid}/task/{thread}/status").read_text()
    mask = next(line.split()[1] for line in status.splitlines() if line.startswith("SigBlk"))
    return bool(int(mask, 16) >> (number - 1) & 1)


@pytest.mark.parametrize("stop", [deactivate, interrupt, terminate, terminate_by_way_of_a_library])
def test_stopping_holds_where_the_arm_had_been_told_to_be(tmp_path: Path, stop: Callable[[Stand], None]) -> None:
    with running_policy_node(tmp_path) as stand:
        robot = stand.robot
        robot.wait_for_command("arm", time.time(), count=10)
        at = time.time()
        stop(stand)
        hold = wait_until(lambda: last_if_hold(robot.commanded("arm")), 10.0, "no hold")
        if stop is not deactivate:
            assert stand.node.wait(10.0) == 0
        robot.wait_for_frames(15)
    *moving, last = robot.commanded("arm")
    assert last is hold
    assert at_rest(hold) - at < PROMISE_S + WAKE_S
    stamp = seconds(hold.header.stamp)
    told, later = (np.array(told_at(moving, [0.0] * 5, stamp + since)) for since in (0.0, 1e-4))
    braking_s = at_rest(hold) - stamp
    # It brakes evenly from the velocity that it has at its stamp.
    rest = told + (later - told) / 1e-4 * braking_s / 2.0
    assert list(hold.points[-1].positions) == pytest.approx(rest, abs=1e-4)
    assert list(hold.points[-1].velocities) == [0.0] * 5
    *_, before, repeated = robot.commanded("gripper")
    assert repeated.data == pytest.approx(before.data, abs=5e-3)  # at rest
    assert robot.commands["gripper"][-1].time - at < PROMISE_S + WAKE_S
    assert "Traceback" not in stand.node.text


@pytest.mark.parametrize("torch", [False, pytest.param(True, marks=needs_torch)])
def test_a_chunk_still_being_computed_when_the_node_stops_is_not_obeyed(tmp_path: Path, torch: bool) -> None:
    with running_policy_node(tmp_path, policy=Options(slow_s=4.0, torch=torch)) as stand:
        robot = stand.robot
        robot.wait_for_command("arm", time.time(), count=2)
        with robot.order("front", Behaviour.SLOW):
            robot.wait_for_frames(9)  # the slow chunk is under way, its plan not run out
            assert stand.node.stop(signal.SIGINT) == 0
            stopped = time.time()
        # The last message may still be under way when the node has ended. On a loaded machine the plan runs out first:
        # its last trajectory comes to rest by itself, and there is nothing left to say.
        wait_until(
            lambda: is_hold(robot.commanded("arm")[-1]) or ends_at(robot.commanded("arm")[-1]) < stopped,
            10.0,
            "the last command is no hold",
        )
        assert "Traceback" not in stand.node.text
        assert "rror" not in stand.node.text
        assert "terminate" not in stand.node.text  # what torch prints when the interpreter ends while it computes


def test_a_controller_that_does_not_listen_for_a_moment_still_hears_the_last_command(tmp_path: Path) -> None:
    with running_policy_node(tmp_path) as stand:
        output = tmp_path / "arm_listener.txt"
        with NodeProcess.module("test.ros.arm_listener", environment=stand.node.environment, output=output) as listener:
            listener.wait_for_line("motion")
            listener.send(signal.SIGSTOP)
            stand.node.send(signal.SIGINT)
            time.sleep(FROZEN_S)
            # The node waits: a subscriber that is told that the node is gone drops messages that are under way.
            assert stand.node.returncode is None
            listener.send(signal.SIGCONT)
            assert stand.node.wait(10.0) == 0
            # On a loaded machine the plan may come to rest as soon as a hold would, and then nothing more is said.
            said = "hold" if is_hold(stand.robot.commanded("arm")[-1]) else "motion"
            wait_until(lambda: listener.text.splitlines()[-1] == said, 10.0, f"it did not hear the last {said}")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_the_policy_is_being_loaded_ends_the_node(tmp_path: Path, number: int) -> None:
    with running_policy_node(tmp_path, policy=Options(load_s=3.0), wait=None) as stand:
        wait_until(lambda: stand.participant.node.count_publishers("/diagnostics"), 20.0)
        assert stand.node.stop(number) == 0
        assert "Traceback" not in stand.node.text


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("slow_s", [0.0, 6.0], ids=["idle", "computing"])
def test_nothing_is_left_in_shared_memory(tmp_path: Path, number: int, slow_s: float) -> None:
    with running_policy_node(tmp_path, policy=Options(slow_s=slow_s)) as stand:
        stand.robot.wait_for_command("arm", time.time(), count=2)
        with stand.robot.order("front", Behaviour.SLOW):
            stand.robot.wait_for_frames(9)  # the slow chunk, if any, is under way
            used = own_shared_memory(stand)
            assert stand.node.stop(number) == 0
    assert used
    assert [name for name in used if Path("/dev/shm", name).exists()] == []  # noqa: S108


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_the_policy_is_being_loaded_leaves_nothing_in_shared_memory(tmp_path: Path, number: int) -> None:
    with running_policy_node(tmp_path, policy=Options(load_s=6.0), wait=None) as stand:
        wait_until(lambda: stand.participant.node.count_publishers("/diagnostics"), 20.0)
        used = own_shared_memory(stand)
        assert stand.node.stop(number) == 0
    assert used
    assert [name for name in used if Path("/dev/shm", name).exists()] == []  # noqa: S108


def own_shared_memory(stand: Stand) -> set[str]:
    """Names in /dev/shm that the node uses, but neither this process nor participants of other programs."""
    used = shared_memory.in_use_by(stand.node._process.pid) - shared_memory.in_use_by(os.getpid())
    return {name for name in used if not name.startswith(FOR_EVER)}


def at_rest(hold: Any) -> float:
    return seconds(hold.header.stamp) + seconds(hold.points[-1].time_from_start)


def last_if_hold(trajectories: list[Any]) -> Any:
    return trajectories[-1] if is_hold(trajectories[-1]) else None
