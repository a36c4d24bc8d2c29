"""InferenceWorker: takes observations and computes chunks off the executor, one at a time, the newest first."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from act_inference_ros.errors import InferenceError, ObservationError
from act_inference_ros.execution.inference_statistics import InferenceStatistics
from act_inference_ros.execution.supervisor import Supervisor
from act_inference_ros.inference.client import InferenceClient
from act_inference_ros.observation.inputs import ObservationInputs, Selection
from act_inference_ros.observation.refusal import ObservationRefused
from act_inference_ros.spec import Chunk

POLL_S = 0.05
"""How long to wait for news before looking whether something is amiss, wall time."""

OnChunk = Callable[[Chunk, float], None]


class InferenceWorker:
    """A thread from `start` to `stop`. `notify` says that an input arrived; `now` reads the node's ROS clock in s.

    `lock` guards supervisor, inputs and statistics, which the executor uses, too.
    """

    def __init__(
        self,
        lock: threading.Lock,
        supervisor: Supervisor,
        inputs: ObservationInputs,
        client: InferenceClient,
        statistics: InferenceStatistics,
        now: Callable[[], float],
        on_chunk: OnChunk,
        on_fault: Callable[[Exception], None],
    ) -> None:
        self.inference_rate = 10.0
        self._lock = lock
        self._supervisor = supervisor
        self._inputs = inputs
        self._client = client
        self._statistics = statistics
        self._now = now
        self._on_chunk = on_chunk
        self._on_fault = on_fault
        self._news = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="inference", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def notify(self) -> None:
        """Say that there is a new input."""
        self._news.set()

    def stop(self, timeout: float) -> bool:
        """Ask the thread to end; True if it has, within `timeout` s. A chunk still computed is thrown away."""
        self._stopping.set()
        self._news.set()
        if self._thread.is_alive():
            self._thread.join(timeout)
        return not self._thread.is_alive()

    def _run(self) -> None:
        generation, last_t_obs, last_taken = -1, float("-inf"), float("-inf")
        last_look = time.monotonic()
        while not self._stopping.is_set():
            self._news.wait(POLL_S)
            with self._lock:
                if generation != self._supervisor.generation:
                    generation, last_t_obs, last_taken = self._supervisor.generation, float("-inf"), float("-inf")
            left = last_taken + 1.0 / self.inference_rate - self._now()
            if left > 0.0:
                # ROS time may stand still, so look again soon; the news stays set.
                self._stopping.wait(min(left, 0.005))
                continue
            self._news.clear()
            selection = self._select(last_t_obs, patient=time.monotonic() - last_look < POLL_S)
            if selection is None:
                continue
            last_look = time.monotonic()
            last_t_obs, last_taken = selection.t_obs, self._now()
            try:
                self._infer(selection, generation)
            except Exception as error:
                if not self._stopping.is_set():  # else client and topics have been closed under us
                    self._on_fault(error)

    def _select(self, last_t_obs: float, patient: bool) -> Selection | None:
        """Take a new observation, or None. Patient: rather wait for every camera's next image than refuse now."""
        with self._lock:
            if patient and not self._inputs.has_news_since(last_t_obs):
                return None
            try:
                selection = self._inputs.select(self._now())
            except ObservationRefused:
                return None  # counted by the inputs
        return selection if selection.t_obs > last_t_obs else None

    def _infer(self, selection: Selection, generation: int) -> None:
        try:
            observation = self._inputs.decode(selection)
        except ObservationRefused as refusal:
            with self._lock:
                self._inputs.discard(selection, refusal.refusal)
            return
        started = time.perf_counter()
        try:
            chunk = self._client.predict(observation)
        except (InferenceError, ObservationError) as error:
            with self._lock:
                self._statistics.failed(error)
                if generation == self._supervisor.generation:
                    self._supervisor.hold(self._now(), "inference failed", str(error))
            return
        inference_s = time.perf_counter() - started
        with self._lock:
            now = self._now()
            accepted = self._supervisor.accept(chunk, selection.t_obs, now, generation)
            self._statistics.inferred(inference_s, observation_age_s=now - selection.t_obs, accepted=accepted)
        if not self._stopping.is_set():
            self._on_chunk(chunk, selection.t_obs)
