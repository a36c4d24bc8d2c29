"""policy_node and its inference process, with a real checkpoint: whichever of them is killed, the arm comes to rest."""

import math
import os
import shutil
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.qos import DurabilityPolicy, QoSProfile
from safetensors.numpy import load_file, save_file

from act_inference_ros.inference.backend import ISOLATION, RESTARTS
from act_inference_ros.policy.checkpoint_files import WEIGHTS_FILE
from test.inference.isolation_helpers import children_of, wait_until_gone
from test.program.test_scheduling import needs_permission
from test.ros.policy_node_stand import Stand, robot_parameters, running_policy_node
from test.ros.policy_stand_in import Behaviour, Options
from test.ros.robot_stand_in import JOINTS, ends_at, is_hold, seconds
from test.ros.ros_helpers import PROJECT, wait_until

sys.path.append(str(PROJECT / "test"))
from golden_fill import build_checkpoint  # type: ignore[import-not-found]  # on the path since the line above

pytest.importorskip("torch")
PLAN_AGE_S = 3.0
LOAD_S = 90.0
"""How long starting the inference process, which imports PyTorch, may take on a busy machine."""
KEPT = QoSProfile(depth=100, durability=DurabilityPolicy.TRANSIENT_LOCAL)
PARAMETERS: dict[str, Any] = {
    "fps": 5.0, "inference_rate": 3.0, "max_age": 2.0, "max_plan_age": PLAN_AGE_S, "resume_within": 600.0,
    **{f"joint__{joint}__max_deviation": math.inf for joint in JOINTS},
}  # fmt: skip
"""A slow machine must not make the arm hold, and loading the policy may take longer than a hold usually lasts."""


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("checkpoint")
    build_checkpoint(str(PROJECT / "test" / "data" / "golden" / "a_small_1cam"), str(directory))
    return directory


@pytest.fixture(scope="module")
def shared(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    parameters = robot_parameters(**PARAMETERS)
    with running_policy_node(tmp_path_factory.mktemp("node"), parameters, checkpoint, wait=None) as stand:
        stand.node.wait_for_line("commanding", LOAD_S)
        yield stand


@pytest.fixture
def stand(shared: Stand) -> Stand:
    shared.start_afresh()
    return shared


def inference_processes(stand: Stand) -> list[int]:
    """The processes in which the node computes."""
    return [
        pid
        for pid in children_of(stand.node._process.pid)
        if b"engine_process" in Path(f"/proc/{pid}/cmdline").read_bytes()
    ]


def inference_process(stand: Stand) -> int:
    (pid,) = wait_until(lambda: inference_processes(stand), LOAD_S, "there is no inference process")
    return int(pid)


def kill(pid: int) -> None:
    """Kill it as the kernel does when memory has run out; `test_isolation_faults.py` tests a refused allocation."""
    os.kill(pid, signal.SIGKILL)


def stop(pid: int) -> None:
    os.kill(pid, signal.SIGSTOP)


def priorities(pid: int) -> dict[int, int]:
    """Thread of a process -> its real-time priority; 0: none."""
    threads = [int(task.name) for task in Path(f"/proc/{pid}/task").iterdir()]
    return {thread: os.sched_getparam(thread).sched_priority for thread in threads}


def value(status: Any, key: str) -> str:
    return next((str(pair.value) for pair in status.values if pair.key == key), "")


@pytest.mark.parametrize(
    ("befall", "reason"),
    [
        (
            kill,
            "the inference process was killed by SIGKILL, perhaps because memory ran out; it is being started again",
        ),
        (stop, "the inference process was ended: it had been stopped for "),
    ],
)
def test_a_fault_of_the_inference_process_holds_the_arm_with_a_reason_until_a_new_one_computes(
    stand: Stand, befall: Callable[[int], None], reason: str
) -> None:
    robot = stand.robot
    statuses = stand.participant.collect(DiagnosticStatus, "/policy_node/status", KEPT)
    before = inference_process(stand)
    restarts = int(value(robot.wait_for_diagnosis("commanding"), RESTARTS))
    began = time.time()
    befall(before)

    wait_for_detail(statuses, reason)
    seen = time.time()
    plans = [message for message in robot.commanded("arm", began) if not is_hold(message)]
    # By the messages alone, however slow the machine: at rest as long as nothing new is said.
    assert max(map(ends_at, plans), default=0.0) <= newest_observation(stand, seen) + PLAN_AGE_S + 1e-3
    wait_until_gone(before)
    robot.wait_for_command("arm", seen, count=2, deadline_s=LOAD_S)
    assert inference_process(stand) != before
    assert stand.node.returncode is None
    assert "Traceback" not in stand.node.text
    after = robot.wait_for_diagnosis("commanding", LOAD_S)
    assert int(value(after, RESTARTS)) > restarts
    assert f"process {inference_process(stand)}, niceness 5" in value(after, ISOLATION)


def wait_for_detail(statuses: list[Any], expected: str) -> None:
    """Wait until the node has said that it holds, with this detail."""

    def said() -> list[str]:
        return [value(each, "detail") for each in list(statuses) if each.message == "holding"]

    try:
        wait_until(lambda: any(expected in each for each in said()), LOAD_S)
    except AssertionError as error:
        raise AssertionError(f"no {expected!r}, but {sorted(set(said()))}") from error


def newest_observation(stand: Stand, until: float) -> float:
    """The stamp of the newest observation whose chunk had come by the time `until`."""
    return max(seconds(each.message.header.stamp) for each in list(stand.robot.chunks) if each.time <= until)


@needs_permission
def test_thread_priority_is_that_of_the_node_and_not_of_inference(tmp_path: Path, checkpoint: Path) -> None:
    parameters = robot_parameters(thread_priority=20, **PARAMETERS)
    with running_policy_node(tmp_path, parameters, checkpoint, wait=None) as stand:
        stand.node.wait_for_line("commanding", LOAD_S)
        node, inference = stand.node._process.pid, inference_process(stand)
        assert value(stand.robot.wait_for_diagnosis("commanding"), "real-time priority") == "20"
        of_node = priorities(node)
        assert of_node[node] == 20
        # Some threads, such as those that load the policy again, begin later.
        assert Counter(of_node.values()).most_common(1)[0][0] == 20
        assert set(priorities(inference).values()) == {0}
        kill(inference)
        wait_until_gone(inference)
        assert set(priorities(inference_process(stand)).values()) == {0}


def test_a_node_that_is_killed_takes_the_inference_process_with_it_even_a_stopped_one(
    tmp_path: Path, checkpoint: Path
) -> None:
    with running_policy_node(tmp_path, robot_parameters(**PARAMETERS), checkpoint, wait=None) as stand:
        stand.node.wait_for_line("commanding", LOAD_S)
        pid = inference_process(stand)
        stop(pid)
        stand.node.kill()
        wait_until_gone(pid)


@pytest.mark.parametrize(
    ("number", "line"), [(signal.SIGINT, "commanding"), (signal.SIGTERM, "commanding"), (signal.SIGTERM, "")]
)
def test_a_node_that_is_told_to_end_leaves_no_inference_process(
    tmp_path: Path, checkpoint: Path, number: int, line: str
) -> None:
    with running_policy_node(tmp_path, robot_parameters(**PARAMETERS), checkpoint, wait=None) as stand:
        if line:
            stand.node.wait_for_line(line, LOAD_S)
        pid = inference_process(stand)  # is loading, without a line to wait for
        assert stand.node.stop(number) == 0
        wait_until_gone(pid)
        assert "Traceback" not in stand.node.text
        assert "rror" not in stand.node.text
        assert "started again" not in stand.node.text


def test_a_checkpoint_that_was_replaced_stops_the_arm_when_the_process_is_started_again(
    tmp_path: Path, checkpoint: Path
) -> None:
    replaced = tmp_path / "checkpoint"
    shutil.copytree(checkpoint, replaced)
    with running_policy_node(tmp_path, robot_parameters(**PARAMETERS), replaced, wait=None) as stand:
        robot = stand.robot
        stand.node.wait_for_line("commanding", LOAD_S)
        weights = load_file(replaced / WEIGHTS_FILE)
        weights["model.action_head.bias"] += np.float32(0.01)
        save_file(weights, replaced / WEIGHTS_FILE)
        kill(inference_process(stand))
        robot.wait_for_diagnosis("stopped: another policy", LOAD_S)
        stopped = len(robot.commands["arm"])
        before = value(robot.wait_for_diagnosis("stopped: another policy"), "policy_id")
        assert not stand.ask("resume").success
        assert len(robot.commands["arm"]) == stopped
        assert stand.ask("clear_stop").success
        assert stand.ask("resume").success
        robot.wait_for_command("arm", time.time(), deadline_s=LOAD_S)
        assert value(robot.wait_for_diagnosis("commanding"), "policy_id") != before


@pytest.fixture
def with_stand_in(tmp_path: Path) -> Iterator[Stand]:
    """A node whose inference process hangs when it is ordered to be slow."""
    parameters = robot_parameters(**PARAMETERS | {"checkpoint": "none is read", "max_plan_age": 0.8})
    with running_policy_node(tmp_path, parameters, Options(isolated=True, slow_s=600.0)) as stand:
        stand.robot.wait_for_command("arm", time.time(), count=2, deadline_s=LOAD_S)
        yield stand


def test_an_inference_that_hangs_is_ended_in_the_end_and_another_process_goes_on(with_stand_in: Stand) -> None:
    robot = with_stand_in.robot
    statuses = with_stand_in.participant.collect(DiagnosticStatus, "/policy_node/status", KEPT)
    before = inference_process(with_stand_in)
    with robot.order("front", Behaviour.SLOW):
        wait_for_detail(statuses, "a plan is followed for 0.80 s; an inference has taken ")
    wait_for_detail(statuses, "the inference process was ended: an inference took longer than ")
    wait_until_gone(before)
    robot.wait_for_command("arm", time.time(), deadline_s=LOAD_S)
    assert with_stand_in.node.returncode is None


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_node_that_is_told_to_end_does_not_wait_for_an_inference_that_hangs(
    with_stand_in: Stand, number: int
) -> None:
    pid = inference_process(with_stand_in)
    with with_stand_in.robot.order("front", Behaviour.SLOW):
        with_stand_in.robot.wait_for_diagnosis("an inference has taken ")
    assert with_stand_in.node.stop(number) == 0
    wait_until_gone(pid)
    assert "Traceback" not in with_stand_in.node.text
    assert "rror" not in with_stand_in.node.text
