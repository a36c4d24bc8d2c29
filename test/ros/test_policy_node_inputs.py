"""Other robots: several cameras, streams only, a simulated clock."""

import contextlib
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.qos import DurabilityPolicy, QoSProfile
from rosgraph_msgs.msg import Clock

from test.ros.policy_node_stand import ARM, Stand, robot_parameters, running_policy_node
from test.ros.policy_stand_in import Options
from test.ros.robot_stand_in import AT_REST_S, JOINTS, Distortion, RobotStandIn, is_hold, seconds, silent, stamp
from test.ros.ros_helpers import wait_until

CAMERAS = {"top": "raw", "left": "compressed", "right": "raw"}


@pytest.fixture(scope="module")
def cameras(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    streams = {
        "controller__arm__interface": "joint_state",
        "controller__gripper__interface": "position_stream",
        "coast_time": 0.2,
        "max_plan_age": 3.0,
        "max_age": 1.0,
        "max_skew": 0.05,
    }
    parameters = robot_parameters(CAMERAS, **streams)
    policy = Options(cameras=tuple(CAMERAS))
    with running_policy_node(tmp_path_factory.mktemp("node"), parameters, policy) as stand:
        yield stand


@contextlib.contextmanager
def never_at_one_moment(robot: RobotStandIn) -> Iterator[None]:
    """Two slow cameras in turn: each image is fresh, but no image of the other camera is from the same moment."""

    def every_tenth(name: str, remainder: int) -> Distortion:
        return lambda message: message if robot.sent[name] % 10 == remainder else None

    with robot.fault("top", every_tenth("top", 0)), robot.fault("left", every_tenth("left", 5)):
        yield


def test_cameras_too_far_apart_stop_the_arm(cameras: Stand) -> None:
    robot = cameras.robot
    cameras.start_afresh()
    with never_at_one_moment(robot):
        robot.wait_for_diagnosis("holding: plan ran out")
        commands = robot.commands["arm"]
        wait_until(lambda: time.time() - commands[-1].time > AT_REST_S, 10.0, "the arm does not come to rest")
        before = len(robot.commands["arm"])
        status = robot.wait_for_diagnosis("holding: plan ran out")
        assert len(robot.commands["arm"]) == before
        assert "the last observation was refused: skew: " in status.message
        last = time.time()
    counted = {pair.key: pair.value for pair in status.values}
    assert sum(int(count) for key, count in counted.items() if key.startswith("refused: skew: ")) > 0
    robot.wait_for_command("arm", last)


def test_one_silent_camera_of_three_stops_the_arm(cameras: Stand) -> None:
    cameras.start_afresh()
    with cameras.robot.fault("right", silent):
        cameras.robot.wait_for_diagnosis("holding: stale: right")


def test_joint_state_commands_carry_the_controllers_joints_and_the_time(cameras: Stand) -> None:
    at = cameras.start_afresh()
    for received in [each for each in cameras.robot.commands["arm"] if each.time > at]:
        assert list(received.message.name) == ARM
        assert len(received.message.position) == len(ARM)
        assert abs(received.time - seconds(received.message.header.stamp)) < 1.0


def test_streams_start_where_the_arm_is_measured(cameras: Stand) -> None:
    robot = cameras.robot
    with robot.fault("top", silent):
        robot.wait_for_diagnosis("holding")
        robot.wait_for_rest()
        robot.positions = dict(zip(JOINTS, [0.1, 0.2, 0.3, 0.4, 0.5, -0.6], strict=True))
        robot.wait_for_frames(5)
        at = time.time()
    first = robot.wait_for_command("arm", at)[0]
    assert dict(zip(first.name, first.position, strict=True)) == pytest.approx(
        {name: robot.positions[name] for name in ARM}, abs=1e-6
    )
    assert robot.wait_for_command("gripper", at)[0].data == pytest.approx([-0.6], abs=1e-6)


def test_when_observations_end_but_inputs_do_not_the_stream_coasts_and_then_stops(cameras: Stand) -> None:
    robot = cameras.robot
    cameras.start_afresh()
    with never_at_one_moment(robot):
        robot.wait_for_diagnosis("holding: plan ran out")
        targets = [received.message.data[0] for received in robot.commands["gripper"]]
        last = targets[-1]
        repeated = next(i for i, target in enumerate(reversed(targets)) if target != last)
    assert 1 <= repeated <= 14  # at rest 0.3 s after the plan's last step, and the hold


class SimulatedClock:
    """Publishes /clock from a thread; `time` may be set."""

    def __init__(self, stand: Stand, start: float) -> None:
        self.time = start
        self._publisher = stand.participant.node.create_publisher(Clock, "/clock", 10)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._over.wait(0.01):
            self.time += 0.01
            self._publisher.publish(Clock(clock=stamp(self.time)))

    def stop(self) -> None:
        self._over.set()
        self._thread.join(5.0)


@pytest.fixture
def simulation(tmp_path: Path) -> Iterator[tuple[Stand, Any]]:
    with running_policy_node(tmp_path, robot_parameters(use_sim_time=True)) as stand:
        clock = SimulatedClock(stand, start=100.0)
        stand.robot.now = lambda: clock.time
        yield stand, clock
        clock.stop()


def test_a_simulated_clock_that_jumps_back_holds_and_everything_begins_anew(simulation: Any) -> None:
    stand, clock = simulation
    robot = stand.robot
    for message in robot.wait_for_command("arm", 0.0, count=3):
        assert 100.0 < seconds(message.header.stamp) < 200.0
    clock.time = 5.0
    jumped = time.time()
    messages = wait_until(lambda: has_new_motion(robot.commanded("arm", jumped)), 20.0, "no motion in the new time")
    hold = next(message for message in messages if is_hold(message))
    assert 5.0 < seconds(hold.header.stamp) < 10.0
    assert max(hold.points[0].positions) < 1.0  # where the arm was, not where it was sent
    assert seconds(messages[-1].header.stamp) < 60.0


def test_a_simulated_clock_that_stands_still_is_said_to(simulation: Any) -> None:
    stand, clock = simulation
    latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    statuses = stand.participant.collect(DiagnosticStatus, "/policy_node/status", latched)
    stand.robot.wait_for_command("arm", 0.0)
    clock.stop()

    def said() -> bool:
        values = {pair.key: pair.value for pair in statuses[-1].values} if statuses else {}
        return "has stood still for" in values.get("clock", "")

    wait_until(said, 20.0, "the clock is not missed")
    assert statuses[-1].level == DiagnosticStatus.ERROR


def has_new_motion(messages: list[Any]) -> Any:
    """The messages up to the first that moves, after a hold."""
    holds = [i for i, message in enumerate(messages) if is_hold(message)]
    return messages if holds and len(messages) > holds[0] + 1 else None
