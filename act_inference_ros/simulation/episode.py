"""Closed-loop episodes in this process: a policy drives the demo robot, and success is counted."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt

from act_inference_ros.errors import ConfigurationError
from act_inference_ros.simulation.scene import DemoArm
from act_inference_ros.spec import IMAGE_PREFIX, STATE_KEY, Chunk, Observation

LIFT_HOLD_S = 0.25
"""The cube must stay up for so long: knocked into the air is not lifted."""

MAX_STEPS = 100
"""Control steps in an episode; the expert needs 68."""

Predict = Callable[[Observation], Chunk]
"""From an observation to a chunk (chunk_size, 6), as InferenceClient.predict."""


@dataclass(frozen=True)
class EpisodeResult:
    """How an episode ended."""

    success: bool
    steps: int
    """Control steps executed."""
    predictions: int
    """Chunks asked for."""
    cube_height_m: float
    """How far the cube was lifted at the end."""


def run_episode(
    arm: DemoArm,
    predict: Predict,
    seed: int,
    replan_every: int = 10,
    latency_steps: int = 0,
    max_steps: int = MAX_STEPS,
    camera: str = "front",
) -> EpisodeResult:
    """Run one episode from a reset with `seed` until the cube is lifted or `max_steps` control steps have passed.

    Every `replan_every` steps an observation is taken and a chunk predicted from it. The chunk takes over
    `latency_steps` later, in time: its first rows, meant for steps that have passed meanwhile, are skipped. Until the
    first chunk has taken over the arm stays where it is; past its end a chunk's last target is held.

    Args:
        arm: made with render=True; left at the episode's end.
        predict: the policy.
        seed: of the start.
        replan_every: control steps of 1 / DemoArm.FPS between observations, at least 1.
        latency_steps: control steps from an observation to its chunk taking over, less than `replan_every` + 1.
        max_steps: control steps after which the episode is a failure.
        camera: the arm's camera, and the name under which the policy knows it.

    Raises:
        ConfigurationError: if the steps are out of range.
        ActInferenceError: whatever `predict` raises.
    """
    if replan_every < 1 or not 0 <= latency_steps <= replan_every:
        raise ConfigurationError(
            f"expected replan_every >= 1 and latency_steps from 0 to that, got {replan_every} and {latency_steps}"
        )
    arm.reset(seed)
    target = arm.positions
    active: tuple[int, Chunk] | None = None
    coming: tuple[int, Chunk] | None = None
    predictions = 0
    for step in range(max_steps):
        if coming is not None and step >= coming[0] + latency_steps:
            active, coming = coming, None
        if step % replan_every == 0:
            coming = step, predict(observe(arm, camera))
            predictions += 1
            if latency_steps == 0:
                active, coming = coming, None
        if active is not None:
            observed, chunk = active
            target = chunk[min(step - observed, len(chunk) - 1)]
        arm.step(target, 1.0 / DemoArm.FPS)
        if arm.cube_lifted:
            return EpisodeResult(True, step + 1, predictions, arm.cube_height_m)
    return EpisodeResult(False, max_steps, predictions, arm.cube_height_m)


def observe(arm: DemoArm, camera: str = "front") -> dict[str, npt.NDArray[Any]]:
    """What a policy is shown: joint positions and one camera image, under LeRobot's keys."""
    return {STATE_KEY: arm.positions, f"{IMAGE_PREFIX}{camera}": arm.render(camera)}


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
    """One line for people: `success: 19/20 (95 %, 95 % interval 76..99 %)`."""
    low, high = wilson_interval(successes, episodes)
    rate = successes / episodes if episodes else 0.0
    return f"success: {successes}/{episodes} ({rate * 100:.0f} %, 95 % interval {low * 100:.0f}..{high * 100:.0f} %)"
