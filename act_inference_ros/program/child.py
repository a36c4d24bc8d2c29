"""Commands that run a module's `main` in a child process, which ends with its parent or outlives it."""

from __future__ import annotations

import os
import sys

_FIND = """
import sys
# An empty entry is the working directory, where a file may have the name of any module.
sys.path[:] = [entry for entry in sys.path if entry]
"""
_END_WITH_PARENT = """
import ctypes, os, signal
PR_SET_PDEATHSIG = 1
# The kernel kills this process when the thread that started it ends, even while this one is stopped.
ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
if os.getppid() != int(sys.argv.pop(1)):
    os._exit(0)  # it had ended before
"""
_RUN = """
import importlib
del sys.argv[0]  # what is left begins with the module's name, as a program's arguments begin with its own
sys.exit(importlib.import_module(sys.argv[0]).main())
"""


def child_command(module: str, *arguments: str) -> list[str]:
    """Return the command that calls `module.main()` with `arguments` in sys.argv.

    Start it in a thread that lives as long as the child must live.
    """
    return [sys.executable, "-c", _FIND + _END_WITH_PARENT + _RUN, str(os.getpid()), module, *arguments]


def lasting_child_command(module: str, *arguments: str) -> list[str]:
    """Return the same command for a child that lives on when this process ends; it must end with its input."""
    return [sys.executable, "-c", _FIND + _RUN, module, *arguments]


def child_environment() -> dict[str, str]:
    """Return this process's environment, in which a child finds the modules that this process finds."""
    return os.environ | {"PYTHONPATH": os.pathsep.join(os.path.abspath(entry) for entry in sys.path)}
