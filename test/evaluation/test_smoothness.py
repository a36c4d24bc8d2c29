"""Smoothness of motions whose figures are known: lines, sines, steps and movements of minimum jerk."""

import numpy as np
import numpy.typing as npt
import pytest

from act_inference_ros.evaluation.metrics.smoothness import Smoothness, SmoothnessSums, smoothness
from act_inference_ros.evaluation.metrics.spectral_arc import spectral_arc_length

Array = npt.NDArray[np.float64]

PERIOD_S = 0.002
FIGURES = tuple(Smoothness.__dataclass_fields__)


def line(n: int = 1000, speed: float = 0.7) -> Array:
    return speed * PERIOD_S * np.arange(n)[:, None]


def minimum_jerk_speed(duration_s: float, period_s: float = PERIOD_S) -> Array:
    """Of a movement over 1 m (Flash and Hogan 1985)."""
    share = np.arange(0.0, duration_s, period_s) / duration_s
    return np.asarray(30.0 * share**2 * (1.0 - share) ** 2 / duration_s)


def assert_same(one: Smoothness, other: Smoothness) -> None:
    for figure in FIGURES:
        np.testing.assert_allclose(getattr(one, figure), getattr(other, figure), rtol=1e-9, err_msg=figure)


def test_an_even_motion_has_steps_but_neither_acceleration_nor_jerk() -> None:
    found = smoothness(line(), PERIOD_S, seams=[500])
    assert found.largest_step == pytest.approx(0.7 * PERIOD_S)
    assert found.seam_jump == pytest.approx(found.largest_step)
    assert found.peak_acceleration == pytest.approx(0.0, abs=1e-8)
    for jerk in (found.rms_jerk, found.boundary_minus_interior_jerk, found.mean_jerk):
        assert jerk == pytest.approx(0.0, abs=1e-5)


def test_a_sine_has_the_figures_of_its_derivatives() -> None:
    amplitude, omega = 0.4, 3.0
    times = np.arange(0.0, 2.0 * 2.0 * np.pi / omega, PERIOD_S)
    found = smoothness(amplitude * np.sin(omega * times)[:, None], PERIOD_S)
    assert found.largest_step == pytest.approx(amplitude * omega * PERIOD_S, rel=1e-3)
    assert found.peak_acceleration == pytest.approx(amplitude * omega**2, rel=1e-3)
    assert found.rms_jerk == pytest.approx(amplitude * omega**3 / np.sqrt(2.0), rel=1e-2)
    assert found.mean_jerk == pytest.approx(amplitude * omega**3 * 2.0 / np.pi, rel=1e-2)


@pytest.mark.parametrize("late", [0, 1])
def test_a_step_at_a_seam_is_its_jump_and_its_jerk(late: int) -> None:
    """The third difference of a step d is d, -2 d, d: among the jerks of the four cycles at the seam."""
    positions = np.zeros((1000, 2))
    positions[400 + late :, 1] = 0.03
    found = smoothness(positions, PERIOD_S, seams=[400, 700])
    assert found.seam_jump == pytest.approx([0.0, 0.03], abs=1e-15)
    assert found.largest_step == pytest.approx([0.0, 0.03], abs=1e-15)
    assert found.peak_acceleration[1] == pytest.approx(0.03 / PERIOD_S**2)
    planted = (1, -2, 1, 0) if not late else (0, 1, -2, 1)
    expected = 0.03 * np.sqrt(np.square(planted).sum() / 8) / PERIOD_S**3
    assert found.boundary_minus_interior_jerk == pytest.approx([0.0, expected])


def test_a_step_elsewhere_is_no_jump_of_a_seam() -> None:
    positions = np.zeros((1000, 1))
    positions[600:] = 0.03
    found = smoothness(positions, PERIOD_S, seams=[400])
    assert found.largest_step == pytest.approx(0.03)
    assert found.seam_jump == 0.0
    assert found.boundary_minus_interior_jerk < 0.0


def test_without_a_seam_and_without_motion_nothing_is_said_to_be_good() -> None:
    moving, still = smoothness(line(), PERIOD_S), smoothness(np.ones((1000, 1)), PERIOD_S)
    assert np.isnan([moving.seam_jump, moving.boundary_minus_interior_jerk]).all()
    assert np.isnan([still.sparc, still.mean_jerk]).all()
    assert still.rms_jerk == 0.0
    assert all(np.isnan(getattr(smoothness(np.empty((0, 1)), PERIOD_S), figure)).all() for figure in FIGURES)


def test_unknown_samples_are_left_out() -> None:
    positions = line()
    positions[300] = np.nan
    found = smoothness(positions, PERIOD_S)
    assert found.largest_step == pytest.approx(0.7 * PERIOD_S)
    assert found.rms_jerk == pytest.approx(0.0, abs=1e-5)
    assert np.isnan(found.sparc)


def test_figures_scale_with_the_motion_and_with_time() -> None:
    random = np.random.default_rng(0)
    positions = np.cumsum(random.normal(0.0, 1e-3, (800, 2)), axis=0)
    one, larger = smoothness(positions, PERIOD_S, [300]), smoothness(5.0 * positions, PERIOD_S, [300])
    slower = smoothness(positions, 2.0 * PERIOD_S, [300])
    for figure, power in (("largest_step", 0), ("seam_jump", 0), ("peak_acceleration", 2), ("rms_jerk", 3)):
        assert getattr(larger, figure) == pytest.approx(5.0 * getattr(one, figure)), figure
        assert getattr(slower, figure) == pytest.approx(getattr(one, figure) / 2.0**power), figure
    assert larger.boundary_minus_interior_jerk == pytest.approx(5.0 * one.boundary_minus_interior_jerk)
    assert larger.sparc == pytest.approx(one.sparc)
    assert larger.mean_jerk == pytest.approx(5.0 * one.mean_jerk, rel=0.05)  # fewer samples count as standing still


@pytest.mark.parametrize("duration_s", [0.5, 1.0, 4.0])
@pytest.mark.parametrize("amplitude", [0.01, 1.0])
def test_the_smoothest_movement_has_the_published_arc_whatever_its_size_and_duration(
    duration_s: float, amplitude: float
) -> None:
    """Balasubramanian et al. 2015: neither counts, and a single movement of minimum jerk has about -1.4."""
    assert spectral_arc_length(amplitude * minimum_jerk_speed(duration_s), PERIOD_S) == pytest.approx(-1.40, abs=0.01)


def test_the_arc_grows_with_every_movement_and_with_shaking() -> None:
    movement = minimum_jerk_speed(1.0)
    arcs = [spectral_arc_length(np.tile(movement, count), PERIOD_S) for count in (1, 2, 3, 5)]
    assert arcs == sorted(arcs, reverse=True)
    assert arcs[1] < -2.0
    shaking = movement + 0.5 * (1.0 + np.sin(2.0 * np.pi * 6.0 * PERIOD_S * np.arange(len(movement))))
    assert spectral_arc_length(shaking, PERIOD_S) < arcs[0] - 0.3


def test_pieces_give_the_figures_of_the_whole() -> None:
    random = np.random.default_rng(1)
    positions = np.cumsum(random.normal(0.0, 1e-3, (700, 3)), axis=0)
    seams = [5, 99, 100, 333, 601]
    joined = np.isin(np.arange(700), seams)[:, None].repeat(3, axis=1)
    sums = SmoothnessSums(3, PERIOD_S)
    for begin, end in ((0, 1), (1, 4), (4, 100), (100, 102), (102, 700)):
        sums.add(positions[begin:end], joined[begin:end])
    assert sums.seams.tolist() == [5, 5, 5]
    assert_same(sums.smoothness(), smoothness(positions, PERIOD_S, seams))


def test_over_an_interruption_nothing_is_judged_and_sums_add_up() -> None:
    one, other = SmoothnessSums(1, PERIOD_S), SmoothnessSums(1, PERIOD_S)
    nothing = np.zeros((500, 1), dtype=np.bool_)
    one.add(line(500), nothing)
    one.interrupt()
    one.add(line(500) + 2.0, nothing)
    assert one.smoothness().largest_step == pytest.approx(0.7 * PERIOD_S)
    wild = np.random.default_rng(2).normal(size=(500, 1))
    other.add(wild, nothing)
    one.merge(other)
    together, alone = one.smoothness(), smoothness(wild, PERIOD_S)
    assert together.largest_step == alone.largest_step
    assert together.rms_jerk == pytest.approx(alone.rms_jerk / np.sqrt(3.0), rel=1e-2)


def test_long_motions_are_judged_by_stretches_of_bounded_length() -> None:
    movement = np.cumsum(minimum_jerk_speed(1.0)) * PERIOD_S
    positions = np.concatenate([movement + i for i in range(20)])[:, None]
    by_stretch = SmoothnessSums(1, PERIOD_S, stretch_s=1.0)
    by_stretch.add(positions, np.zeros(positions.shape, dtype=np.bool_))
    assert by_stretch.smoothness().sparc == pytest.approx(-1.40, abs=0.02)
    assert smoothness(positions, PERIOD_S).sparc < -4.0


def test_arguments_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ValueError, match=r"expected \(n, joints\)"):
        smoothness(np.zeros(5), PERIOD_S)
    with pytest.raises(ValueError, match=r"indices of 5 samples, got \[5\]"):
        smoothness(np.zeros((5, 1)), PERIOD_S, [5])
    with pytest.raises(ValueError, match="above 0"):
        smoothness(np.zeros((5, 1)), 0.0)
