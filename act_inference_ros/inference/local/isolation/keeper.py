"""Keeper: owns the process that computes a policy, and starts a new one whenever it ends or hangs."""

from __future__ import annotations

import contextlib
import logging
import math
import threading
import time

from act_inference_ros.errors import ActInferenceError, EngineEndedError, EngineHungError, NotReadyError
from act_inference_ros.inference.local.isolation.running import Ending, Ready, RunningEngine
from act_inference_ros.inference.local.options import LocalOptions

LOOK_S = 0.1
START_S, STARTS = 60.0, 10.0
"""A process hangs if its start takes longer than both this many seconds and this many times the first start. The first
start has no limit: it may have to download the checkpoint."""
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 30.0
"""Pause between two starts if the first one failed; the pause doubles."""
PROVEN_S = 30.0
"""A process that has run for this long is restarted at once, and the pauses begin again with the shortest."""
CLOSE_S = 3.0

_log = logging.getLogger(__name__)


class Keeper:
    """Has a thread from its creation until `close`. Every method may be called from any thread.

    All processes are started in that one thread, because the kernel ends a process with the thread that started it.
    """

    def __init__(self, options: LocalOptions, opener: str) -> None:
        """Start the first process and wait until its engine is open. Raises the errors of the opening."""
        self._options = options
        self._opener = opener
        self._closing = threading.Event()
        self._changed = threading.Condition()  # guards the attributes below
        self._running: RunningEngine | None = None
        self._ready: Ready | None = None
        self._ending = Ending("")
        self._failure: Exception | None = None
        self.restarts = 0
        self._thread = threading.Thread(target=self._keep, name="inference process", daemon=True)
        self._thread.start()
        try:
            with self._changed:
                self._changed.wait_for(lambda: self._ready is not None or self._failure is not None)
        except BaseException:
            self.close()
            raise
        if self._failure is not None:
            self.close()
            raise self._failure

    def current(self) -> tuple[RunningEngine, Ready]:
        """The process that is ready, and its report. Raises NotReadyError, saying why there is none."""
        with self._changed:
            running = self._running
            if running is not None and running.ended:
                self._running, self._ending = None, running.how_ended()
            if self._closing.is_set() or self._running is None or self._ready is None:
                raise self._not_ready(self._ending)
            return self._running, self._ready

    def lost(self, running: RunningEngine) -> NotReadyError:
        """Return the error for a request during which `running` ended; the process is not used any more."""
        ending = running.how_ended()
        with self._changed:
            if self._running is running:
                self._running, self._ending = None, ending
            return self._not_ready(ending)

    def close(self) -> None:
        """End the process and the thread; a running request fails. A second call does nothing."""
        self._closing.set()
        with self._changed:
            running = self._running
        if running is not None:
            running.kill("the client was closed")
        if self._thread is not threading.current_thread():
            self._thread.join(CLOSE_S)

    def _keep(self) -> None:
        pause = 0.0
        while True:
            began = time.monotonic()
            ending = self._have_one()
            if self._closing.is_set() or self._failure is not None:
                return
            with self._changed:
                self._running, self._ending = None, ending
                self.restarts += 1
            _log.warning("the inference process %s; it is being started again", ending.text)
            if time.monotonic() - began > PROVEN_S:
                pause = 0.0
            self._closing.wait(pause)
            pause = min(max(FIRST_PAUSE_S, 2 * pause), LONGEST_PAUSE_S)

    def _have_one(self) -> Ending:
        """Start a process and keep it until it ends; returns how it ended, or why it could not be started."""
        try:
            with contextlib.closing(RunningEngine(self._options, self._opener)) as running:
                ready = running.wait_ready(lambda: self._closing.is_set() or self._is_stuck(running))
                if ready is not None:
                    self._begin(running, ready)
                    self._watch(running)
            return running.how_ended()
        except ActInferenceError as error:
            failure: Exception = error
        except OSError as error:  # no more processes or files are available
            failure = NotReadyError(f"the inference process cannot be started: {error}")
        except Exception as error:
            # Any error is caught: callers that wait for a process must get it, and a later start may succeed.
            _log.exception("the inference process could not be started")
            failure = error
        self._fail(failure)
        return Ending(f"could not be started: {failure}")

    def _begin(self, running: RunningEngine, ready: Ready) -> None:
        with self._changed:
            again = self._ready is not None
            self._running, self._ready, self._ending = running, ready, Ending("")
            self._changed.notify_all()
        if again:
            _log.warning("the inference process is there again")

    def _watch(self, running: RunningEngine) -> None:
        """Return when the process has ended or is no longer wanted; end it if somebody has stopped it."""
        while not self._closing.wait(LOOK_S) and not running.ended and not running.end_if_stopped():
            pass

    def _is_stuck(self, running: RunningEngine) -> bool:
        """Whether the start of a process has failed by taking too long; the process is ended then."""
        limit_s = math.inf if self._ready is None else max(START_S, STARTS * self._ready.start_s)
        if running.age_s > limit_s:
            running.kill(f"its start took longer than {limit_s:.1f} s", hung=True)
            return True
        return running.end_if_stopped()

    def _fail(self, error: Exception) -> None:
        """Pass the error to a caller that waits for the very first start, because there is nothing to continue with."""
        with self._changed:
            if self._ready is None:
                self._failure = error
                self._changed.notify_all()

    def _not_ready(self, ending: Ending) -> NotReadyError:
        if self._closing.is_set():
            return NotReadyError("the inference client is closed; create another one")
        kind = EngineHungError if ending.hung else EngineEndedError
        return kind(f"the inference process {ending.text}; it is being started again")
