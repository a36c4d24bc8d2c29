"""A program that runs beside a Triton and ends it when the launcher has ended without doing so.

A launcher that is killed can end nothing, and a signal that a program does not handle kills it. So this program waits
for the end of a pipe that only the launcher holds: the kernel closes the pipe however the launcher ends. This program
is started by its file name, without site-packages, so it imports only the standard library.

The launcher writes a line for each event: the number of the server's process group, or `done`.
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
"""Triton may finish its running requests within this time; then it is killed."""
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
        os.kill(group, signal.SIGINT)  # the process group has the number of its leader
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
