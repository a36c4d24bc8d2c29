"""How long a plan may be followed after the newest observation it was made from, if the user has not set it."""

from __future__ import annotations

from act_inference_ros.errors import ConfigurationError
from act_inference_ros.robot.configuration import RobotConfiguration

SHORTEST_S, LONGEST_S = 0.5, 3.0
CHUNKS_MISSED = 3
"""A plan lasts for this many inferences and chunk intervals, because one lost chunk must not stop the arm."""


def automatic_plan_age(inference_s: float, inference_rate: float, stride: int = 1) -> float:
    """Return the longest age of a plan, s: 3 inference times and 3 intervals between chunks, within 0.5 to 3 s.

    `inference_s` is how long the backend in use takes (its 95th percentile; before any chunk its slowest warm-up).
    Observations come at `inference_rate` per second, and every `stride`-th of them is used.
    """
    wanted = CHUNKS_MISSED * (inference_s + stride / inference_rate)
    return min(max(wanted, SHORTEST_S), LONGEST_S)


def check_plan_age(configuration: RobotConfiguration, warm_up_s: float) -> None:
    """Raise ConfigurationError if chunks come more rarely than a plan may be followed, unless the user set that age."""
    if configuration.max_plan_age:
        return
    longest = automatic_plan_age(warm_up_s, configuration.inference_rate)
    interval = max(1.0 / configuration.inference_rate, warm_up_s)
    if interval > longest:
        raise ConfigurationError(
            f"a chunk comes every {interval:.2f} s (inference_rate {configuration.inference_rate:g}, an inference "
            f"takes {warm_up_s:.2f} s), but a plan is followed for {longest:.2f} s at most: raise inference_rate, use "
            "a faster device, or give max_plan_age, the longest motion on an old observation that you will take, in s"
        )
