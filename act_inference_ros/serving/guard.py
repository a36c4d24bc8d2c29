"""Runs beside a Triton, as a program of its own: when the launcher has ended without ending it, this does.

A launcher that is killed can end nothing any more, and a signal that a program does not handle kills it. So this waits
for the end of a pipe that only the launcher holds: the kernel closes it however the launcher ends. Started by its file
name, without site-packages, so it imports the standard library only.

The launcher writes a line whenever there is something to know: the number of the server's process group, or `done`.
"""

from __future__ import annotations

import contextlib
import glob
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterable

DONE = "done"
END_DEADLINE_S = 5.0
"""Triton may finish what it computes until then, and is then killed."""
_POLL_S = 0.05


def main(told: Iterable[str], region_prefix: str, scratch: str) -> None:
    """Wait until the launcher has ended; then end the server, remove its shared memory and its scratch directory."""
    group = 0
    for line in told:
        if line.strip() == DONE:
            return
        group = int(line)
    if group:
        _end(group)
    for region in glob.glob(f"{glob.escape(region_prefix)}*"):
        with contextlib.suppress(OSError):
            os.unlink(region)
    shutil.rmtree(scratch, ignore_errors=True)


def _end(group: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(group, signal.SIGINT)  # the leader's number is the group's
        os.kill(group, signal.SIGCONT)
        end = time.monotonic() + END_DEADLINE_S
        while _runs(group) and time.monotonic() < end:
            time.sleep(_POLL_S)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)


def _runs(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as stat:
            return stat.read().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


if __name__ == "__main__":
    main(sys.stdin, *sys.argv[1:])
