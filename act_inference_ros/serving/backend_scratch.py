"""The directories /tmp/python_env_XXXXXX of Triton's Python backend, which remain when a server is killed.

Each server makes such a directory when it loads its first Python model, in /tmp regardless of TMPDIR, and removes it at
its normal end. The directory does not show its owner, so it counts as abandoned only if every running Triton on this
machine was started after it was made.
"""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

_PARENT = Path("/tmp")  # noqa: S108 - Triton's choice
_MARGIN_S = 2.0
"""The start time of a process is only accurate to about a second."""
_EXECUTABLE = "tritonserver"

_expected_since: float | None = None
"""When this process started its first server, s since the epoch; older directories are not from its servers."""


def expect() -> None:
    """Note that this process is about to start a server."""
    global _expected_since
    if _expected_since is None:
        _expected_since = time.time()


def remove_abandoned() -> None:
    """Remove the directories, made since the first `expect`, that no running server can have made."""
    if _expected_since is None:
        return
    running = _start_times()
    for path in _PARENT.glob("python_env_??????"):
        with contextlib.suppress(OSError):  # another user's, removed meanwhile, or not empty
            made = path.lstat().st_mtime
            if made >= _expected_since and all(made < start - _MARGIN_S for start in running):
                path.rmdir()


def _start_times() -> list[float]:
    """The start times of the running Tritons of all users on this machine, s since the epoch."""
    booted = next(
        float(line.split()[1]) for line in Path("/proc/stat").read_text().splitlines() if line.startswith("btime")
    )
    ticks = os.sysconf("SC_CLK_TCK")
    starts = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # the process has just ended
            name, _, rest = stat.read_text(errors="replace").partition("(")[2].rpartition(")")
            # Fields 3 and 22 of /proc/PID/stat, see proc(5).
            state, start = rest.split()[0], rest.split()[19]
            if name.startswith(_EXECUTABLE) and state not in "ZX":
                starts.append(booted + float(start) / ticks)
    return starts
