"""StillPicture: how long a camera has shown exactly the same pixels; in a real camera noise changes some each time."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np

SAMPLE_BYTES = 65536
"""Of a larger image this many bytes are compared: a frozen driver repeats all of them, a working camera does not."""


class StillPicture:
    """Compares each image's bytes with those of the image before."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Forget the last image."""
        self.lasted = 0.0
        """Seconds of stamps over which the pixels have stayed the same."""
        self._seen: tuple[int, int] | None = None
        self._since = 0.0

    def look(self, data: Any, stamp: float) -> None:
        """Take an image's `data` (bytes, or an array of bytes), taken at `stamp` s."""
        view = memoryview(data).cast("B")
        step = max(1, len(view) // SAMPLE_BYTES)
        seen = len(view), zlib.crc32(np.frombuffer(view, dtype=np.uint8)[::step].tobytes() if step > 1 else view)
        if seen != self._seen:
            self._seen, self._since = seen, stamp
        self.lasted = max(0.0, stamp - self._since)
