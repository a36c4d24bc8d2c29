"""How a new trajectory joins the motion, update by update, on each ROS distribution, with an arm that lags behind."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pytest

from act_inference_ros.errors import ConfigurationError
from act_inference_ros.simulation.controllers import PositionController
from act_inference_ros.simulation.trajectory import Trajectory, TrajectoryPoint
from act_inference_ros.simulation.trajectory_controller import (
    DISTROS,
    HUMBLE,
    JAZZY,
    KILTED,
    Distro,
    TrajectoryController,
    distro_named,
)

Plan = Callable[[float], tuple[float, float]]
Floats = npt.NDArray[np.float64]

JOINTS = ("turn",)
BEGIN = 100.0
PERIOD = 0.002
SPEED = 1.5
LEAD = 0.05
STEP = SPEED * PERIOD

every_distro = pytest.mark.parametrize("distro", [HUMBLE, JAZZY, KILTED], ids=lambda distro: distro.name)
looking_ahead = pytest.mark.parametrize("distro", [JAZZY, KILTED], ids=lambda distro: distro.name)
either_start = pytest.mark.parametrize("from_last_command", [False, True], ids=["from_measured", "from_last_command"])
both_lags = pytest.mark.parametrize("lag_s", [0.03, 0.1])


def ramp(time_s: float) -> tuple[float, float]:
    """Position and velocity of a joint that turns at SPEED."""
    return SPEED * (time_s - BEGIN), SPEED


def curve(time_s: float) -> tuple[float, float]:
    """A cubic, which cubic segments between any of its points repeat exactly, and straight ones do not."""
    t = time_s - BEGIN
    return 0.3 + 1.2 * t - 2.0 * t**2 + 0.9 * t**3, 1.2 - 4.0 * t + 2.7 * t**2


def message(plan: Plan, times: Sequence[float], stamp_s: float, velocities: bool = True) -> Trajectory:
    """The plan at `times` (s on the clock), then a point at rest half a second later, so that every distro takes it."""
    points = []
    for time_s in times:
        position, velocity = plan(time_s)
        points.append(TrajectoryPoint(time_s - stamp_s, (position,), (velocity,) if velocities else ()))
    end = TrajectoryPoint(times[-1] + 0.5 - stamp_s, plan(times[-1] + 0.5)[:1], (0.0,) if velocities else ())
    return Trajectory(JOINTS, stamp_s, (*points, end))


class Motion(NamedTuple):
    """What happened at each update: its time, the command, the reference, and where the arm was measured."""

    times: Floats
    commands: Floats
    references: Floats
    measured: Floats


class Arm:
    """A joint that follows its command with a first-order lag, and the controller in front of it at 500 Hz."""

    def __init__(self, controller: TrajectoryController, lag_s: float, start: float = 0.0) -> None:
        self.controller = controller
        self.position, self.velocity = start, 0.0
        self.updates = 0
        self._lag_s = lag_s
        controller.hold((start,))

    @property
    def now_s(self) -> float:
        return BEGIN + self.updates * PERIOD

    def run(self, duration_s: float) -> Motion:
        rows = []
        for _ in range(round(duration_s / PERIOD)):
            now_s = self.now_s
            command = float(self.controller.update(now_s, (self.position,), np.array([self.velocity]))[0])
            rows.append((now_s, command, float(self.controller.reference.positions[0]), self.position))
            self.position = command + (self.position - command) * np.exp(-PERIOD / self._lag_s)
            self.velocity = (command - self.position) / self._lag_s
            self.updates += 1
        return Motion(*np.array(rows).T)

    def receive(self, trajectory: Trajectory) -> None:
        assert self.controller.receive(trajectory, self.now_s) is None


def meant_for(distro: Distro, times: Floats) -> Floats:
    """The moments for which the commands of the updates at `times` are made."""
    return times + PERIOD if distro.looks_ahead else times


def arm_on_the_ramp(distro: Distro, lag_s: float = 0.1, **options: object) -> Arm:
    """An arm that turns steadily at SPEED, its lag behind the plan, one second after BEGIN."""
    arm = Arm(TrajectoryController(JOINTS, distro=distro, period_s=PERIOD, **options), lag_s)  # type: ignore[arg-type]
    arm.receive(message(ramp, [BEGIN, BEGIN + 5.0], BEGIN))
    arm.run(1.0)
    return arm


def steps_after_a_message_stamped_ahead(arm: Arm) -> tuple[Floats, Motion]:
    """How far each command moves, from the update that takes positions only, stamped LEAD ahead, to its stamp."""
    before = arm.run(10 * PERIOD).commands[-1]
    stamp_s = arm.now_s + LEAD
    arm.receive(message(ramp, [stamp_s, stamp_s + 1.0], stamp_s, velocities=False))
    motion = arm.run(LEAD - PERIOD)
    return np.diff(motion.commands, prepend=before), motion


@every_distro
@both_lags
def test_positions_stamped_ahead_throw_the_command_back_by_lag_times_speed(distro: Distro, lag_s: float) -> None:
    arm = arm_on_the_ramp(distro, lag_s)
    steps, motion = steps_after_a_message_stamped_ahead(arm)
    assert -(steps[0] - STEP) == pytest.approx(lag_s * SPEED, rel=0.1)
    assert (steps[1:] > STEP).all()
    assert motion.references[0] == pytest.approx(motion.measured[0], abs=1e-12)


@both_lags
def test_humble_from_the_last_command_stands_still_for_exactly_one_update(lag_s: float) -> None:
    arm = arm_on_the_ramp(HUMBLE, lag_s, from_last_command=True)
    steps, _ = steps_after_a_message_stamped_ahead(arm)
    assert steps[0] == pytest.approx(0.0, abs=1e-12)
    np.testing.assert_allclose(steps[1:], STEP * (1 + PERIOD / LEAD), rtol=1e-6)


@looking_ahead
@both_lags
def test_from_the_last_command_exactly_one_update_moves_up_to_twice_as_far(distro: Distro, lag_s: float) -> None:
    arm = arm_on_the_ramp(distro, lag_s, from_last_command=True)
    steps, _ = steps_after_a_message_stamped_ahead(arm)
    slower = STEP * LEAD / (LEAD + PERIOD)
    assert steps[0] == pytest.approx(2 * slower, rel=1e-6)
    np.testing.assert_allclose(steps[1:], slower, rtol=1e-6)


def play_overlapping(distro: Distro, from_last_command: bool, lag_s: float, back_s: float, velocities: bool) -> Floats:
    """How far each command is from `curve`, with a message every 0.1 s that begins `back_s` before it is sent."""
    controller = TrajectoryController(JOINTS, distro=distro, from_last_command=from_last_command, period_s=PERIOD)
    arm = Arm(controller, lag_s, start=curve(BEGIN)[0])
    errors = []
    for knot_s in (0.033, 0.02, 0.047, 0.1, 0.013):
        begin_s = arm.now_s - back_s
        arm.receive(message(curve, np.arange(begin_s, arm.now_s + 0.5, knot_s).tolist(), begin_s, velocities))
        motion = arm.run(0.1)
        plan = np.array([curve(time_s)[0] for time_s in meant_for(distro, motion.times)])
        errors.append(np.abs(motion.commands - plan))
    return np.concatenate(errors)


@every_distro
@either_start
@both_lags
def test_a_message_that_begins_with_what_was_told_is_played_exactly(
    distro: Distro, from_last_command: bool, lag_s: float
) -> None:
    assert play_overlapping(distro, from_last_command, lag_s, back_s=0.3, velocities=True).max() < 1e-9


@every_distro
def test_without_velocities_or_without_overlap_the_plan_is_not_played_exactly(distro: Distro) -> None:
    assert play_overlapping(distro, False, 0.1, back_s=0.3, velocities=False).max() > 1e-4
    assert play_overlapping(distro, False, 0.1, back_s=-LEAD, velocities=True).max() > 1e-2


@every_distro
def test_where_a_point_has_velocities_the_way_to_it_begins_at_the_measured_velocity(distro: Distro) -> None:
    controller = TrajectoryController(JOINTS, distro=distro, period_s=PERIOD)
    controller.receive(message(ramp, [BEGIN + 0.2], BEGIN + 0.2), BEGIN)
    # The cubic from (1, -0.4) to (0.3, 1.5) in 0.2 s, at the moment the command is meant for.
    t = float(meant_for(distro, np.array(0.0)))
    second = (3 * (0.3 - 1.0) / 0.2 - 2 * -0.4 - 1.5) / 0.2
    third = (2 * (1.0 - 0.3) / 0.2 - 0.4 + 1.5) / 0.2**2
    expected = 1.0 - 0.4 * t + second * t**2 + third * t**3
    assert controller.update(BEGIN, (1.0,), np.array([-0.4]))[0] == pytest.approx(expected, abs=1e-12)
    assert controller.reference.velocities[0] == pytest.approx(-0.4)


def test_a_stream_jumps_to_whatever_it_is_sent() -> None:
    controller = PositionController(JOINTS)
    controller.hold((0.0,))
    for target in (2.0, -3.0):
        controller.command((target,))
        assert controller.sample(BEGIN)[0] == target


@every_distro
def test_a_message_waits_for_the_update_and_the_newest_one_wins(distro: Distro) -> None:
    arm = arm_on_the_ramp(distro)
    now_s = arm.now_s
    reference = arm.controller.reference.positions
    arm.receive(message(lambda t: (7.0, 0.0), [now_s - 0.1], now_s - 0.1))
    arm.receive(message(lambda t: (8.0, 0.0), [now_s - 0.1], now_s - 0.1))
    assert arm.controller.receive(Trajectory(JOINTS, now_s, ()), now_s) is not None
    np.testing.assert_array_equal(arm.controller.reference.positions, reference)
    assert arm.run(PERIOD).commands[0] == 8.0


def test_a_message_without_a_stamp_begins_at_the_update_that_takes_it() -> None:
    arm = Arm(TrajectoryController(JOINTS, distro=HUMBLE, period_s=PERIOD), 0.1)
    arm.receive(Trajectory(JOINTS, 0.0, (TrajectoryPoint(0.0, (1.0,)), TrajectoryPoint(1.0, (2.0,)))))
    arm.updates += 50
    motion = arm.run(0.5)
    np.testing.assert_allclose(motion.commands, 1.0 + motion.times - motion.times[0], atol=1e-9)


@every_distro
def test_the_reference_is_what_the_trajectory_says_at_the_update(distro: Distro) -> None:
    arm = arm_on_the_ramp(distro)
    motion = arm.run(0.1)
    np.testing.assert_allclose(motion.references, SPEED * (motion.times - BEGIN), atol=1e-9)
    np.testing.assert_allclose(motion.commands, SPEED * (meant_for(distro, motion.times) - BEGIN), atol=1e-9)
    np.testing.assert_allclose(arm.controller.reference.velocities, [SPEED], atol=1e-9)


@every_distro
def test_an_inactive_controller_ignores_messages_and_stays_at_its_last_command(distro: Distro) -> None:
    arm = arm_on_the_ramp(distro)
    last = arm.run(PERIOD).commands[-1]
    arm.controller.deactivate()
    arm.receive(message(ramp, [arm.now_s - 0.3, arm.now_s + 5.0], arm.now_s - 0.3))
    arm.controller.command(message(ramp, [arm.now_s - 0.3, arm.now_s + 5.0], arm.now_s - 0.3), arm.now_s, (0.0,), None)
    assert (arm.run(0.5).commands == last).all()
    arm.controller.activate()
    assert (arm.run(0.1).commands == last).all()
    arm.receive(message(ramp, [arm.now_s - 0.3, arm.now_s + 5.0], arm.now_s - 0.3))
    assert arm.run(PERIOD).commands[0] - last == pytest.approx(0.6 * SPEED, rel=0.02)


@every_distro
def test_a_joint_further_away_than_its_tolerance_is_held_where_it_was_measured(distro: Distro) -> None:
    lag = 0.1 * SPEED
    within = arm_on_the_ramp(distro, 0.1, path_tolerance={"turn": 1.1 * lag})
    assert within.run(0.1).commands[-1] > ramp(within.now_s - 0.01)[0]
    arm = Arm(TrajectoryController(JOINTS, distro=distro, path_tolerance={"turn": 0.5 * lag}, period_s=PERIOD), 0.1)
    arm.receive(message(ramp, [BEGIN, BEGIN + 5.0], BEGIN))
    motion = arm.run(1.0)
    first = int(np.flatnonzero(np.abs(motion.measured - motion.references) > 0.5 * lag)[0])
    assert motion.commands[first] == motion.commands[first - 1]
    assert (motion.commands[first + 1 :] == motion.measured[first]).all()


@every_distro
def test_a_controller_that_gave_up_follows_the_next_message(distro: Distro) -> None:
    arm = Arm(TrajectoryController(JOINTS, distro=distro, path_tolerance={"turn": 0.01}, period_s=PERIOD), 0.1)
    arm.receive(message(ramp, [BEGIN, BEGIN + 5.0], BEGIN))
    held = arm.run(1.0).commands[-1]
    slow_to = Trajectory(JOINTS, arm.now_s, (TrajectoryPoint(10.0, (held + 0.1,)),))
    arm.receive(slow_to)
    assert arm.run(10.1).commands[-1] == pytest.approx(held + 0.1, abs=1e-9)


def one_point(position: float, stamp_s: float) -> Trajectory:
    return Trajectory(JOINTS, stamp_s, (TrajectoryPoint(0.0, (position,)),))


@every_distro
def test_the_tolerance_counts_at_the_first_update_but_not_while_a_joint_is_held(distro: Distro) -> None:
    controller = TrajectoryController(JOINTS, distro=distro, path_tolerance={"turn": 0.1}, period_s=PERIOD)
    for again_s in (BEGIN, BEGIN + 1.0):
        controller.hold((0.0,))
        assert controller.receive(one_point(1.0, again_s), again_s) is None
        commands = [controller.update(again_s + k * PERIOD, (at,))[0] for k, at in enumerate((0.2, 5.0, 9.0))]
        assert commands == [0.0, 0.2, 0.2]
    assert controller.receive(one_point(1.0, BEGIN + 2.0), BEGIN + 2.0) is None
    assert [controller.update(BEGIN + 2.0 + k * PERIOD, (3.0,))[0] for k in range(2)] == [0.2, 3.0]


@every_distro
def test_the_tolerance_no_longer_counts_after_the_last_point(distro: Distro) -> None:
    controller = TrajectoryController(JOINTS, distro=distro, path_tolerance={"turn": 0.1}, period_s=PERIOD)
    controller.receive(one_point(1.0, BEGIN), BEGIN)
    commands = [controller.update(BEGIN + k * PERIOD, (at,))[0] for k, at in enumerate((1.0, 5.0, 9.0))]
    assert commands == [1.0, 1.0, 1.0]


@every_distro
def test_a_segment_is_straight_where_one_of_its_ends_has_no_velocity(distro: Distro) -> None:
    controller = TrajectoryController(JOINTS, distro=distro, period_s=PERIOD)
    points = (TrajectoryPoint(0.0, (0.0,)), TrajectoryPoint(1.0, (1.0,), (9.0,)), TrajectoryPoint(3.0, (2.0,)))
    controller.receive(Trajectory(JOINTS, BEGIN, points), BEGIN)
    for time_s, position, velocity in ((BEGIN + 0.25, 0.25, 1.0), (BEGIN + 2.5, 1.75, 0.5)):
        controller.update(time_s, (0.0,))
        assert controller.reference.positions[0] == pytest.approx(position)
        assert controller.reference.velocities[0] == pytest.approx(velocity)


@every_distro
def test_speed_scaling_slows_the_trajectory_and_a_new_message_returns_to_the_clock(distro: Distro) -> None:
    arm = arm_on_the_ramp(distro)
    arm.controller.speed_scaling_factor = 0.5
    slowed = arm.run(0.4)
    np.testing.assert_allclose(np.diff(slowed.commands), STEP / 2, atol=1e-9)
    assert arm.controller.end_time_s == pytest.approx(BEGIN + 5.5 + 0.2, abs=PERIOD)
    arm.receive(message(ramp, [arm.now_s - 0.3, arm.now_s + 5.0], arm.now_s - 0.3))
    caught_up = arm.run(0.1)
    assert caught_up.commands[0] - slowed.commands[-1] == pytest.approx(0.2 * SPEED, abs=2 * STEP)
    np.testing.assert_allclose(np.diff(caught_up.commands), STEP / 2, atol=1e-9)


@pytest.mark.parametrize(("distro", "accepted"), [(HUMBLE, True), (JAZZY, False), (KILTED, False)])
def test_only_humble_takes_a_moving_end(distro: Distro, accepted: bool) -> None:
    controller = TrajectoryController(JOINTS, distro=distro)
    moving = Trajectory(JOINTS, BEGIN, (TrajectoryPoint(0.1, (0.0,), (0.5,)),))
    assert (controller.receive(moving, BEGIN) is None) is accepted
    assert (controller.command(moving, BEGIN, (0.0,), None) is None) is accepted


ALL_DISTROS = {
    "interpolation_method": "splines",
    "joints": ["turn", "lift"],
    "allow_partial_joints_goal": False,
    "cmd_timeout": 0.0,
    "constraints.turn.trajectory": 0.0,
    "constraints.lift.trajectory": 0.2,
    "use_sim_time": True,
}


@pytest.mark.parametrize(
    ("distro", "own"),
    [
        (HUMBLE, {"allow_nonzero_velocity_at_trajectory_end": True, "open_loop_control": True}),
        (
            JAZZY,
            {
                "allow_nonzero_velocity_at_trajectory_end": False,
                "interpolate_from_desired_state": True,
                "open_loop_control": False,
                "speed_scaling.state_interface": "",
            },
        ),
        (
            KILTED,
            {
                "allow_nonzero_velocity_at_trajectory_end": False,
                "interpolate_from_desired_state": True,
                "speed_scaling.state_interface": "",
            },
        ),
    ],
)
def test_the_parameters_are_those_of_the_distribution(distro: Distro, own: dict[str, object]) -> None:
    controller = TrajectoryController(
        ("turn", "lift"), distro=distro, from_last_command=True, path_tolerance={"lift": 0.2}
    )
    assert controller.parameters(use_sim_time=True) == ALL_DISTROS | own
    from_measured = TrajectoryController(("turn", "lift"), distro=distro).parameters()
    assert not any(from_measured[name] for name in distro.last_command_parameters)
    assert from_measured["use_sim_time"] is False


def test_an_unknown_distribution_or_joint_is_an_error_that_names_the_known_ones() -> None:
    assert [distro_named(name) for name in DISTROS] == [HUMBLE, JAZZY, KILTED]
    with pytest.raises(ConfigurationError, match=r"'iron'.*humble, jazzy, kilted"):
        distro_named("iron")
    with pytest.raises(ConfigurationError, match=r"\['tail'\].*\['turn'\]"):
        TrajectoryController(JOINTS, path_tolerance={"tail": 0.1})
