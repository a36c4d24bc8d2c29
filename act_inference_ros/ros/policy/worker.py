"""InferenceWorker: takes observations and computes chunks off the executor, one at a time, the newest first."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from act_inference_ros.errors import InferenceError, ObservationError
from act_inference_ros.execution.pipeline import Pipeline, Taken
from act_inference_ros.inference.client import InferenceClient
from act_inference_ros.observation.inputs import ObservationInputs
from act_inference_ros.observation.refusal import ObservationRefused
from act_inference_ros.spec import Chunk

POLL_S = 0.05
"""How long to wait for news before looking whether something is amiss, wall time."""
SHORT_S = 0.005
"""ROS time may stand still or run slowly, so that what is due by it is looked for again soon."""

OnChunk = Callable[[Chunk, float], None]


class InferenceWorker:
    """A thread from `start` to `stop`. `notify` says that an input arrived; `now` reads the node's ROS clock in s.

    `lock` guards the pipeline, which the executor uses, too; decoding and inference happen outside of it. `flush`
    publishes what the controllers were told.
    """

    def __init__(
        self,
        lock: threading.Lock,
        pipeline: Pipeline,
        inputs: ObservationInputs,
        client: InferenceClient,
        now: Callable[[], float],
        flush: Callable[[], None],
        on_chunk: OnChunk,
        on_fault: Callable[[Exception], None],
    ) -> None:
        self._lock = lock
        self._pipeline = pipeline
        self._inputs = inputs
        self._client = client
        self._now = now
        self._flush = flush
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

    @property
    def has_news(self) -> bool:
        """An input has arrived since an observation was last looked for."""
        return self._news.is_set()

    def step(self) -> float:
        """Take an observation, if it is time and there is one, and compute its chunk. The thread does nothing else.

        Returns for how many seconds of ROS time nothing will be taken; 0.0 if one was looked for. Raises nothing: what
        nobody foresaw goes to `on_fault`.
        """
        try:
            with self._lock:
                left = self._pipeline.due(self._now())
            if left > 0.0:
                return left  # the news stays set
            self._news.clear()
            with self._lock:
                taken = self._pipeline.take(self._now())
            if taken is not None:
                self._infer(taken)
        except Exception as error:
            if not self._stopping.is_set():  # else client and topics have been closed under us
                self._on_fault(error)
        return 0.0

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._news.wait(POLL_S)
            left = self.step()
            if left > 0.0:
                self._stopping.wait(min(left, SHORT_S))

    def _infer(self, taken: Taken) -> None:
        try:
            observation = self._inputs.decode(taken.selection)
        except ObservationRefused as refusal:
            with self._lock:
                self._pipeline.undecodable(taken, refusal.refusal)
            return
        with self._lock:
            accepted = self._pipeline.take_policy_acceptance()
        started = time.perf_counter()
        try:
            if accepted:
                self._client.accept_policy(accepted)
            chunk = self._client.predict(observation, request_id=f"t_obs={taken.t_obs:.6f}")
        except (InferenceError, ObservationError) as error:
            with self._lock:
                self._pipeline.failed(taken, error, self._now())
            self._flush()
            return
        inference_s = time.perf_counter() - started
        with self._lock:
            self._pipeline.chunk(taken, chunk, self._now(), inference_s, self._client.source)
        self._flush()
        if not self._stopping.is_set():
            self._on_chunk(chunk, taken.t_obs)
