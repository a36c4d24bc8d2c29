"""RunningEngine: one process that computes a policy, from its start to its end."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from act_inference_ros.errors import InferenceError, InferenceTimeoutError, ObservationError
from act_inference_ros.inference.local.isolation import engine_process
from act_inference_ros.inference.local.isolation.channel import Channel
from act_inference_ros.inference.local.isolation.engine_process import FAILED, options_message
from act_inference_ros.inference.local.isolation.shared_arrays import SharedArrays
from act_inference_ros.inference.local.options import LocalOptions
from act_inference_ros.program.child import child_command, child_environment
from act_inference_ros.program.told_errors import heard
from act_inference_ros.spec import PolicySpec

_PROGRAM = engine_process.__name__
POLL_S = 0.1
STOPPED_S = 0.5
"""A process that somebody has stopped (SIGSTOP) for longer than this counts as hanging."""


@dataclass(frozen=True)
class Ready:
    """A process's report about the engine that it has opened."""

    spec: PolicySpec
    source: str
    facts: Mapping[str, str]
    notes: tuple[str, ...]
    warm_up_s: float
    start_s: float
    """Time from the process's start until the engine was ready, s."""


@dataclass(frozen=True)
class Ending:
    """How a process ended: `text` follows `the inference process`; `hung`: it was ended because it did not respond."""

    text: str
    hung: bool = False


class RunningEngine:
    """The process starts when the object is made. `infer` is for one thread at a time; `kill` and `how_ended` for any.

    Make it in a thread that lives as long as the process should: the kernel ends the process with that thread.
    """

    def __init__(self, options: LocalOptions, opener: str) -> None:
        self._channel, theirs = Channel.pair()
        self._arrays: SharedArrays | None = None
        self._killed_because = ""
        self._hung = False
        self._failure = ""
        self._stopped_since: float | None = None
        self._began = time.monotonic()
        try:
            with theirs:
                self._process = subprocess.Popen(
                    child_command(_PROGRAM, str(theirs.fileno()), opener),
                    env=child_environment(),
                    pass_fds=[theirs.fileno()],
                    stdin=subprocess.DEVNULL,
                    stdout=2,  # output of a library must not be taken for an answer
                    start_new_session=True,
                )
        except BaseException:
            self._channel.close()
            raise
        with contextlib.suppress(EOFError):  # it has ended already; `wait_ready` says how
            self._channel.send(options_message(options))

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._process.pid

    @property
    def ended(self) -> bool:
        """Whether the process has ended."""
        return self._process.poll() is not None

    @property
    def age_s(self) -> float:
        """Time since the process was started, s."""
        return time.monotonic() - self._began

    def end_if_stopped(self) -> bool:
        """End the process if somebody has stopped it (SIGSTOP) and does not continue it; return whether it was ended.

        Call it repeatedly, in one thread.
        """
        if not self._is_stopped():
            self._stopped_since = None
            return False
        now = time.monotonic()
        self._stopped_since = now if self._stopped_since is None else self._stopped_since
        if now - self._stopped_since <= STOPPED_S:
            return False
        self.kill(f"it had been stopped for {now - self._stopped_since:.1f} s", hung=True)
        return True

    def _is_stopped(self) -> bool:
        try:
            stat = Path(f"/proc/{self.pid}/stat").read_text(encoding="ascii", errors="replace")
        except OSError:
            return False
        return stat.rpartition(")")[2].split()[:1] in (["T"], ["t"])

    def wait_ready(self, given_up: Callable[[], bool]) -> Ready | None:
        """Wait until the engine is open; None if `given_up` returns True before.

        Raises the error of the opening, or InferenceError if the process ended meanwhile.
        """
        while True:
            try:
                received = self._channel.receive(POLL_S)
            except EOFError as error:
                raise InferenceError(f"the inference process {self.how_ended().text} before it was ready") from error
            if received is not None:
                break
            if given_up():
                return None
        message, descriptors = received
        try:
            if "error" in message:
                raise heard(message, InferenceError)
            spec = PolicySpec.from_json(message["spec"])
            (memory,) = descriptors
            self._arrays = SharedArrays(spec, memory)
            return Ready(
                spec=spec,
                source=str(message["source"]),
                facts={str(name): str(fact) for name, fact in message["facts"].items()},
                notes=tuple(str(note) for note in message["notes"]),
                warm_up_s=float(message["warm_up_s"]),
                start_s=self.age_s,
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise InferenceError(f"the inference process says something else than that it is ready: {error}") from error
        finally:
            for descriptor in descriptors:
                os.close(descriptor)

    def infer(
        self, inputs: Mapping[str, npt.NDArray[Any]], request_id: str, timeout_s: float
    ) -> npt.NDArray[np.float32]:
        """Compute a chunk. Raises EOFError if the process ends, InferenceTimeoutError, or the process's own error."""
        arrays = self._arrays
        if arrays is None:
            raise EOFError("the inference process has been ended")
        arrays.write(inputs)
        self._channel.send({"request_id": request_id})
        received = self._channel.receive(timeout_s)
        if received is None:
            raise InferenceTimeoutError(f"an inference took longer than {timeout_s:.1f} s")
        if "error" in received[0]:
            error = heard(received[0], InferenceError)
            if not isinstance(error, ObservationError):
                self._failure = str(error)
            raise error
        return arrays.read_chunk()

    def kill(self, because: str = "", hung: bool = False) -> None:
        """End the process at once, whatever it does; `because` is the reason shown later, `hung` says that it hangs."""
        if not self._killed_because:
            self._killed_because, self._hung = because, hung
        self._process.kill()

    def close(self) -> None:
        """End the process at once, and wait until it has ended: it has nothing to save.

        Its memory is given back now, and not only when Python's collector finds this object.
        """
        self._arrays = None
        self._process.kill()
        self._channel.close()
        self._process.wait()

    def how_ended(self, within_s: float = 1.0) -> Ending:
        """How the process ended; waits a moment for its end."""
        try:
            status = self._process.wait(within_s)
        except subprocess.TimeoutExpired:
            return Ending("does not answer", self._hung)
        if self._killed_because:
            return Ending(f"was ended: {self._killed_because}", self._hung)
        if self._failure and status == FAILED:
            return Ending(f"ended because an inference failed: {self._failure}")
        if status < 0:
            memory = ", perhaps because memory ran out" if -status == signal.SIGKILL else ""
            return Ending(f"was killed by {_signal_name(-status)}{memory}")
        return Ending(f"ended with exit status {status}")


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
