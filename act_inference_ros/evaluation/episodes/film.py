"""A short film of a simulated episode for the report: the motion is repeated, seen from outside."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from act_inference_ros.evaluation.episodes.closed_loop import CONTROL_RATE, Episode
from act_inference_ros.evaluation.pictures import pillow
from act_inference_ros.simulation.scene import DemoArm

Pixels = npt.NDArray[np.uint8]

FILMS = "films of episodes"
"""What needs pillow."""
FRAME_RATE = 10
SIZE = 240
COLOURS = 96
"""Colours of the GIF's palette: enough for a scene of few materials, and a third of the size with 256."""


def film(episode: Episode, size: int = SIZE) -> bytes:
    """Return a GIF of an episode in real time, `size` pixels square; the physics repeats exactly.

    Raises MissingDependencyError without pillow.
    """
    pillow(FILMS)
    arm = DemoArm(0, size, size)
    try:
        arm.reset(episode.seed + episode.index)
        frames = []
        for step, target in enumerate(episode.arm_targets):
            if step % (CONTROL_RATE // FRAME_RATE) == 0:
                frames.append(arm.render("overview"))
            arm.step(target, 1.0 / CONTROL_RATE)
        frames.append(arm.render("overview"))
    finally:
        arm.close()
    return animated_gif(frames, FRAME_RATE)


def animated_gif(frames: Sequence[Pixels], frame_rate: float, colours: int = COLOURS) -> bytes:
    """A GIF that begins again a second after its end. `frames` are uint8 (height, width, 3) RGB.

    Raises MissingDependencyError without pillow.
    """
    image = pillow(FILMS)
    # One palette for all frames, so that unchanged areas compress to almost nothing.
    palette = image.fromarray(frames[-1]).quantize(colours)
    images = [image.fromarray(frame).quantize(palette=palette, dither=image.Dither.NONE) for frame in frames]
    buffer = io.BytesIO()
    durations = [round(1000 / frame_rate)] * (len(images) - 1) + [1000]
    images[0].save(buffer, "GIF", save_all=True, append_images=images[1:], duration=durations, loop=0, optimize=True)
    return buffer.getvalue()
