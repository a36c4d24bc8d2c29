"""A gripper gets a goal only where its target has moved far enough, the exact one at rest, and none in a hold."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from act_inference_ros.control.commanders import make_commander
from act_inference_ros.control.gripper_commander import RESTING_DEADBAND, GripperCommander
from act_inference_ros.control.timeline import ActionTimeline
from act_inference_ros.execution import reasons
from act_inference_ros.execution.states import State
from act_inference_ros.interfaces import Command
from act_inference_ros.robot.configuration import RobotConfiguration
from test.execution.rig import Rig

START = 1.7e9
FPS = 10.0
TICK_S = 0.01
DEADBAND = 0.002


class Gripper:
    """A commander of one gripper, ticked by hand; `goals` are the positions that it was sent to."""

    def __init__(self, **changes: Any) -> None:
        given = {
            "state.topic": "/s", "state.joints": ["grip"], "joint.grip.smooth": False, "joint.grip.max_velocity": 0.2,
            "controllers": ["hand"], "controller.hand.interface": "gripper_action", "controller.hand.topic": "/h",
            "controller.hand.joints": ["grip"], "controller.hand.deadband": DEADBAND,
        }  # fmt: skip
        configuration = RobotConfiguration.from_parameters(given | changes)
        self.sent: list[Command] = []
        commander = make_commander(configuration.controllers[0], configuration, self.sent.append)
        assert isinstance(commander, GripperCommander)
        self.commander = commander
        self.now = START
        self.timeline = ActionTimeline(FPS, "latest")

    @property
    def goals(self) -> list[float]:
        return [float(command.positions[0, 0]) for command in self.sent]

    @property
    def told(self) -> float:
        return self.commander.told(self.now)["grip"]

    def follow(self, *rows: float, here: float = 0.0) -> None:
        """A chunk comes, stamped now."""
        self.timeline.add(np.array(rows, dtype=np.float32)[:, None], self.now)
        self.commander.begin(self.now, {"grip": here})
        self.commander.follow(self.timeline, self.now, np.inf)

    def more(self, *rows: float) -> None:
        """Another chunk comes while the first is followed."""
        self.timeline.add(np.array(rows, dtype=np.float32)[:, None], self.now)
        self.commander.follow(self.timeline, self.now, np.inf)

    def pass_time(self, duration: float) -> list[float]:
        """Let time pass, tick by tick; returns where the gripper was told to be at each."""
        told = []
        for _ in range(round(duration / TICK_S)):
            self.now += TICK_S
            self.commander.tick(self.now)
            told.append(self.told)
        return told


def closing() -> npt.NDArray[np.float64]:
    return np.linspace(0.05, 0.01, 10)


def test_a_goal_is_sent_whenever_the_target_has_moved_further_than_the_deadband() -> None:
    gripper = Gripper()
    gripper.follow(*closing(), here=0.05)
    told = gripper.pass_time(0.8)
    # A hand-written account of the rule, on the same targets.
    expected, last = [], np.inf
    for target in told:
        if abs(target - last) > DEADBAND:
            expected.append(target)
            last = target
    assert len(expected) >= 10
    assert gripper.goals[: len(expected)] == pytest.approx(expected)
    assert len(gripper.goals) == len(expected)
    assert len(gripper.goals) < len(told) / 2


def test_a_target_that_only_trembles_makes_no_goals() -> None:
    gripper = Gripper()
    noise = np.random.default_rng(0).uniform(-DEADBAND / 3, DEADBAND / 3, 200)
    gripper.follow(*(0.02 + noise[:20]), here=0.02)
    for step in range(1, 10):
        gripper.pass_time(0.1)
        gripper.more(*(0.02 + noise[20 * step : 20 * step + 20]))
    assert len(gripper.goals) == 1


@pytest.mark.parametrize("end", [0.02, 0.02 + DEADBAND / 2, 0.02 - DEADBAND / 5, 0.0301])
def test_the_target_at_rest_gets_through_however_near_to_the_last_goal_it_is(end: float) -> None:
    gripper = Gripper()
    gripper.follow(*np.linspace(0.02, end, 10), here=0.02)
    gripper.pass_time(3.0)
    assert gripper.goals[-1] == pytest.approx(end, abs=2 * RESTING_DEADBAND)
    assert gripper.goals[-1] == pytest.approx(gripper.told, abs=RESTING_DEADBAND)
    sent = len(gripper.goals)
    gripper.pass_time(1.0)
    assert len(gripper.goals) == sent


def test_max_effort_goes_with_every_goal() -> None:
    gripper = Gripper(**{"controller.hand.max_effort": 12.5})
    gripper.follow(*closing(), here=0.05)
    gripper.pass_time(0.5)
    assert {command.max_effort for command in gripper.sent} == {12.5}
    unsaid = Gripper()
    unsaid.follow(*closing(), here=0.05)
    unsaid.pass_time(0.5)
    assert {command.max_effort for command in unsaid.sent} == {None}


def test_the_goals_obey_the_position_limits() -> None:
    gripper = Gripper(**{"joint.grip.min": 0.02, "joint.grip.max": 0.04})
    gripper.follow(*np.linspace(0.03, -1.0, 10), here=0.03)
    gripper.pass_time(2.0)
    assert min(gripper.goals) == pytest.approx(0.02)


@pytest.mark.parametrize("hold", ["hold", "hold_at", "restart_clock"])
@pytest.mark.parametrize("ends", [(0.05, 0.01), (0.01, 0.05)], ids=["closing", "opening"])
def test_a_hold_sends_nothing_and_stays_with_the_last_goal(hold: str, ends: tuple[float, float]) -> None:
    gripper = Gripper()
    gripper.follow(*np.linspace(*ends, 10), here=ends[0])
    gripper.pass_time(0.35)
    sent = gripper.goals
    if hold == "hold":
        gripper.commander.hold(gripper.now)
    elif hold == "hold_at":
        gripper.commander.hold_at(gripper.now, {"grip": 0.04})
    else:
        gripper.commander.restart_clock(gripper.now, gripper.now - 100.0)
        gripper.now -= 100.0
    assert gripper.told == sent[-1]
    for _ in range(100):
        gripper.now += TICK_S
        gripper.commander.finish(gripper.now)
    assert not gripper.commander.unfinished
    assert gripper.goals == sent
    assert gripper.told == sent[-1]


def test_the_next_motion_goes_on_from_the_last_goal_whatever_was_measured_and_says_it_again() -> None:
    gripper = Gripper()
    gripper.follow(*closing(), here=0.05)
    gripper.pass_time(0.45)
    gripper.commander.hold(gripper.now)
    held, sent = gripper.goals[-1], len(gripper.goals)
    gripper.now += 1.0
    gripper.follow(*[held] * 10, here=0.045)  # it holds a thing, so it never got there
    gripper.pass_time(1.0)
    assert gripper.goals[sent:] == pytest.approx([held], abs=1e-6)


def test_a_goal_that_may_not_have_arrived_is_sent_again() -> None:
    gripper = Gripper()
    gripper.follow(*closing(), here=0.05)
    gripper.pass_time(0.45)
    sent = gripper.goals
    gripper.commander.hold(gripper.now, in_any_case=True)
    assert gripper.goals == [*sent, sent[-1]]


def test_a_gripper_that_was_told_nothing_is_told_nothing_by_a_hold() -> None:
    gripper = Gripper()
    gripper.commander.hold(gripper.now, in_any_case=True)
    gripper.commander.hold_at(gripper.now, {"grip": 0.1})
    assert gripper.goals == []
    assert not gripper.commander.known


def test_after_it_was_forgotten_the_first_target_is_sent_wherever_it_is() -> None:
    gripper = Gripper()
    gripper.follow(*[0.02] * 10, here=0.02)
    gripper.pass_time(0.2)
    gripper.commander.forget()
    assert gripper.commander.told(gripper.now) == {}
    gripper.follow(*[0.02] * 10, here=0.02)
    gripper.pass_time(0.2)
    assert gripper.goals == pytest.approx([0.02, 0.02])


RIG = {
    "controller.gripper.interface": "parallel_gripper_action", "joint.grip.smooth": False,
    "controller.gripper.deadband": 0.01,
}  # fmt: skip


@pytest.mark.parametrize("fault", ["no image", "pause", "stop", "failure"])
def test_whatever_makes_the_arm_hold_leaves_the_gripper_squeezing(fault: str) -> None:
    rig = Rig(**RIG)
    assert rig.chunk(0.5)
    rig.wait(0.3)
    assert rig.state is State.COMMANDING
    sent = rig.targets
    if fault == "no image":
        rig.silent = {"front"}
        rig.wait(0.4)
        sent = rig.targets
        rig.wait(1.0)
        assert rig.reason.startswith("stale")
    elif fault == "failure":
        rig.pipeline.supervisor.fail(rig.now, "no")
        assert rig.reason == reasons.INFERENCE_FAILED
    else:
        assert getattr(rig.operator, fault)(rig.now).accepted
    rig.wait(1.0)
    assert rig.state is not State.COMMANDING
    assert rig.targets == sent


def test_a_gripper_that_holds_a_thing_does_not_stop_the_arm() -> None:
    rig = Rig(**RIG)
    rig.obeys = False
    rig.positions["grip"] = 0.3
    assert rig.rows(np.tile(np.array([0.0, 0.0, 0.1], dtype=np.float32), (10, 1)))
    rig.wait(0.8)
    assert rig.state is State.COMMANDING
    assert rig.targets[-1] == pytest.approx(0.1, abs=0.011)
