"""StillPicture: for how long a camera has shown the very same pixels; a real one's noise changes some each time."""

from __future__ import annotations

import zlib
from typing import Any

SAMPLE_BYTES = 65536
"""Of a larger image so many bytes are compared: a frozen driver repeats all of them, a living camera some never."""


class StillPicture:
    """Compares each image's bytes with those of the one before."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Forget what was seen."""
        self.lasted = 0.0
        """Seconds of stamps over which the pixels have stayed the same."""
        self._seen: tuple[int, int] | None = None
        self._since = 0.0

    def look(self, data: Any, stamp: float) -> None:
        """Take an image's `data` (bytes, or an array of them), taken at `stamp` s."""
        view = memoryview(data).cast("B")
        step = max(1, len(view) // SAMPLE_BYTES)
        seen = len(view), zlib.crc32(bytes(view[::step]) if step > 1 else view)
        if seen != self._seen:
            self._seen, self._since = seen, stamp
        self.lasted = max(0.0, stamp - self._since)
