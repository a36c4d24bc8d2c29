"""What the operator did, as the controllers would have executed it."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from act_inference_ros.errors import ObservationError
from act_inference_ros.evaluation.comparison.truth import Truth
from act_inference_ros.evaluation.statistics import SETPOINT_PERIOD_S
from act_inference_ros.simulation.command_inputs import trajectory_from_message
from act_inference_ros.simulation.trajectory_controller import TrajectoryController
from test.evaluation import bags
from test.evaluation.bags import JOINTS, START_S

Rows = Sequence[Sequence[float]]
NAMES = ("lift", "pan")


def make_truth(interface: str = "joint_trajectory") -> Truth:
    configuration = bags.configuration(**{"controller.arm.interface": interface})
    return Truth(configuration, {"arm": "commands", "gripper": "none"})


def command(truth: Truth, at: float, times: Sequence[float], rows: Rows, stamp: float | None = None) -> None:
    """A trajectory of lift and pan that comes `at` s; a stamp is s, too, None for none."""
    header = 0.0 if stamp is None else START_S + stamp
    truth.add_command("arm", bags.trajectory(NAMES, times, rows, header), START_S + at)


def measure(truth: Truth, at: float, positions: Sequence[float], names: Sequence[str] = JOINTS) -> None:
    truth.add_state(bags.joint_state(names, positions, START_S + at), START_S + at)


def found(truth: Truth, times: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Pan and lift (n, 2)."""
    return truth.at(START_S + np.asarray(times))[:, :2]


def test_a_trajectory_replaces_the_one_before_when_it_arrives() -> None:
    truth = make_truth()
    command(truth, 0.0, [0.0, 1.0], [[0.0, 0.0], [1.0, 10.0]])
    command(truth, 0.4, [0.5], [[0.0, 5.0]], stamp=0.5)
    expected = [[np.nan] * 2, [2.5, 0.25], [4 + 1 / 6, 0.4 - 0.4 / 6], [4 + 0.35 / 0.6, 0.4 - 0.4 * 0.35 / 0.6]]
    expected += [[5.0, 0.0], [5.0, 0.0]]
    np.testing.assert_allclose(found(truth, [-0.1, 0.25, 0.5, 0.75, 1.0, 5.0]), expected, atol=1e-6)
    assert np.isnan(truth.at([START_S + 0.5])[:, 2]).all()


def test_points_that_lie_further_ahead_than_the_next_message_are_a_truth() -> None:
    """Each point is 0.1 s ahead, and replaced after 1/30 s: the way goes from the measured state towards them."""
    truth = make_truth()
    measure(truth, 0.0, [0.3, 0.1, 0.0])
    for i in range(30):
        command(truth, i / 30, [0.1], [[0.1, 0.3 + 0.01 * i]])
    values = found(truth, np.arange(30) / 30 + 0.01)
    assert np.isfinite(values).all()
    np.testing.assert_allclose(values[0], [0.3, 0.1], atol=1e-6)
    np.testing.assert_allclose(values[:, 1], 0.1, atol=1e-6)
    np.testing.assert_allclose(np.diff(values[15:, 0]), 0.01, rtol=0.01)  # as fast as commanded, some steps behind
    np.testing.assert_allclose(found(truth, [29 / 30 + 0.1, 5.0])[:, 0], 0.59, atol=1e-6)


def test_a_joint_that_was_never_measured_is_known_from_the_first_point_on() -> None:
    truth = make_truth()
    measure(truth, 0.0, [0.5], ["pan"])
    command(truth, 0.0, [0.1], [[1.0, 0.7]])
    np.testing.assert_allclose(found(truth, [0.05, 0.1, 0.2]), [[0.6, np.nan], [0.7, 1.0], [0.7, 1.0]], atol=1e-6)


def test_a_measured_state_of_long_ago_starts_no_trajectory() -> None:
    truth = make_truth()
    measure(truth, 0.0, [0.3, 0.1, 0.0])
    command(truth, 3.0, [0.1], [[0.1, 0.7]])
    assert np.isnan(found(truth, [3.05])).all()
    np.testing.assert_allclose(found(truth, [3.1]), [[0.7, 0.1]])


def test_the_controller_jumps_to_each_single_point_of_now() -> None:
    truth = make_truth()
    for i in range(5):
        command(truth, i / 30, [0.0], [[0.1 * i, -0.1 * i]])
    np.testing.assert_allclose(found(truth, np.arange(5) / 30)[:, 1], 0.1 * np.arange(5), atol=1e-9)
    np.testing.assert_allclose(found(truth, np.arange(5) / 30 + 0.03)[:, 1], 0.1 * np.arange(5), atol=1e-9)


@pytest.mark.parametrize("velocities", [False, True])
def test_the_truth_is_what_the_simulated_controller_plays(velocities: bool) -> None:
    """Random trajectories: past and future stamps, none, one point or many, played by both."""
    random = np.random.default_rng(5)
    truth = make_truth()
    controller = TrajectoryController(NAMES, from_last_command=True, allow_final_velocity=True)
    controller.hold([0.1, 0.3])
    measure(truth, 0.0, [0.3, 0.1, 0.0])
    now = 0.0
    for _ in range(40):
        times = np.cumsum(random.uniform(0.01, 0.1, random.integers(1, 6)))
        stamp = random.choice([0.0, START_S + now + random.uniform(-0.005, 0.05)])
        message = bags.trajectory(NAMES, times, random.normal(size=(len(times), 2)), stamp)
        if velocities:
            points = [replace(point, velocities=random.normal(size=2)) for point in message.points]
            message = replace(message, points=points)
        truth.add_command("arm", message, START_S + now)
        assert controller.command(trajectory_from_message(message), START_S + now, [0.1, 0.3], np.zeros(2)) is None
        instants = START_S + now + np.arange(0.001, 0.06, 0.007)
        played = np.stack([controller.sample(instant) for instant in instants])
        np.testing.assert_allclose(truth.at(instants)[:, [1, 0]], played, atol=1e-4)  # of today's date: 0.24 us
        now += 0.06


def test_a_cubic_is_known_more_finely_than_todays_date() -> None:
    truth = make_truth()
    message = bags.trajectory(NAMES, [0.0, 1.0], [[0.0, 0.0], [0.5, 0.5]], 0.0)
    points = [replace(point, velocities=np.zeros(2)) for point in message.points]
    truth.add_command("arm", replace(message, points=points), START_S)
    since = np.arange(0.0, 1.0, SETPOINT_PERIOD_S)
    jerk = np.diff(truth.setpoints(START_S, since)[:, 0], n=3) / SETPOINT_PERIOD_S**3
    np.testing.assert_allclose(jerk, -6.0, rtol=1e-3)  # of 0.5 (3 s^2 - 2 s^3)


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (None, "damaged"),
        (bags.trajectory(NAMES, [], [], 0), "empty trajectory"),
        (bags.trajectory(NAMES, [0.5], [[0.0, 0.0]], START_S), "ends in the past"),
        (bags.trajectory(NAMES, [0.5, 0.5], [[0.0, 0.0]] * 2, 0), "must increase"),
        (bags.trajectory(["x", "pan"], [0.5], [[0.0, 0.0]], 0), "missing joints"),
    ],
)
def test_after_a_message_that_cannot_be_followed_nothing_is_known_until_the_next(message: Any, reason: str) -> None:
    truth = make_truth()
    command(truth, 0.0, [0.0], [[0.1, 0.2]])
    with pytest.raises(ObservationError, match=reason):
        truth.add_command("arm", message, START_S + 1.0)
    command(truth, 2.0, [0.0], [[0.3, 0.4]])
    np.testing.assert_allclose(found(truth, [0.9, 1.1, 2.1]), [[0.2, 0.1], [np.nan] * 2, [0.4, 0.3]])


def test_times_that_are_no_longer_asked_for_are_forgotten() -> None:
    truth = make_truth()
    for i in range(100):
        command(truth, i / 10, [0.0], [[0.0, float(i)]])
        truth.forget_before(START_S + i / 10 - 1.0)
    np.testing.assert_allclose(found(truth, [8.95, 9.05, 20.0])[:, 0], [89.0, 90.0, 99.0])
    assert np.isnan(found(truth, [5.0])).all()
    truth.clear()
    assert np.isnan(found(truth, [9.95])).all()
