"""Measuring: samples of the running processes, of their descriptors and of the stream, until the time is over."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from act_inference_ros.black_box import dumps
from act_inference_ros.errors import ActInferenceError
from act_inference_ros.program.processes import ManagedProcess
from act_inference_ros.program.signals import StopSignals
from benchmarks.soak.sizes import sizes_of

SAMPLE_S = 5.0
START_S = 300.0
"""Longest wait for the first command; the policy is loaded meanwhile."""
HEAR_S = 0.2
CHILDREN = {b"engine_process": "inference", b"black_box.writer": "black box"}
"""Word in the command line of a child of the node -> what it is."""


@dataclass
class Series:
    """Samples of several things at the same `times`, s since 1970; nan where a thing was not there."""

    times: list[float] = field(default_factory=list)
    values: dict[str, list[float]] = field(default_factory=dict)

    def add(self, at: float, sample: dict[str, float]) -> None:
        """Add the sample of `at`."""
        for name in sample.keys() | self.values.keys():
            self.values.setdefault(name, [math.nan] * len(self.times)).append(sample.get(name, math.nan))
        self.times.append(at)

    def of(self, name: str) -> Sequence[float]:
        """The samples of one thing; none if it was never there."""
        return self.values.get(name, [math.nan] * len(self.times))


@dataclass
class Measured:
    """What was seen from outside (`sizes`), of the stream, from inside the node (`python`), and what happened.

    `pids` has every process id that a part had; `types` counts the objects of each type in the node, again and again.
    """

    sizes: Series = field(default_factory=Series)
    stream: Series = field(default_factory=Series)
    python: Series = field(default_factory=Series)
    types: list[dict[str, int]] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)
    pids: dict[str, set[int]] = field(default_factory=dict)


class Measuring:
    """Samples a node, the robot beside it, and the node's dumps and notes in `directory`, as `__main__` starts them."""

    def __init__(self, policy_node: ManagedProcess, robot: ManagedProcess, directory: Path) -> None:
        self.measured = Measured()
        self._policy_node = policy_node
        self._robot = robot
        self._directory = directory
        self._over = StopSignals()

    def measure(self, seconds: float) -> Measured:
        """Wait for the first command, then sample for so long, or until a stop signal comes; returns all.

        Raises ActInferenceError if no command comes, or if a process ends by itself.
        """
        until = time.monotonic() + START_S
        while not self.measured.events and not self._over.wait(HEAR_S):
            self._hear()
            if time.monotonic() > until:
                raise ActInferenceError(f"no command within {START_S:g} s; {self._robot.last_lines()}")
        until = time.monotonic() + seconds
        while time.monotonic() < until and not self._over.wait(SAMPLE_S):
            self._hear()
            self._sample()
        self._read_notes()
        return self.measured

    def _hear(self) -> None:
        for name, process in (("policy_node", self._policy_node), ("the robot", self._robot)):
            if process.returncode is not None:
                raise ActInferenceError(f"{name} ended with exit status {process.returncode}; {process.last_lines()}")
        for line in self._robot.lines():
            said = json.loads(line)
            if "sample" not in said:
                self.measured.events.append(said)
            elif self.measured.events:
                self.measured.stream.add(said["at"], said["sample"])

    def _sample(self) -> None:
        sample: dict[str, float] = {}
        for name, pid in {"node": self._policy_node.pid, **_children_of(self._policy_node.pid)}.items():
            self.measured.pids.setdefault(name, set()).add(pid)
            try:
                sample |= {f"{name} {size}": value for size, value in sizes_of(pid).items()}
            except OSError:  # it ended just now
                continue
        written = [each for each in (self._directory / "black_box").iterdir() if dumps.is_dump(each)]
        sample |= {"dumps": len(written), "dumps_mb": sum(map(dumps.size_of, written)) / 2**20}
        self.measured.sizes.add(time.time(), sample)

    def _read_notes(self) -> None:
        begin = min(self.measured.sizes.times, default=math.inf)
        for line in (self._directory / "notes").read_text(encoding="utf-8").splitlines():
            note = json.loads(line)
            if (at := note.pop("at")) >= begin:
                if (types := note.pop("types", None)) is not None:
                    self.measured.types.append(types)
                self.measured.python.add(at, {f"node {name}": value for name, value in note.items()})


def _children_of(pid: int) -> dict[str, int]:
    """What CHILDREN calls a child of a process -> its process id."""
    found: dict[str, int] = {}
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text(encoding="ascii").split():
            command = Path(f"/proc/{child}/cmdline")
            line = command.read_bytes() if command.exists() else b""
            found |= {name: int(child) for word, name in CHILDREN.items() if word in line}
    return found
