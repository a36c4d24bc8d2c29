"""VideoFrames: the frames of an mp4 at given times, decoded one after the other and each once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from act_inference_ros.evaluation.datasets.reading import Unreadable, one_line, pyav

Pixels = npt.NDArray[np.uint8]

_FORMAT = "mp4"
_ONLY_FILES = {"protocol_whitelist": "file"}
"""A file named .mp4 may be a playlist that names other files or addresses; neither is opened."""


class VideoFrames:
    """A video, open for reading; `close` releases it. One frame is decoded at a time, and the last one is remembered.

    Raises Unreadable for a file that is no such video of that size, MissingDependencyError without PyAV.
    """

    def __init__(self, path: Path, height: int, width: int, from_s: float = 0.0) -> None:
        self._path = path
        self._size = (height, width)
        self._av = av = pyav()
        self._frame: Any = None
        self._time_s = -np.inf
        self._container: Any = None
        try:
            self._container = av.open(str(path.absolute()), format=_FORMAT, options=_ONLY_FILES)
            if not self._container.streams.video:
                raise Unreadable(f"{path}: no video in it")
            stream = self._container.streams.video[0]
            if stream.codec_context is None:
                raise Unreadable(f"{path}: a video that nothing here can decode")
            self._check_size(stream.codec_context.height, stream.codec_context.width)
            self._second = stream.time_base
            if from_s > 0.0:  # seek to the key frame before it
                self._container.seek(round(from_s / self._second) - 1, backward=True, any_frame=False, stream=stream)
            self._decoded = self._container.decode(stream)
            self._reformatter = av.video.reformatter.VideoReformatter()
        except (av.FFmpegError, OSError, ValueError, TypeError) as error:
            self.close()
            raise Unreadable(f"{path}: not a readable video: {one_line(error)}") from error
        except Unreadable:
            self.close()
            raise

    def close(self) -> None:
        """Release the file."""
        container, self._container = self._container, None
        if container is not None:
            container.close()

    def at(self, time_s: float, tolerance_s: float) -> Pixels:
        """Return the frame at `time_s` of the video's clock, uint8 (height, width, 3) RGB; times must not go back.

        Raises Unreadable if the video ends or breaks before, or has no frame within the tolerance.
        """
        before_s = self._time_s
        while self._time_s < time_s - tolerance_s:
            before_s = self._time_s
            self._advance(time_s)
        if self._time_s > time_s + tolerance_s:
            found = ", ".join(f"{each:.4f}" for each in (before_s, self._time_s) if np.isfinite(each))
            raise Unreadable(f"{self._path}: no frame at {time_s:.4f} s, the nearest are at {found} s")
        rgb = self._reformatter.reformat(self._frame, format="rgb24")
        pixels: Pixels = rgb.to_ndarray()
        return pixels

    def _advance(self, time_s: float) -> None:
        """Decode the next frame."""
        try:
            frame = next(self._decoded, None)
        except (self._av.FFmpegError, OSError, ValueError, MemoryError) as error:
            raise Unreadable(f"{self._path}: damaged before {time_s:.3f} s: {one_line(error)}") from error
        if frame is None:
            raise Unreadable(f"{self._path}: it ends before {time_s:.3f} s")
        if frame.is_corrupt:
            raise Unreadable(f"{self._path}: damaged before {time_s:.3f} s: a frame lacks data")
        self._check_size(frame.height, frame.width)
        if frame.pts is not None:
            self._frame, self._time_s = frame, float(frame.pts * self._second)

    def _check_size(self, height: int, width: int) -> None:
        if (height, width) != self._size:
            raise Unreadable(f"{self._path}: expected frames of {self._size} (height, width), got {(height, width)}")
