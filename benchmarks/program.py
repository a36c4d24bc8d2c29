"""Tools for every benchmark: they always end its children, write its figures to a file, and describe the machine."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from act_inference_ros.errors import ActInferenceError
from act_inference_ros.program import exit_status
from act_inference_ros.program.signals import StoppedBySignal, StopSignals

RESULTS = Path(__file__).parent / "results"


def run(measure: Callable[[], int]) -> int:
    """Call `measure`, which a stop signal interrupts, so that its children end; gives the exit status."""
    try:
        with StopSignals().interrupting():
            return measure()
    except StoppedBySignal as stopped:
        return stopped.exit_status
    except ActInferenceError as error:
        print(f"error: {error}", file=sys.stderr)
        return exit_status.MISTAKE


def count(text: str) -> int:
    """A whole number from 1, for argparse."""
    if not text.isascii() or not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number from 1, got {text!r}")
    return int(text)


def write_results(path: Path, results: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(results, indent=1) + "\n")
    print(f"written to {path}")


def machine() -> dict[str, Any]:
    """The processor, its cores, and how many programs wanted them during the last minute."""
    return {"processor": processor(), "cores": os.cpu_count(), "load": os.getloadavg()[0]}


def processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor()


def peak_memory_mb(pid: int | str = "self") -> float:
    """The most memory that a process has had resident so far, MB.

    Not getrusage's: that begins with what the parent had when it forked.
    """
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace")
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))) / 1024
