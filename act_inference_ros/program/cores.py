"""How many processor cores this process may use."""

from __future__ import annotations

import os
from pathlib import Path

_QUOTA = Path("/sys/fs/cgroup/cpu.max")
ENOUGH_TO_SHARE = 3
"""With this many cores or more, one is left to the other processes of the robot."""


def usable_cores() -> int:
    """Return the number of cores by this process's affinity and its container's quota (cgroup v2), at least 1."""
    cores = len(os.sched_getaffinity(0))
    try:
        quota, period = _QUOTA.read_text(encoding="ascii").split()[:2]
        return max(1, min(cores, int(quota) // int(period)))
    except (OSError, ValueError):  # another cgroup version, or "max": no quota
        return cores


def automatic_threads() -> int:
    """Return the default number of inference threads: all cores, minus one if there are three or more."""
    cores = usable_cores()
    return cores - 1 if cores >= ENOUGH_TO_SHARE else cores
