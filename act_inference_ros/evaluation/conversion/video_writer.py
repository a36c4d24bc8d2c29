"""VideoWriter: writes RGB images as an mp4 with a steady rate, with the encoder and settings that LeRobot uses."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from act_inference_ros.errors import ConfigurationError
from act_inference_ros.evaluation.datasets.reading import one_line, pyav
from act_inference_ros.program.scheduling import ordinary_threads

Pixels = npt.NDArray[np.uint8]

PIXEL_FORMAT = "yuv420p"
KEY_FRAME_EVERY = 2
"""Frames between key frames: a training reads frames in any order, and decodes from the last key frame."""
QUALITY = 30
"""`crf` of the two encoders that have this option."""
ENCODERS: Mapping[str, Mapping[str, str]] = {
    "libsvtav1": {"g": str(KEY_FRAME_EVERY), "crf": str(QUALITY), "preset": "12", "svtav1-params": "fast-decode=0"},
    "libx264": {"g": str(KEY_FRAME_EVERY), "crf": str(QUALITY)},
    "mpeg4": {"g": str(KEY_FRAME_EVERY), "qmin": "2", "qmax": "4"},
}
"""Encoder -> its options, in order of preference; LeRobot 0.6.1 (`lerobot/configs/video.py`) takes the first."""
CODECS = {"libsvtav1": "av1", "libx264": "h264", "mpeg4": "mpeg4"}
"""Pixel format of the encoded video."""


class VideoWriter:
    """Writes one mp4; `close` completes it. One image is encoded at a time.

    `frames` counts them. Raises ConfigurationError where the images cannot be encoded, MissingDependencyError without
    PyAV.
    """

    def __init__(self, path: Path, height: int, width: int, fps: int, encoder: str) -> None:
        self.path = path
        self.frames = 0
        self._opens = True
        self._shape = (height, width, 3)
        self._av = av = pyav()
        os.environ.setdefault("SVT_LOG", "0")  # else this encoder prints its settings on stderr
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._container: Any = av.open(str(path.absolute()), "w", format="mp4")
            self._stream = self._container.add_stream(encoder, rate=fps, options=dict(ENCODERS[encoder]))
            self._stream.height, self._stream.width = height, width
            self._stream.pix_fmt = PIXEL_FORMAT
            self._second = Fraction(1, fps)
            self._stream.time_base = self._second
        except (av.FFmpegError, ValueError) as error:
            raise self._error(error) from error

    @property
    def bytes_written(self) -> int:
        """The size of the file so far, without the images that are still being encoded."""
        return self.path.stat().st_size if self.path.exists() else 0

    def add(self, pixels: Pixels) -> None:
        """Write the next image, (height, width, 3) RGB."""
        if pixels.shape != self._shape:
            raise ValueError(f"expected an image of {self._shape}, got {pixels.shape}")
        frame = self._av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
        frame.pts, frame.time_base = self.frames, self._second
        self._encode(frame)
        self.frames += 1

    def close(self) -> None:
        """Write the images that the encoder still holds, and complete the file."""
        try:
            if self.frames:
                self._encode(None)
            self._container.close()
        except (self._av.FFmpegError, OSError, ValueError) as error:
            raise self._error(error) from error

    def abandon(self) -> None:
        """Close the file, complete or not; never raises."""
        try:
            self._container.close()
        except (self._av.FFmpegError, OSError, ValueError):
            return

    def _encode(self, frame: Any) -> None:
        try:
            with ordinary_threads() if self._opens else contextlib.nullcontext():
                packets = self._stream.encode(frame)  # the first time this opens the encoder
            self._opens = False
            self._container.mux(packets)
        except (self._av.FFmpegError, OSError, ValueError) as error:
            raise self._error(error) from error

    def _error(self, error: Exception) -> ConfigurationError:
        height, width, _ = self._shape
        return ConfigurationError(f"video {self.path.name} of {height} x {width}: cannot be encoded: {one_line(error)}")


def choose_encoder(directory: Path, height: int, width: int, fps: int) -> str:
    """Return the first encoder that this machine's PyAV has and that takes images of that size.

    It is tried with a few images, in a file in `directory` that is removed. Raises ConfigurationError if there is none,
    MissingDependencyError without PyAV.
    """
    if height % 2 or width % 2:
        raise ConfigurationError(
            f"video: expected images with an even height and width, which {PIXEL_FORMAT} needs, got {height} x {width} "
            "(height x width); set the camera to another size"
        )
    path = directory / "encoder.mp4"
    reasons = []
    for encoder in ENCODERS:
        try:
            writer = VideoWriter(path, height, width, fps, encoder)
            for _ in range(KEY_FRAME_EVERY + 1):
                writer.add(np.zeros((height, width, 3), dtype=np.uint8))
            writer.close()
        except ConfigurationError as error:
            reasons.append(f"{encoder}: {error}")
        else:
            return encoder
        finally:
            path.unlink(missing_ok=True)
    raise ConfigurationError(f"video: no encoder of {', '.join(ENCODERS)} can be used: {'; '.join(reasons)}")


def video_info(height: int, width: int, fps: int, encoder: str) -> dict[str, Any]:
    """Return info.json's entry for a camera's videos, like `get_video_info` in LeRobot's `video_utils.py`."""
    return {
        "video.height": height,
        "video.width": width,
        "video.codec": CODECS[encoder],
        "video.pix_fmt": PIXEL_FORMAT,
        "video.fps": fps,
        "video.channels": 3,
        "video.g": KEY_FRAME_EVERY,
        **({"video.crf": QUALITY} if "crf" in ENCODERS[encoder] else {}),
        "has_audio": False,
        "is_depth_map": False,
    }
