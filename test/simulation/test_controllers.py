"""The simulated controllers accept, refuse and interpolate as ros2_control's do."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from act_inference_ros.simulation.controllers import NamedPositionController, PositionController
from act_inference_ros.simulation.trajectory import Trajectory, TrajectoryPoint
from act_inference_ros.simulation.trajectory_controller import TrajectoryController

JOINTS = ("lift", "turn")
NOW = 100.0
HOME = (0.5, -0.5)
STILL = np.zeros(2)

finite = st.floats(-3.0, 3.0)
pairs = st.tuples(finite, finite)


@st.composite
def trajectories(draw: st.DrawFn, velocities: bool = True) -> Trajectory:
    """Acceptable at NOW: increasing times, an end that is not in the past, a last velocity of zero."""
    steps = draw(st.lists(st.floats(0.01, 0.5), min_size=1, max_size=6))
    times = np.cumsum(steps)
    with_velocities = velocities and draw(st.booleans())
    points = []
    for index, time in enumerate(times):
        last = index == len(times) - 1
        velocity = () if not with_velocities else ((0.0, 0.0) if last else draw(pairs))
        points.append(TrajectoryPoint(float(time), draw(pairs), velocity))
    stamp = NOW + draw(st.floats(0.0, 0.3))
    return Trajectory(JOINTS, stamp, tuple(points))


def controller_at_home(**options: Any) -> TrajectoryController:
    controller = TrajectoryController(JOINTS, **options)
    controller.hold(HOME)
    return controller


@given(trajectories())
def test_starts_at_the_measured_state_passes_every_point_and_holds_the_last(trajectory: Trajectory) -> None:
    controller = controller_at_home()
    measured = (0.4, -0.4)
    assert controller.command(trajectory, NOW, measured, STILL) is None
    np.testing.assert_allclose(controller.sample(NOW), measured, atol=1e-9)
    for point in trajectory.points:
        target = controller.sample(trajectory.stamp_s + point.time_from_start_s)
        np.testing.assert_allclose(target, point.positions, atol=1e-5)
    end = controller.end_time_s
    assert end is not None
    for later in (0.0, 0.1, 1000.0):
        np.testing.assert_array_equal(controller.sample(end + later), trajectory.points[-1].positions)


@given(trajectories(velocities=False), st.floats(0.0, 4.0))
def test_without_velocities_targets_never_leave_the_range_of_the_points(trajectory: Trajectory, after: float) -> None:
    controller = controller_at_home()
    controller.command(trajectory, NOW, HOME, STILL)
    corners = np.array([HOME, *(point.positions for point in trajectory.points)])
    target = controller.sample(NOW + after)
    assert (target >= corners.min(axis=0) - 1e-9).all()
    assert (target <= corners.max(axis=0) + 1e-9).all()


@given(st.lists(st.tuples(pairs, pairs), min_size=1, max_size=5))
def test_velocities_at_the_points_are_met(points: list[tuple[tuple[float, float], tuple[float, float]]]) -> None:
    controller = controller_at_home()
    moving = [TrajectoryPoint(0.3 * (index + 1), position, speed) for index, (position, speed) in enumerate(points)]
    trajectory = Trajectory(JOINTS, NOW, (*moving, TrajectoryPoint(0.3 * (len(points) + 1), HOME, (0.0, 0.0))))
    assert controller.command(trajectory, NOW, HOME, STILL) is None
    for point in trajectory.points[:-1]:
        at = NOW + point.time_from_start_s
        slope = (controller.sample(at + 1e-5) - controller.sample(at - 1e-5)) / 2e-5
        np.testing.assert_allclose(slope, point.velocities, atol=0.02)


@given(trajectories(), st.floats(0.0, 4.0))
def test_the_order_of_the_joints_in_the_message_makes_no_difference(trajectory: Trajectory, after: float) -> None:
    swapped = Trajectory(
        JOINTS[::-1],
        trajectory.stamp_s,
        tuple(replace(p, positions=p.positions[::-1], velocities=p.velocities[::-1]) for p in trajectory.points),
    )
    one, other = controller_at_home(), controller_at_home()
    one.command(trajectory, NOW, HOME, STILL)
    other.command(swapped, NOW, HOME, STILL)
    np.testing.assert_array_equal(one.sample(NOW + after), other.sample(NOW + after))


@given(trajectories(), st.floats(0.0, 4.0))
def test_a_zero_stamp_means_now(trajectory: Trajectory, after: float) -> None:
    zero, now = controller_at_home(), controller_at_home()
    zero.command(replace(trajectory, stamp_s=0.0), NOW, HOME, STILL)
    now.command(replace(trajectory, stamp_s=NOW), NOW, HOME, STILL)
    np.testing.assert_array_equal(zero.sample(NOW + after), now.sample(NOW + after))


@given(trajectories(), st.floats(0.0, 4.0))
def test_a_refused_trajectory_leaves_the_running_one_as_it_is(trajectory: Trajectory, after: float) -> None:
    controller, undisturbed = controller_at_home(), controller_at_home()
    controller.command(trajectory, NOW, HOME, STILL)
    undisturbed.command(trajectory, NOW, HOME, STILL)
    assert controller.command(replace(trajectory, points=()), NOW, HOME, STILL) is not None
    np.testing.assert_array_equal(controller.sample(NOW + after), undisturbed.sample(NOW + after))


def test_a_new_trajectory_replaces_the_running_one_from_the_measured_state_or_the_last_target() -> None:
    running = Trajectory(JOINTS, NOW, (TrajectoryPoint(1.0, (1.0, 1.0)),))
    new = Trajectory(JOINTS, NOW + 0.6, (TrajectoryPoint(0.4, (0.0, 0.0)),))
    lagging = (0.6, 0.0)
    from_state, from_target = controller_at_home(), controller_at_home(from_last_command=True)
    for controller in (from_state, from_target):
        controller.command(running, NOW, HOME, STILL)
        assert controller.command(new, NOW + 0.5, lagging, STILL) is None
    np.testing.assert_allclose(from_state.sample(NOW + 0.5), lagging)
    np.testing.assert_allclose(from_target.sample(NOW + 0.5), (0.75, 0.25))
    np.testing.assert_allclose(from_state.sample(NOW + 0.75), (0.3, 0.0))


def test_points_that_have_passed_are_skipped() -> None:
    controller = controller_at_home()
    points = (TrajectoryPoint(0.0, (9.0, 9.0)), TrajectoryPoint(1.0, (0.0, 0.0)), TrajectoryPoint(2.0, (1.0, 1.0)))
    assert controller.command(Trajectory(JOINTS, NOW - 1.5, points), NOW, HOME, STILL) is None
    np.testing.assert_allclose(controller.sample(NOW), (0.5, 0.5))


GOOD = Trajectory(JOINTS, NOW, (TrajectoryPoint(0.1, HOME, (0.1, 0.1)), TrajectoryPoint(0.2, HOME, (0.0, 0.0))))
FIRST, LAST = GOOD.points


@pytest.mark.parametrize(
    ("trajectory", "reason"),
    [
        (replace(GOOD, points=()), "empty trajectory"),
        (replace(GOOD, stamp_s=NOW - 0.3), "ends in the past"),
        (replace(GOOD, stamp_s=float("nan")), "stamp must be finite"),
        (replace(GOOD, joints=("lift",)), "got joints"),
        (replace(GOOD, joints=("lift", "grip")), "got joints"),
        (replace(GOOD, joints=("lift", "lift")), "got joints"),
        (replace(GOOD, joints=("lift", "turn", "grip")), "got joints"),
        (replace(GOOD, points=(FIRST, FIRST)), "strictly increase"),
        (replace(GOOD, points=(LAST, FIRST)), "strictly increase"),
        (replace(GOOD, points=(replace(FIRST, positions=(0.0,)), LAST)), "1 positions, expected 2"),
        (replace(GOOD, points=(replace(FIRST, velocities=(0.0,)), LAST)), "1 velocities, expected 2"),
        (replace(GOOD, points=(replace(FIRST, positions=(0.0, float("nan"))), LAST)), "non-finite"),
        (replace(GOOD, points=(replace(FIRST, velocities=(0.0, float("inf"))), LAST)), "non-finite"),
        (replace(GOOD, points=(replace(FIRST, time_from_start_s=-0.1), LAST)), "must not be negative"),
        (replace(GOOD, points=(FIRST, replace(LAST, velocities=(0.0, 0.1)))), "velocities must be zero"),
        (replace(GOOD, points=(replace(FIRST, accelerations=(0.0, 0.0)), LAST)), "accelerations or effort"),
    ],
)
def test_refuses_with_the_reason(trajectory: Trajectory, reason: str) -> None:
    controller = controller_at_home()
    assert controller.command(GOOD, NOW, HOME, STILL) is None
    controller.hold(HOME)
    assert reason in (controller.command(trajectory, NOW, HOME, STILL) or "accepted")
    np.testing.assert_array_equal(controller.sample(NOW + 0.1), HOME)


def test_a_final_velocity_is_accepted_where_the_controller_is_set_so() -> None:
    moving_end = replace(GOOD, points=(FIRST, replace(LAST, velocities=(0.0, 0.1))))
    assert controller_at_home(allow_final_velocity=True).command(moving_end, NOW, HOME, STILL) is None


@pytest.mark.parametrize("values", [(), (0.1,), (0.1, 0.2, 0.3), (0.1, float("nan"))])
def test_a_position_command_of_wrong_length_or_not_finite_changes_nothing(values: tuple[float, ...]) -> None:
    controller = PositionController(JOINTS)
    controller.hold(HOME)
    assert controller.command(values) is not None
    np.testing.assert_array_equal(controller.sample(NOW), HOME)
    assert controller.command((0.1, 0.2)) is None
    np.testing.assert_array_equal(controller.sample(NOW), (0.1, 0.2))


def test_a_named_command_moves_the_named_joints_only() -> None:
    controller = NamedPositionController(JOINTS)
    controller.hold(HOME)
    assert controller.command_named(["turn"], [0.9]) is None
    np.testing.assert_array_equal(controller.sample(NOW), (HOME[0], 0.9))


@pytest.mark.parametrize(
    ("names", "positions"),
    [([], []), (["tail"], [0.1]), (["turn", "turn"], [0.1, 0.2]), (["turn"], []), (["turn"], [float("nan")])],
)
def test_a_wrong_named_command_changes_nothing(names: list[str], positions: list[float]) -> None:
    controller = NamedPositionController(JOINTS)
    controller.hold(HOME)
    assert controller.command_named(names, positions) is not None
    np.testing.assert_array_equal(controller.sample(NOW), HOME)
