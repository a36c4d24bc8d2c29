"""The statistics of success."""

import pytest

from act_inference_ros.errors import ConfigurationError
from act_inference_ros.simulation.success import success_line, wilson_interval


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    # Newcombe 1998, "Two-sided confidence intervals for the single proportion", table I, method 3.
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_the_interval_agrees_with_published_values(successes: int, n: int, low: float, high: float) -> None:
    assert wilson_interval(successes, n) == pytest.approx((low, high), abs=6e-5)


def test_the_interval_of_impossible_counts_is_refused() -> None:
    with pytest.raises(ConfigurationError):
        wilson_interval(3, 2)


def test_the_success_line_is_exactly_this() -> None:
    assert success_line(19, 20) == "success: 19/20 (95 %, 95 % interval 76..99 %)"
    assert success_line(0, 0) == "success: 0/0 (no episode came to its end)"
