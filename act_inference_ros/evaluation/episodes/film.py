"""A short film of a simulated episode for the report: the arm moves again as it did, seen from outside."""

from __future__ import annotations

import io

from act_inference_ros.errors import MissingDependencyError
from act_inference_ros.evaluation.episodes.closed_loop import CONTROL_RATE, Episode
from act_inference_ros.simulation.scene import DemoArm

FRAME_RATE = 10
SIZE = 240
COLOURS = 96
"""Of the GIF's palette: enough for a scene of few materials, and a third of the size of 256."""


def film(episode: Episode, size: int = SIZE) -> bytes:
    """A GIF in real time, `size` pixels square, of an episode; the physics repeats itself exactly.

    Raises MissingDependencyError without pillow.
    """
    try:
        from PIL import Image
    except ModuleNotFoundError as error:
        raise MissingDependencyError("films of episodes need pillow: pip install pillow") from error
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
    # One palette for all frames: what stands still then stays the same and compresses to nothing.
    palette = Image.fromarray(frames[-1]).quantize(COLOURS)
    images = [Image.fromarray(frame).quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames]
    buffer = io.BytesIO()
    durations = [1000 // FRAME_RATE] * (len(images) - 1) + [1000]
    images[0].save(buffer, "GIF", save_all=True, append_images=images[1:], duration=durations, loop=0, optimize=True)
    return buffer.getvalue()
