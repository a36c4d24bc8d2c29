"""What each commander publishes: trajectories a joint_trajectory_controller takes, streams that never step too far."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from act_inference_ros.control.commanders import make_commander
from act_inference_ros.control.timeline import ActionTimeline
from act_inference_ros.interfaces import duration, stamp
from act_inference_ros.robot.configuration import RobotConfiguration
from act_inference_ros.ros.messages import make_message
from act_inference_ros.ros.policy.commands import CommandOutlet
from test.ros.robot_stand_in import is_hold, seconds

START = 1.7e9
JOINTS = ["pan", "lift", "grip"]
MEASURED = {"pan": 0.1, "lift": 0.2, "grip": 0.3, "mimic": 9.0}


class Told:
    """A commander with its outlet: what it is made to follow or to hold is published at once."""

    def __init__(self, interface: str, joints: list[str], **changes: Any) -> None:
        given = {
            "state.topic": "/s", "state.joints": JOINTS, "controllers": ["it", "rest"], "controller.it.topic": "/it",
            "controller.it.interface": interface, "controller.it.joints": joints, "controller.it.lead": 0.02,
            "controller.rest.topic": "/rest", "controller.rest.joints": [j for j in JOINTS if j not in joints],
            "command_rate": 50.0,
        }  # fmt: skip
        configuration = RobotConfiguration.from_parameters(given | changes)
        self.sent: list[Any] = []
        self._outlet = CommandOutlet(configuration.controllers[0], SimpleNamespace(publish=self.sent.append))
        self.commander = make_commander(configuration.controllers[0], configuration, self._outlet.send)

    def follow(
        self,
        timeline: ActionTimeline,
        now: float,
        measured: dict[str, float],
        until: float = np.inf,
        overlap: bool = False,
    ) -> None:
        if not self.commander.known:
            self.commander.begin(now, measured)
        self.commander.follow(timeline, now, until, overlap)
        self.tick(now)

    def tick(self, now: float) -> None:
        self.commander.tick(now)
        self._outlet.flush()

    def hold(self, now: float) -> None:
        self.commander.hold(now)
        self._outlet.flush()


def made(interface: str, joints: list[str], **changes: Any) -> tuple[Told, list[Any]]:
    """A commander, and the list of what it has published."""
    told = Told(interface, joints, **changes)
    return told, told.sent


def plan(*targets: float, t_obs: float = START, fps: float = 10.0) -> ActionTimeline:
    """All three joints go to the same target at each step."""
    timeline = ActionTimeline(fps, "latest")
    timeline.add(np.repeat(np.array(targets)[:, None], 3, axis=1), t_obs)
    return timeline


def times_of(message: Any) -> list[float]:
    return [seconds(point.time_from_start) for point in message.points]


def test_a_trajectory_is_stamped_ahead_and_leaves_out_what_is_past() -> None:
    commander, sent = made("joint_trajectory", ["grip", "pan"])
    commander.follow(plan(*[0.3] * 10), START + 0.25, dict.fromkeys(JOINTS, 0.3))
    assert seconds(sent[0].header.stamp) == pytest.approx(START + 0.26, abs=1e-6)
    # It begins at rest, `lead` from now, and goes on with the plan's steps.
    assert times_of(sent[0]) == pytest.approx([0.01, 0.04, 0.14, 0.24, 0.34, 0.44, 0.54, 0.64, 0.94], abs=1e-6)
    assert sent[0].joint_names == ["grip", "pan"]
    assert list(sent[0].points[-1].velocities) == [0.0, 0.0]


@given(st.floats(0.0, 0.77), st.sampled_from([10.0, 20.0, 30.0]))
def test_no_point_lies_at_or_before_the_stamp_and_times_increase(now: float, fps: float) -> None:
    commander, sent = made("joint_trajectory", ["pan"])
    commander.follow(plan(*[0.3] * 30, fps=fps), START + now, MEASURED)
    times = [point.time_from_start.sec * 10**9 + point.time_from_start.nanosec for point in sent[0].points]
    assert len(times) >= 2
    assert min(np.diff([0, *times])) > 0


@given(st.floats(-3.0, 3.0), st.floats(-3.0, 3.0), st.floats(0.1, 5.0), st.floats(1.0, 50.0))
def test_the_way_from_the_measured_position_on_keeps_every_limit(
    target: float, measured: float, fastest: float, hardest: float
) -> None:
    limits = {"joint.pan.max_velocity": fastest, "joint.pan.max_acceleration": hardest}
    limits |= {"joint.pan.min": -2.0, "joint.pan.max": 2.0}
    commander, sent = made("joint_trajectory", ["pan"], **limits)
    commander.follow(plan(*[target] * 10), START, {"pan": measured})
    told = commander.commander.motion
    assert told is not None
    there = told.sample(np.arange(START, told.end, 1e-3))
    assert np.abs(there.velocity).max() <= fastest * (1 + 1e-4) + 1e-6
    assert np.abs(there.acceleration).max() <= hardest * (1 + 1e-4) + 1e-6
    positions = np.array([point.positions[0] for point in sent[0].points])
    assert max(np.abs(positions)) <= max(2.0, abs(measured)) + 1e-9


def test_with_hardly_anything_left_nothing_is_sent_and_the_last_trajectory_runs_out() -> None:
    commander, sent = made("joint_trajectory", ["pan"])
    commander.follow(plan(*[0.3] * 10), START + 0.87, MEASURED)
    assert sent == []


def test_a_trajectory_that_does_not_overlap_goes_on_from_where_the_last_one_leads() -> None:
    commander, sent = made("joint_trajectory", ["pan"])
    line = plan(*np.linspace(0.1, 1.0, 10))
    commander.follow(line, START, MEASURED)
    commander.follow(line, START + 0.58, MEASURED)
    # After the plan's last step it takes 0.3 s to come to rest.
    assert [point.positions[0] for point in sent[1].points] == pytest.approx([0.8, 0.9, 1.0, 1.15], abs=1e-3)
    assert times_of(sent[1]) == pytest.approx([0.1, 0.2, 0.3, 0.6], abs=1e-6)


def test_a_trajectory_that_overlaps_begins_with_what_was_told_before() -> None:
    commander, sent = made("joint_trajectory", ["pan"])
    line = plan(*np.linspace(0.1, 1.0, 10))
    commander.follow(line, START, MEASURED, overlap=True)
    commander.follow(line, START + 0.58, MEASURED, overlap=True)
    first, second = sent
    assert times_of(first)[0] > 0.0  # of what was told before there is nothing
    assert seconds(second.header.stamp) == pytest.approx(START + 0.28, abs=1e-6)
    assert times_of(second)[0] == 0.0
    for k in range(4):  # the same points as before
        where = [point for point in first.points if abs(seconds(point.time_from_start) + 0.01 - 0.3 - 0.1 * k) < 1e-5]
        again = [point for point in second.points if abs(seconds(point.time_from_start) - 0.02 - 0.1 * k) < 1e-5]
        assert list(where[0].positions) == pytest.approx(list(again[0].positions), abs=1e-6)
        assert list(where[0].velocities) == pytest.approx(list(again[0].velocities), abs=1e-5)


def test_a_trajectory_is_at_rest_where_the_plan_becomes_too_old() -> None:
    commander, sent = made("joint_trajectory", ["pan"])
    commander.follow(plan(*np.linspace(0.1, 1.0, 10)), START, MEASURED, until=START + 0.55)
    assert 0.4 < times_of(sent[0])[-1] + 0.01 <= 0.55 + 1e-6
    assert list(sent[0].points[-1].velocities) == [0.0]


def test_a_trajectory_that_came_to_rest_needs_no_hold() -> None:
    commander, sent = made("joint_trajectory", ["pan"])
    commander.follow(plan(*[0.3] * 10), START, MEASURED)
    commander.hold(START + 1.21)
    assert len(sent) == 1


def test_a_hold_brakes_from_where_the_arm_was_told_to_be_at_its_stamp() -> None:
    commander, sent = made("joint_trajectory", ["pan"])
    commander.follow(plan(*np.linspace(0.1, 1.0, 10)), START, MEASURED)
    commander.hold(START + 0.43)
    assert is_hold(sent[1])
    assert sent[1].points[-1].positions[0] == pytest.approx(0.55 + 1.0 * 0.125 / 2.0, abs=2e-3)  # 1 rad/s, 8 rad/s2
    assert times_of(sent[1])[-1] == pytest.approx(0.125, abs=5e-3)
    assert list(sent[1].points[-1].velocities) == [0.0]


@pytest.mark.parametrize("interface", ["joint_trajectory", "position_stream"])
def test_a_hold_without_a_command_before_it_says_nothing(interface: str) -> None:
    commander, sent = made(interface, ["pan"])
    commander.hold(START)
    assert sent == []


def test_a_stream_approaches_a_far_target_within_its_limits() -> None:
    commander, sent = made("position_stream", ["pan"], **{"joint.pan.max_velocity": 1.0, "joint.pan.max": 2.0})
    commander.follow(plan(*[3.0] * 10), START, MEASURED)
    for tick in range(1, 60):
        commander.tick(START + tick * 0.02)
    targets = np.array([message.data[0] for message in sent])
    steps = np.diff(targets)
    assert steps.max() == pytest.approx(0.02, rel=1e-3)
    assert np.abs(np.diff(steps)).max() <= 20.0 * 0.02**2 * 1.001
    assert targets.max() <= 2.0
    assert commander.commander.clamped > 0
    assert commander.commander.bridged == {"pan": 1}


def test_a_late_tick_makes_no_big_step() -> None:
    commander, sent = made("position_stream", ["pan"], **{"joint.pan.max_velocity": 1.0})
    commander.follow(plan(*[3.0] * 10), START, MEASURED)
    for tick in range(1, 10):
        commander.tick(START + tick * 0.02)
    commander.tick(START + 0.68)
    assert sent[-1].data[0] - sent[-2].data[0] == pytest.approx(0.02, rel=1e-3)  # one period's worth, not twenty-five


def test_a_stream_repeats_its_last_target_where_the_plan_has_run_out() -> None:
    commander, sent = made("position_stream", ["grip", "pan"])
    commander.follow(plan(*[0.2] * 5), START, MEASURED)
    for tick in range(1, 60):
        commander.tick(START + tick * 0.02)
    assert list(sent[-1].data) == list(sent[-2].data) == pytest.approx([0.2, 0.2], abs=0.02)


def test_joint_state_commands_carry_names_and_stamp() -> None:
    commander, sent = made("joint_state", ["grip", "lift"])
    commander.follow(plan(*[0.3] * 10), START, MEASURED)
    assert (sent[0].name, list(sent[0].position)) == (["grip", "lift"], [0.3, 0.2])
    assert seconds(sent[0].header.stamp) == pytest.approx(START, abs=1e-6)


def test_degrees_become_radians_on_the_way_out() -> None:
    commander, sent = made("joint_trajectory", ["pan"], **{"joint.pan.unit": "deg"})
    commander.follow(plan(*[90.0] * 20), START, MEASURED)
    assert sent[0].points[-1].positions[0] == pytest.approx(np.pi / 2)


@given(st.floats(0.0, 2.0e9))
def test_times_become_messages_without_a_carry_lost(time: float) -> None:
    for message in (stamp(make_message, time), duration(make_message, time)):
        assert 0 <= message.nanosec < 10**9
        assert seconds(message) == pytest.approx(time, abs=1e-6)
