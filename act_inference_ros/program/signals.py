"""The signals that ask a program to stop, for the program to check when it is ready."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from types import FrameType

from act_inference_ros.program import exit_status

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StoppedBySignal(KeyboardInterrupt):
    """A signal asked this program to stop. Like Ctrl-C's exception it is no `Exception`, so that nothing swallows it.

    `exit_status` is 128 + the signal's number.
    """

    def __init__(self, number: int) -> None:
        super().__init__(f"stopped by signal {number}")
        self.exit_status = exit_status.of_signal(number)


class StopSignals:
    """Catches the stop signals from construction until the process ends. Only for the main thread to construct.

    A signal by itself does nothing: the program looks at `given`, calls `check`, or waits with `wait`. An exception out
    of the signal handler could come between the start of a child process and the block that ends it. Where a program
    has nothing to lose, `interrupting` lets a signal raise.

    The system hands a signal to any thread that does not block it, and libraries start threads before a program could
    block signals in them. So Python's handler may have to wait until the main thread returns from a long call. The
    wakeup pipe does not wait: it is written to at once, whichever thread got the signal.
    """

    def __init__(
        self, numbers: Sequence[signal.Signals] = STOP_SIGNALS, on_first: Callable[[], None] | None = None
    ) -> None:
        """Catch `numbers`; `on_first` is called in the main thread when the first of them comes."""
        self._numbers = frozenset(int(number) for number in numbers)
        self._on_first = on_first
        self._first: int | None = None
        self._count = 0
        self._raises_after: int | None = None
        self._received, sender = os.pipe()
        for end in (self._received, sender):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(sender, warn_on_full_buffer=False)
        for number in numbers:
            signal.signal(number, self._handle)

    @property
    def given(self) -> bool:
        """Whether a stop signal has come."""
        while self._first is None:
            try:
                number = os.read(self._received, 1)[0]
            except BlockingIOError:
                return False
            if number in self._numbers:  # the pipe tells of every signal that Python handles
                self._first = number
        return True

    def wait(self, seconds: float) -> bool:
        """Let `seconds` pass, or fewer if a stop signal comes or has come; True if so."""
        end = time.monotonic() + seconds
        while not self.given:
            left = end - time.monotonic()
            if not select.select([self._received], [], [], max(0.0, left))[0] and left <= 0.0:
                return False
        return True

    def check(self) -> None:
        """Raise StoppedBySignal if a stop signal has come."""
        if self.given and self._first is not None:
            raise StoppedBySignal(self._first)

    @contextlib.contextmanager
    def interrupting(self, after: int = 0) -> Iterator[None]:
        """Within the block, let a stop signal raise StoppedBySignal, once, wherever the main thread is.

        The first `after` signals are only noted. If more than these came before the block, it raises at its beginning.
        """
        self._raises_after = after
        try:
            if self._count > after:
                self.check()
            yield
        finally:
            self._raises_after = None

    def _handle(self, number: int, _: FrameType | None) -> None:
        self._count += 1
        if self._raises_after is not None and self._count > self._raises_after:
            self._raises_after = None  # once: what cleans up after the first exception is not to meet a second
            raise StoppedBySignal(number)
        if self._count == 1 and self._on_first is not None:
            self._on_first()
