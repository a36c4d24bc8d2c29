"""policy_node with its policy on a real Triton: a lost server stops the arm; when it is back, the arm continues."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import pytest
from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import CompressedImage
from std_srvs.srv import Trigger

from act_inference_ros.policy.load import load_policy
from act_inference_ros.program import shared_memory
from act_inference_ros.spec import ImageSpec, PolicySpec
from test.checkpoints import golden_checkpoint
from test.inference.triton_models import fingerprint, write_model
from test.inference.triton_process import RunningTriton, wait_until
from test.ros.policy_node_stand import Stand, robot_parameters, running_policy_node
from test.ros.robot_stand_in import seconds

SPEC = PolicySpec(20, 6, images=(ImageSpec("observation.images.front", 96, 128),), state_dim=6)
LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
TIMEOUT_S = 0.4
PLAN_AGE_S = 0.6
LATE_S = 0.5
"""How long a loaded machine may keep a thread waiting."""
BACK_WITHIN_S = 1.0


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningTriton]:
    with RunningTriton(write_model(tmp_path_factory.mktemp("models"), SPEC, stands_still=True)) as process:
        yield process.wait_ready()


@pytest.fixture(scope="module")
def shared(server: RunningTriton, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    with triton_node(tmp_path_factory.mktemp("node"), server) as stand:
        stand.home = dict.fromkeys(stand.robot.positions, 0.5)
        yield stand


@pytest.fixture
def stand(shared: Stand) -> Stand:
    shared.start_afresh()
    return shared


def triton_node(
    directory: Path, server: RunningTriton, checkpoint: Path | None = None, wait: str | None = None, **parameters: Any
) -> Any:
    cameras = {"front": parameters.pop("transport", "raw")}
    options = {
        "mode": "triton",
        "server": server.address,
        "request_timeout": TIMEOUT_S,
        "max_plan_age": PLAN_AGE_S,
        "resume_within": 60.0,
    }
    options |= parameters
    wait = wait or "active: waiting for"
    return running_policy_node(directory, robot_parameters(cameras, **options), checkpoint or directory, wait)


@pytest.mark.parametrize("fault", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "frozen"])
def test_a_lost_server_stops_the_arm_within_the_deadline_until_it_answers_again(
    stand: Stand, server: RunningTriton, fault: signal.Signals
) -> None:
    robot = stand.robot
    server.send(fault)
    lost = time.time()
    status = robot.wait_for_diagnosis("holding: inference failed")
    last = robot.commanded("arm")[-1]
    count = len(robot.commands["arm"])
    robot.wait_for_diagnosis("holding: inference failed")  # a second later
    assert len(robot.commands["arm"]) == count
    at_rest = seconds(last.header.stamp) + seconds(last.points[-1].time_from_start)
    assert at_rest - lost < PLAN_AGE_S + LATE_S
    assert server.address in status.message
    if fault == signal.SIGKILL:
        server.kill()
        server.start().wait_ready()
    else:
        server.send(signal.SIGCONT)
    back = time.time()
    robot.wait_for_command("arm", back)
    assert next(r.time for r in robot.commands["arm"] if r.time > back) - back < BACK_WITHIN_S + LATE_S
    values = {pair.key: pair.value for pair in robot.wait_for_diagnosis("commanding").values}
    assert int(values["reconnects"]) > 0
    assert server.address in values["server"]
    for message in robot.commanded("arm", lost):  # the policy stands still, so must the arm
        for point in message.points:
            assert list(point.positions) == pytest.approx([0.5] * 5, abs=1e-3)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_a_server_does_not_answer_leaves_nothing_in_shared_memory(
    tmp_path: Path, server: RunningTriton, number: int
) -> None:
    with triton_node(tmp_path, server, request_timeout=20.0) as stand:
        stand.robot.wait_for_command("arm", time.time(), count=2)
        server.send(signal.SIGSTOP)
        try:
            stand.robot.wait_for_frames(15)  # far more than one inference's time: a request is under way
            used = shared_memory.in_use_by(stand.node._process.pid) - shared_memory.in_use_by(os.getpid())
            assert stand.node.stop(number) == 0
        finally:
            server.send(signal.SIGCONT)
    assert [name for name in used if name.startswith("act_inference_")], "the images went another way"
    assert [name for name in used if Path("/dev/shm", name).exists()] == []  # noqa: S108


def test_configure_says_which_server_it_waited_for(tmp_path: Path) -> None:
    nobody = RunningTriton(tmp_path, started=False)
    line = rf"no server ready within 0\.5 s: {nobody.address}: not reachable"
    with triton_node(tmp_path, nobody, wait=line, server_timeout=0.5) as stand:
        assert stand.node.wait(10.0) == 1, "a server that may come later is no mistake"


def test_a_compressed_topics_jpegs_reach_the_server_as_they_are(tmp_path: Path) -> None:
    def as_jpeg(message: CompressedImage) -> CompressedImage:
        message.data = jpeg
        return message

    repository = write_model(tmp_path / "models", SPEC, encoding="jpeg")
    with (
        RunningTriton(repository) as process,
        triton_node(tmp_path, process.wait_ready(), transport="compressed") as stand,
    ):
        robot = stand.robot
        jpeg = cv2.imencode(".jpg", robot.images["front"])[1].tobytes()
        with robot.fault("front", as_jpeg):
            wait_until(lambda: fingerprint(jpeg) in second_column(robot), 20.0, "the JPEG did not arrive as it was")


def second_column(robot: Any) -> list[float]:
    return [received.message.points[0].positions[1] for received in list(robot.chunks)]


def test_with_a_fallback_the_arm_goes_on_without_the_server(tmp_path: Path) -> None:
    checkpoint = golden_checkpoint("a_small_1cam")
    spec = load_policy(checkpoint).spec
    repository = write_model(tmp_path / "models", spec, stands_still=True, policy_id=spec.policy_id)
    with (
        RunningTriton(repository) as process,
        triton_node(tmp_path, process.wait_ready(), checkpoint, fallback="local") as stand,
    ):
        robot = stand.robot
        robot.wait_for_command("arm", time.time(), count=2)
        process.kill()
        killed = time.time()
        robot.wait_for_command("arm", killed + TIMEOUT_S, count=10)
        values = {pair.key: pair.value for pair in robot.wait_for_diagnosis("commanding").values}
        assert "fallback" in values["server"]
        assert not [key for key in values if key.startswith("held: inference failed")]
        process.start().wait_ready()
        wait_until(lambda: "(fallback)" not in said(robot, "server"), 10.0, "still on the fallback")


def test_another_policy_on_the_server_stops_the_arm_until_somebody_accepts_it(tmp_path: Path) -> None:
    old, new = "ab" * 32, "cd" * 32
    repository = write_model(tmp_path / "models", SPEC, stands_still=True, policy_id=old)
    explicit = ("--model-control-mode=explicit", "--load-model=*")
    with RunningTriton(repository, *explicit) as process, triton_node(tmp_path, process.wait_ready()) as stand:
        robot = stand.robot
        status = stand.participant.collect(DiagnosticStatus, "/policy_node/status", LATCHED)
        robot.wait_for_command("arm", time.time(), count=2)
        wait_until(lambda: values_of(status)["policy_id"] == old[:16], 5.0, "no policy_id in ~/status")
        write_model(repository, SPEC, stands_still=True, policy_id=new, version=2)
        process.load("act_policy")
        robot.wait_for_diagnosis("stopped: another policy")
        before = len(robot.commands["arm"])
        assert f"is policy {new[:16]} now" in values_of(status)["detail"]
        assert stand.participant.call(Trigger, "/policy_node/clear_stop").success
        robot.wait_for_diagnosis("paused")
        assert len(robot.commands["arm"]) == before
        assert stand.participant.call(Trigger, "/policy_node/resume").success
        robot.wait_for_command("arm", time.time(), count=2)
        wait_until(lambda: values_of(status)["policy_id"] == new[:16], 5.0, "it still shows the old one")
        assert {pair.key: pair.value for pair in robot.wait_for_diagnosis("commanding").values}["model version"] == "2"


def test_a_node_with_a_fallback_begins_without_a_server(tmp_path: Path) -> None:
    checkpoint = golden_checkpoint("a_small_1cam")
    spec = load_policy(checkpoint).spec
    repository = write_model(tmp_path / "models", spec, stands_still=True, policy_id=spec.policy_id)
    with (
        RunningTriton(repository, started=False) as process,
        triton_node(tmp_path, process, checkpoint, fallback="local", server_timeout=0.5) as stand,
    ):
        robot = stand.robot
        robot.wait_for_command("arm", time.time(), count=2)
        wait_until(lambda: "(fallback)" in said(robot, "server"), 10.0, "the fallback is not said to compute")
        wait_until(lambda: "no server ready" in said(robot, "fallback because"), 10.0, "it is not said why")
        process.start().wait_ready()
        wait_until(lambda: "(fallback)" not in said(robot, "server"), 10.0, "still on the fallback")


def values_of(received: list[Any]) -> dict[str, str]:
    """The newest status' values."""
    if not received:
        return {"policy_id": "", "detail": ""}
    return {pair.key: pair.value for pair in received[-1].values}


def said(robot: Any, key: str) -> str:
    """What the newest diagnostics say under a key; "(fallback) not said yet" if nothing."""
    status = robot.diagnostics[-1].message.status[0]
    return next((str(pair.value) for pair in status.values if pair.key == key), "(fallback) not said yet")
