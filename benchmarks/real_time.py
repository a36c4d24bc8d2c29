"""Real-time priority of the node that is measured."""

from __future__ import annotations

import subprocess
import sys

PRIORITY = 30
"""That of ros2_control's controller manager is 50."""


def may_have_priority(priority: int) -> bool:
    """Whether this user's threads may have this real-time priority; asked in another process, because it stays so."""
    program = f"import os; os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param({priority}))"
    return subprocess.run([sys.executable, "-c", program], capture_output=True, check=False).returncode == 0
