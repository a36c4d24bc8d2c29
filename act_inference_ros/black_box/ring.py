"""Ring: the newest records, bounded in time and in memory."""

from __future__ import annotations

from collections import deque

from act_inference_ros.black_box.frames import Record

KEEP_S = 60.0
"""Time span that is kept, by the records' arrival."""
KEEP_BYTES = 48 * 2**20
"""Most memory for records; if it is full, the oldest ones are dropped earlier."""
OVERHEAD_BYTES = 200
"""Memory of a record without its data."""


class Ring:
    """Records in the order in which they came; not safe to be used by two threads at once."""

    def __init__(self, keep_s: float = KEEP_S, keep_bytes: int = KEEP_BYTES) -> None:
        self._keep_s = keep_s
        self._keep_bytes = keep_bytes
        self._records: deque[tuple[float, Record]] = deque()
        self.bytes = 0
        """Memory taken by the records."""

    def add(self, record: Record, now: float) -> None:
        """Keep a record that came at `now`, in s of a clock that never goes back, and forget what is too old."""
        self._records.append((now, record))
        self.bytes += _size(record)
        while self._records and (self.bytes > self._keep_bytes or self._records[0][0] < now - self._keep_s):
            _, forgotten = self._records.popleft()
            self.bytes -= _size(forgotten)

    def records(self, now: float) -> list[Record]:
        """Return the records of the last `keep_s` before `now`, oldest first."""
        return [record for came, record in self._records if came >= now - self._keep_s]


def _size(record: Record) -> int:
    return len(record.data) + OVERHEAD_BYTES
