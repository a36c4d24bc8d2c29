"""How much of the processor other programs took while something was measured: whether the machine was quiet."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

QUIET = 0.1
"""Other programs may take this share of the cores; with more load, times are not judged against a target."""
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_IDLE = (3, 4)
"""Columns of /proc/stat's first line (proc_stat(5)): idle, and waiting for a disk."""
_PARENT, _TIMES = 1, slice(11, 15)
"""Columns of /proc/PID/stat after the name (proc_pid_stat(5)): user and system time, its own and of ended children."""


class Others:
    """Counts from its construction; the time of this process and all its descendants does not count as others'.

    A descendant's time is lost, and counts as others', only if it ends and its parent did not wait for it.
    """

    def __init__(self) -> None:
        self._total, self._busy = _cores()
        self._ours = ours()

    def share(self) -> float:
        """The share of all cores' time so far, 0 to 1, that was neither idle nor ours."""
        total, busy = _cores()
        others = busy - self._busy - (ours() - self._ours)
        return min(1.0, max(0.0, others / max(total - self._total, 1e-3)))


def verdict(met: bool, share: float) -> str:
    """Return a target's verdict: met, missed, or not judged because others took more than QUIET of the cores."""
    if share > QUIET:
        return f"not judged: other programs took {share:.0%} of the processor"
    return "met" if met else "missed"


def _cores() -> tuple[float, float]:
    """Seconds of all cores together since the machine started: all, and those not idle (other machines' included)."""
    columns = [int(each) for each in Path("/proc/stat").read_text(encoding="ascii").splitlines()[0].split()[1:9]]
    return sum(columns) / _TICKS_PER_S, (sum(columns) - sum(columns[i] for i in _IDLE)) / _TICKS_PER_S


def ours() -> float:
    """Seconds of the processor that this process and all its descendants have taken."""
    parents: dict[int, int] = {}
    times: dict[int, int] = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            columns = entry.read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
            pid = int(entry.parent.name)
            parents[pid], times[pid] = int(columns[_PARENT]), sum(map(int, columns[_TIMES]))

    def is_ours(pid: int) -> bool:
        while pid != os.getpid():
            if pid not in parents:
                return False
            pid = parents[pid]
        return True

    return sum(ticks for pid, ticks in times.items() if is_ours(pid)) / _TICKS_PER_S
