"""The film of the demo's episodes: arm and cube as they were recorded, seen from outside, and what the policy saw.

    python -m act_inference_ros.demo.film --gif docs/demo.gif --episodes 1 2

Nothing is simulated again: the pictures are drawn after the demo from the measured joints and the cube's poses.
"""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from act_inference_ros.demo.recording import BAG, DemoRecording, Episode
from act_inference_ros.errors import ActInferenceError, ConfigurationError
from act_inference_ros.evaluation.episodes.film import FILMS, animated_gif
from act_inference_ros.evaluation.pictures import pillow
from act_inference_ros.interfaces import NANOSECONDS
from act_inference_ros.program import exit_status
from act_inference_ros.simulation.scene import DemoArm

FRAME_RATE = 8
WIDTH, HEIGHT = 320, 240
INSET = 80
"""Width of the policy's picture in the corner, pixels."""
GIF_COLOURS = 255

_MARGIN = 6
_FRAME = 2
_QUALITY = 70

Pixels = npt.NDArray[np.uint8]


class Camera:
    """Draws recorded episodes; a context manager. Use it in one thread. Raises MissingDependencyError as DemoArm does.

    Without pillow it raises MissingDependencyError, too.
    """

    def __init__(self) -> None:
        self._image = pillow(FILMS)
        self._arm = DemoArm(0, HEIGHT, WIDTH)

    def __enter__(self) -> Camera:
        return self

    def __exit__(self, *_: object) -> None:
        self._arm.close()

    def frames(self, episode: Episode) -> Iterator[tuple[float, Pixels]]:
        """Time since the episode's begin in s and picture (HEIGHT, WIDTH, 3), FRAME_RATE of them in a second."""
        times = np.array(sorted(episode.cube.keys() & episode.measured.keys()), dtype=np.int64)
        seen = np.array(sorted(episode.images), dtype=np.int64)
        if not len(times):
            return
        period_ns = NANOSECONDS // FRAME_RATE
        due = np.arange(episode.begin_ns, times[-1] + period_ns, period_ns)
        for place in np.unique(np.minimum(np.searchsorted(times, due), len(times) - 1)):
            time_ns = int(times[place])
            self._arm.show(episode.measured[time_ns], episode.cube[time_ns])
            picture = self._arm.render("overview")
            if len(seen):
                newest = int(np.searchsorted(seen, time_ns, side="right")) - 1
                self._inset(picture, episode.images[int(seen[max(newest, 0)])])
            yield (time_ns - episode.begin_ns) / NANOSECONDS, picture

    def still(self, picture: Pixels) -> tuple[str, bytes]:
        """A picture as a file: its kind, webp or where Pillow lacks that jpeg, and its bytes."""
        buffer = io.BytesIO()
        kind = "webp" if _has_webp() else "jpeg"
        self._image.fromarray(picture).save(buffer, kind, quality=_QUALITY)
        return kind, buffer.getvalue()

    def _inset(self, picture: Pixels, seen: Pixels) -> None:
        small = np.asarray(self._image.fromarray(seen).resize((INSET, INSET * seen.shape[0] // seen.shape[1])))
        bottom, left = _MARGIN + small.shape[0], WIDTH - _MARGIN - INSET
        picture[_MARGIN - _FRAME : bottom + _FRAME, left - _FRAME : left + INSET + _FRAME] = 255
        picture[_MARGIN:bottom, left : left + INSET] = small


def _has_webp() -> bool:
    from PIL import features

    return bool(features.check("webp"))


def gif(recording: DemoRecording, indices: list[int]) -> bytes:
    """The episodes of these numbers, from 1, one after the other. Raises ConfigurationError if there are none."""
    with Camera() as camera:
        frames = [
            picture
            for episode in recording.episodes()
            if episode.outcome.index in indices
            for _, picture in camera.frames(episode)
        ]
    if not frames:
        raise ConfigurationError(f"expected episodes from 1 to {len(recording.outcomes)}, got {indices}")
    return animated_gif(frames, FRAME_RATE, GIF_COLOURS)


def main(args: list[str] | None = None) -> int:
    """Write a GIF of recorded episodes; returns the exit status."""
    parser = argparse.ArgumentParser(prog="film", description="Writes a GIF of the episodes of the last `make demo`.")
    parser.add_argument("--recording", type=Path, default=Path(".demo", BAG), help=f"default: .demo/{BAG}")
    parser.add_argument("--episodes", type=int, nargs="+", default=[1], help="their numbers, from 1 (default: 1)")
    parser.add_argument("--gif", type=Path, required=True, help="the file to write")
    options = parser.parse_args(args)
    try:
        content = gif(DemoRecording(options.recording), options.episodes)
        options.gif.write_bytes(content)
    except OSError as error:
        print(f"film: cannot write {options.gif}: {error.strerror}", file=sys.stderr)
        return exit_status.MISTAKE
    except ActInferenceError as error:
        print(f"film: {error}", file=sys.stderr)
        return exit_status.of_error(error)
    print(f"{options.gif}: {len(content) / 1e6:.2f} MB")
    return exit_status.OK


if __name__ == "__main__":
    sys.exit(main())
