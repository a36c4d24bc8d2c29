"""Programs that are started, watched and always ended."""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO

from act_inference_ros.program import shared_memory

TERMINATE_TIMEOUT_S = 5.0
_LAST_LINES = 15


class ManagedProcess:
    """A program in its own process group; leaving the block ends the group, first with SIGTERM, then with SIGKILL.

    Its output goes to `log`; `lines` gives the lines of stdout meanwhile. Without a log it writes to this one's output.
    It is killed if it has not ended `terminate_timeout_s` after it was told to.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        environment: Mapping[str, str],
        log: Path | None,
        terminate_timeout_s: float = TERMINATE_TIMEOUT_S,
    ) -> None:
        self.name = name
        self._terminate_timeout_s = terminate_timeout_s
        self._command = list(command)
        self._environment = dict(environment)
        self._log = log
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()

    @classmethod
    def module(
        cls,
        module: str,
        arguments: Sequence[str],
        environment: Mapping[str, str],
        log: Path | None,
        terminate_timeout_s: float = TERMINATE_TIMEOUT_S,
    ) -> ManagedProcess:
        """`python -m module arguments`, with the Python that runs this."""
        command = [sys.executable, "-m", module, *arguments]
        return cls(module.rpartition(".")[2], command, environment, log, terminate_timeout_s)

    def __enter__(self) -> ManagedProcess:
        error_file = self._log.open("ab") if self._log else None
        with error_file or contextlib.nullcontext():
            self._process = subprocess.Popen(
                self._command,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE if self._log else None,
                stderr=error_file,
                start_new_session=True,
            )
        if self._process.stdout is not None and self._log is not None:
            self._reader = threading.Thread(target=self._read, args=(self._process.stdout, self._log), daemon=True)
            self._reader.start()
        return self

    def __exit__(
        self, error_type: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Unconditionally, because children of an ended program may still be running.
        self._signal_group(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(self._terminate_timeout_s)
        used = self._shared_memory()
        self._signal_group(signal.SIGKILL)
        self._process.wait()
        shared_memory.remove_dead(used)
        self._finish_reading()

    @property
    def pid(self) -> int:
        """The program's process id."""
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """Exit status; None while it runs."""
        return self._process.poll()

    def wait(self, timeout_s: float) -> int | None:
        """Exit status; None if it runs for longer than `timeout_s`."""
        try:
            return self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return None

    def lines(self) -> Iterator[str]:
        """Lines of stdout that have come since the last call; all that are left once the program has ended."""
        if self.returncode is not None:
            self._finish_reading()
        while True:
            try:
                yield self._lines.get_nowait()
            except queue.Empty:
                return

    def last_lines(self) -> str:
        """The end of its log, for an error message."""
        if self._log is None:
            return ""
        self._finish_reading()
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-_LAST_LINES:])

    def _read(self, stdout: IO[bytes], log_file: Path) -> None:
        with stdout, log_file.open("ab") as log:
            for line in stdout:
                log.write(line)
                log.flush()
                self._lines.put(line.decode(errors="replace").rstrip("\n"))

    def _finish_reading(self) -> None:
        # Bounded: a grandchild may keep the pipe open.
        if self._log is not None:
            self._reader.join(1.0)

    def _shared_memory(self) -> set[str]:
        """Return the group's open files in shared memory, to be removed if the group must be killed."""
        return set().union(*(shared_memory.in_use_by(pid) for pid in _members(self._process.pid)))

    def _signal_group(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, number)


def _members(group: int) -> list[int]:
    """Processes of a process group that have not ended."""
    members = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if os.getpgid(int(entry.name)) == group:
                members.append(int(entry.name))
    return members
