"""Demonstrations: the expert moves the arm, with noise, and what the policy is to learn from is written down."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from act_inference_ros.simulation.expert import PLAN_STEPS, Expert
from act_inference_ros.simulation.scene import DemoArm

IMAGE_STRIDE = 3
"""Every third step has an image: rendering is most of the work, and neighbouring images are alike."""

NOISE_STD = np.array([0.015, 0.015, 0.015, 0.015, 0.015, 0.0005])
"""Of the executed actions, rad and m. Without it the policy sees only perfect motions and cannot get back to one."""

NOISE_MEMORY = 0.8
"""Correlation of the noise from one step to the next: white noise would be averaged away by the arm's inertia."""


@dataclass(frozen=True)
class Demonstration:
    """One successful demonstration of T control steps at DemoArm.FPS.

    Attributes:
        states: float32 (T, 6) joint positions before each step.
        actions: float32 (T, 6) the expert's targets for each step, without the noise they were executed with.
        image_steps: int (N,) the steps that have an image.
        images: uint8 (N, height, width, 3) RGB from the front camera before those steps.
    """

    states: npt.NDArray[np.float32]
    actions: npt.NDArray[np.float32]
    image_steps: npt.NDArray[np.int64]
    images: npt.NDArray[np.uint8]


def demonstrate(arm: DemoArm, expert: Expert, rng: np.random.Generator) -> Demonstration | None:
    """Let the expert pick the cube of a freshly reset arm; None if the cube was not lifted in the end."""
    plan = expert.plan(arm.positions, arm.cube_position_m)
    first_image = int(rng.integers(IMAGE_STRIDE))  # so that demonstrations together have images of every step
    states, images = [], []
    noise = np.zeros(len(DemoArm.JOINTS))
    for step, target in enumerate(plan):
        states.append(arm.positions)
        if step % IMAGE_STRIDE == first_image:
            images.append(arm.render())
        fresh = rng.normal(0.0, np.sqrt(1.0 - NOISE_MEMORY**2), len(noise))
        noise = NOISE_MEMORY * noise + fresh
        arm.step(target + noise * NOISE_STD, 1.0 / DemoArm.FPS)
    if not arm.cube_lifted:
        return None
    return Demonstration(
        states=np.stack(states),
        actions=plan.astype(np.float32),
        image_steps=np.arange(first_image, PLAN_STEPS, IMAGE_STRIDE),
        images=np.stack(images),
    )


class AttemptRecorder:
    """One arm and one expert, used for attempt after attempt."""

    def __init__(self) -> None:
        self._expert = Expert()
        self._arm = DemoArm()

    def attempt(self, seed: int, number: int) -> Demonstration | None:
        """Make the attempt of this number in a recording with this seed; None if it did not lift the cube."""
        scene_seed, noise_seed = np.random.SeedSequence((seed, number)).generate_state(2)
        self._arm.reset(int(scene_seed))
        return demonstrate(self._arm, self._expert, np.random.default_rng(noise_seed))

    def close(self) -> None:
        """Free the arm's renderer."""
        self._arm.close()
