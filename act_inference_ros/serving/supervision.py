"""Supervises a running Triton: asks every policy for a chunk, reloads what fails, and restarts what has died.

Triton itself always reports ready, even when the process that runs a model has been killed or hangs.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from act_inference_ros.errors import NotReadyError
from act_inference_ros.program import shared_memory
from act_inference_ros.program.signals import StopSignals
from act_inference_ros.serving.probe import Counts, Model, Probe, ProbeError
from act_inference_ros.serving.triton_process import READY_DEADLINE_S, TritonProcess

INTERVAL_S = 2.0
HANG_FLOOR_S = 5.0
HANG_FACTOR = 10.0
"""A policy hangs if no request is answered for this many times its slowest answer, at least for HANG_FLOOR_S."""
FAULTS, LOOKS = 2, 10
"""This many failed inferences within this many checks count: one may be a mishap; one of several instances may be
dead."""
ATTEMPTS = 6
"""Attempts to repair before the server is given up."""
RELOADS = 2
"""How many of the attempts reload the model, if the server loads on demand; the others restart the whole server."""
SETTLED_S = 60.0
"""After this time without a fault, attempts are counted from zero again."""
_LONGEST_PAUSE_S = 30.0
_ANSWER_S = 5.0
"""Time limit of requests that cost the server nothing, such as the list of its models."""
_STUB = "triton_python_backend_stub"


@dataclass(frozen=True)
class Fault:
    """What does not work, one model or (None) the server, and the symptom."""

    model: Model | None
    reason: str

    def __str__(self) -> str:
        return f"{'Triton' if self.model is None else self.model} does not work: {self.reason}"


@dataclass
class _Watched:
    """The observations about one policy."""

    counts: Counts | None = None
    answered_at: float = field(default_factory=time.monotonic)
    failed: deque[bool] = field(default_factory=lambda: deque(maxlen=LOOKS))


class Supervision:
    """Supervises one server from `run` until a stop signal. For the main thread only."""

    def __init__(
        self,
        server: TritonProcess,
        signals: StopSignals,
        say: Callable[[str], None],
        *,
        interval_s: float = INTERVAL_S,
        ready_deadline_s: float = READY_DEADLINE_S,
    ) -> None:
        """Supervise `server`, which is ready; `say` takes one line for each fault and each recovery.

        The server is checked every `interval_s`. After a repair it must answer within `ready_deadline_s`.
        """
        self._server = server
        self._signals = signals
        self._say = say
        self._interval_s = interval_s
        self._ready_deadline_s = ready_deadline_s
        self._watched: dict[Model, _Watched] = {}
        self._attempts = 0
        self._mended_at = time.monotonic()
        self.ends_in_order = True
        """Whether the server will end when it is told to: it is not being repaired, and it does not still wait for the
        dead processes of a model that was reloaded."""

    def run(self) -> None:
        """Check and repair until a stop signal comes. Raises StoppedBySignal then, and NotReadyError if it gives up."""
        with self._signals.interrupting(), contextlib.suppress(ProbeError):
            self._watched = {model: _Watched() for model in self._server.probe.loaded(_ANSWER_S)}
        while not self._signals.wait(self._interval_s):
            with self._signals.interrupting():
                fault = self._look()
            if fault is not None:
                self._mend(fault)
            elif time.monotonic() - self._mended_at > SETTLED_S:
                self._attempts = 0
        self._signals.check()

    def _look(self) -> Fault | None:
        probe = self._server.probe
        try:
            loaded = probe.loaded(_ANSWER_S)
            self._remove_abandoned_regions(probe)
        except ProbeError:
            return self._fault_of_server()
        self._watched = {model: self._watched.get(model, _Watched()) for model in loaded}
        for model, watched in self._watched.items():
            reason = self._why_faulty(probe, model, watched)
            if reason:
                return self._fault_of_server() or Fault(model, reason)
        return None

    def _fault_of_server(self) -> Fault | None:
        """What is wrong with the server as a whole, after a second question; None if it answers."""
        if self._server.process.poll() is None:
            try:
                self._server.probe.loaded(_ANSWER_S)
                return None
            except ProbeError as error:
                if self._server.process.poll() is None:
                    return Fault(None, str(error))
        return Fault(None, f"it has ended with exit status {self._server.process.returncode}")

    def _why_faulty(self, probe: Probe, model: Model, watched: _Watched) -> str:
        """Why the model is faulty; empty if it works, or if this is unknown."""
        hang_s = max(HANG_FLOOR_S, HANG_FACTOR * probe.slowest_s.get(model, 0.0))
        for _ in range(FAULTS):  # asked again at once after a failure
            try:
                self._see(probe, model, watched, hang_s)
            except ProbeError as error:
                silent_s = time.monotonic() - watched.answered_at
                if silent_s >= hang_s:
                    return f"no answer for {silent_s:.1f} s ({error})"
                if error.passing or error.timed_out:
                    return ""
                watched.failed.append(True)
                if sum(watched.failed) >= FAULTS:
                    return str(error)
            else:
                watched.failed.append(False)
                return ""
        return ""

    def _see(self, probe: Probe, model: Model, watched: _Watched, hang_s: float) -> None:
        """Ask a policy, unless it has answered other clients without a failure. Raises ProbeError."""
        before, watched.counts = watched.counts, probe.counts(model, _ANSWER_S)
        served = before is not None and watched.counts.answered > before.answered
        if served:
            watched.answered_at = time.monotonic()
        if not (served and before is not None and watched.counts.failed == before.failed):
            self._ask(probe, model, watched, hang_s)

    @staticmethod
    def _ask(probe: Probe, model: Model, watched: _Watched, hang_s: float) -> None:
        """Let the policy infer. Raises ProbeError, unless it answers other clients meanwhile and is only busy."""
        before = probe.counts(model, _ANSWER_S)
        try:
            probe.infer(model, hang_s)
        except ProbeError as error:
            watched.counts = probe.counts(model, _ANSWER_S)
            if watched.counts.answered > before.answered:
                watched.answered_at = time.monotonic()
            if not error.timed_out or watched.counts.answered == before.answered:
                raise
        else:
            watched.counts = probe.counts(model, _ANSWER_S)
            watched.answered_at = time.monotonic()

    def _mend(self, fault: Fault) -> None:
        """Try until it works again. Raises NotReadyError after ATTEMPTS, StoppedBySignal when told to stop."""
        began = time.monotonic()
        loaded = {model.name for model in self._watched}
        reason = str(fault)
        self.ends_in_order = False
        while True:
            if self._attempts == ATTEMPTS:
                raise NotReadyError(f"{reason}; given up after {ATTEMPTS} attempts to mend it")
            reload = self._server.loads_on_demand and fault.model is not None and self._attempts < RELOADS
            remedy = f"loading {fault.model} again" if reload else "starting Triton again"
            self._tell(f"{reason}; {remedy} (attempt {self._attempts + 1} of {ATTEMPTS})")
            pause_s = min(_LONGEST_PAUSE_S, 2.0 ** (self._attempts - 1)) if self._attempts else 0.0
            self._attempts += 1
            if self._signals.wait(pause_s):
                self._signals.check()
            try:
                if reload and fault.model is not None:
                    self._reload(fault.model)
                else:
                    self._restart(loaded)
            except (NotReadyError, ProbeError) as error:
                reason = str(error)
                continue
            break
        self.ends_in_order = not reload
        self._watched.clear()
        self._mended_at = time.monotonic()
        what = "Triton" if fault.model is None else fault.model
        self._tell(f"{what} works again after {self._mended_at - began:.1f} s")

    def _reload(self, model: Model) -> None:
        """Unload and load a model; its processes are killed first, because a model that hangs cannot be unloaded."""
        with self._signals.interrupting():
            for pid in _stubs(self._server.process.pid, model.name):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self._server.probe.unload(model.name, _ANSWER_S)
            self._server.probe.load(model.name, self._ready_deadline_s)
            self._server.wait_ready(self._ready_deadline_s)

    def _restart(self, loaded: set[str]) -> None:
        self._server.restart()  # must not be interrupted
        with self._signals.interrupting():
            self._server.wait_ready(self._ready_deadline_s)
            if self._server.loads_on_demand:
                there = {model.name for model in self._server.probe.loaded(_ANSWER_S)}
                for name in sorted(loaded - there):
                    self._server.probe.load(name, self._ready_deadline_s)
                self._server.wait_ready(self._ready_deadline_s)

    @staticmethod
    def _remove_abandoned_regions(probe: Probe) -> None:
        """Remove the regions of killed clients, on this machine and in the server's list."""
        shared_memory.remove_abandoned_client_regions()
        for name in probe.shared_regions(_ANSWER_S):
            if name.startswith(shared_memory.CLIENT_REGION_PREFIX) and not (shared_memory.DIRECTORY / name).exists():
                with contextlib.suppress(ProbeError):  # in use by a request that has not ended
                    probe.forget_region(name, _ANSWER_S)

    def _tell(self, line: str) -> None:
        self._say(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {line}")


def _stubs(server: int, model: str) -> list[int]:
    """The processes in which the Python backend runs a model: started as `stub .../MODEL/VERSION/model.py ...`."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, IndexError):
            parent = int((entry / "stat").read_text(errors="replace").rpartition(")")[2].split()[1])
            if parent != server:
                continue
            arguments = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
            if arguments[0].endswith(_STUB) and Path(arguments[1]).parts[-3] == model:
                found.append(int(entry.name))
    return found
