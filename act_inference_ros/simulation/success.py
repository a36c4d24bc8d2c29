"""The demo robot's criterion of success, and the confidence interval of a success rate."""

from __future__ import annotations

import math

from act_inference_ros.errors import ConfigurationError

LIFT_HOLD_S = 0.25
"""The cube must stay up for this long, so that a cube knocked into the air does not count as lifted."""


def wilson_interval(successes: int, n: int, z: float = 1.96) -> tuple[float, float]:
    """Bounds of a success probability, 0..1, after `successes` of `n` trials; z = 1.96 is for 95 % confidence.

    Source: Wilson 1927, "Probable inference, the law of succession, and statistical inference", JASA 22. Unlike the
    textbook interval it stays inside 0..1 and has a width when all trials succeed. Without trials it is (0, 1).

    Raises:
        ConfigurationError: if the counts are impossible.
    """
    if not 0 <= successes <= n:
        raise ConfigurationError(f"expected 0 <= successes <= n, got {successes} and {n}")
    if n == 0:
        return 0.0, 1.0
    rate = successes / n
    denominator = 1.0 + z**2 / n
    centre = rate + z**2 / (2.0 * n)
    spread = z * math.sqrt(rate * (1.0 - rate) / n + z**2 / (4.0 * n**2))
    return max(0.0, (centre - spread) / denominator), min(1.0, (centre + spread) / denominator)


def success_line(successes: int, episodes: int) -> str:
    """One line for people: `success: 19/20 (95 %, 95 % interval 76..99 %)`; without episodes it has no rate."""
    low, high = wilson_interval(successes, episodes)
    if episodes == 0:
        return "success: 0/0 (no episode came to its end)"
    rate = successes / episodes
    return f"success: {successes}/{episodes} ({rate * 100:.0f} %, 95 % interval {low * 100:.0f}..{high * 100:.0f} %)"
