"""Gives inputs to a target, one by one, and notes each breach of its bounds: time, memory, an error of others."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import time
import traceback
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from test.fuzz.target import LONGEST_MESSAGE, LONGEST_S, Target

GIVEN_UP_S = 10.0
"""Processor time, s, after which an input is interrupted, where the interpreter can do so."""
_STATM = Path("/proc/self/statm")
_FORGET_PEAK = Path("/proc/self/clear_refs")
_INPUTS_PER_PEAK = 100
"""Inputs after which the peak is forgotten: the memory of the process may have become smaller."""


_INTERRUPT = "interrupt"
"""The function that raises TookTooLong; it is not the place where the time went."""


class TookTooLong(BaseException):
    """An input was interrupted. No Exception, because readers of damaged files catch any Exception of their parser."""


@dataclass(frozen=True)
class Breach:
    """An input that broke a bound: `kind` is error, time, memory, crash or hang; `where` identifies the cause."""

    kind: str
    where: str
    data: bytes
    details: str = ""


@dataclass
class Watch:
    """Runs a target's inputs, and keeps the worst values and the first breach of each cause.

    An input may take `longest_s` of processor time, s.
    """

    target: Target
    longest_s: float = LONGEST_S
    inputs: int = 0
    refused: int = 0
    worst_s: float = 0.0
    worst_bytes: int = 0
    breaches: dict[tuple[str, str], Breach] = field(default_factory=dict)

    def run(self, data: bytes) -> Breach | None:
        """Give one input to the target; return what it broke."""
        if self.inputs % _INPUTS_PER_PEAK == 0:
            _forget_peak()
        before, peak_before = _memory_bytes(), _peak_bytes()
        began = time.process_time()
        breach = self._outcome(data)
        took_s = time.process_time() - began
        peak = _peak_bytes()
        # An input that raised no peak took no more than one that did.
        grown = peak - before if peak > peak_before else 0
        self.inputs += 1
        self.worst_s = max(self.worst_s, took_s)
        self.worst_bytes = max(self.worst_bytes, grown)
        if breach is None and took_s > self.longest_s:
            breach = Breach("time", "", data, f"{took_s:.2f} s of processor time")
        if breach is None and grown > self.target.memory_bytes:
            breach = Breach("memory", "", data, f"{grown / 2**20:.0f} MiB more memory")
        if breach is not None:
            self.breaches.setdefault((breach.kind, breach.where), breach)
        return breach

    def _outcome(self, data: bytes) -> Breach | None:
        try:
            with interrupted_after(GIVEN_UP_S), warnings.catch_warnings():
                warnings.simplefilter("error", RuntimeWarning)  # numpy's word for a wrong number
                self.target.check(data)
        except self.target.errors as error:
            self.refused += 1
            return _bad_message(error, data)
        except TookTooLong as error:
            return Breach("time", _place(error), data, traceback.format_exc())
        except Exception as error:
            return Breach("error", f"{type(error).__name__} in {_place(error)}", data, traceback.format_exc()[-4000:])
        return None


def _bad_message(error: Exception, data: bytes) -> Breach | None:
    """A message must be short enough to be read, and must not contain what cannot be printed."""
    message = str(error)
    try:
        message.encode()
    except UnicodeEncodeError:
        return Breach("error", f"message that cannot be printed, from {_place(error)}", data, repr(message))
    if len(message) > LONGEST_MESSAGE:
        details = f"{len(message)} characters: {message[:500]}"
        return Breach("error", f"message that is too long, from {_place(error)}", data, details)
    return None


def _place(error: BaseException) -> str:
    """The innermost place in the package where an error was raised, without line numbers, which change."""
    frames = [each for each in traceback.extract_tb(error.__traceback__) if each.name != _INTERRUPT]
    ours = [each for each in frames if f"{os.sep}act_inference_ros{os.sep}" in each.filename] or list(frames)
    return f"{Path(ours[-1].filename).stem}.{ours[-1].name}" if ours else "nowhere"


@contextlib.contextmanager
def interrupted_after(seconds: float, wall: bool = False) -> Iterator[None]:
    """Raise TookTooLong in the block after this processor time, or this `wall` time, also while it waits for a file.

    A loop outside of the interpreter goes on. For the main thread.
    """

    def interrupt(_signal: int, _frame: FrameType | None) -> None:  # _INTERRUPT
        raise TookTooLong(f"not done after {seconds} s")

    timer, number = (signal.ITIMER_REAL, signal.SIGALRM) if wall else (signal.ITIMER_VIRTUAL, signal.SIGVTALRM)
    before = signal.signal(number, interrupt)
    signal.setitimer(timer, seconds)
    try:
        yield
    finally:
        signal.setitimer(timer, 0.0)
        signal.signal(number, before)


def _forget_peak() -> None:
    """Let the kernel measure the process's largest memory from now on, where it allows that."""
    with contextlib.suppress(OSError):
        _FORGET_PEAK.write_text("5")


def _peak_bytes() -> int:
    """The largest memory of the process."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _memory_bytes() -> int:
    """The memory of the process now."""
    return int(_STATM.read_bytes().split()[1]) * resource.getpagesize()
