"""InferenceWorker: takes observations and computes chunks outside the executor, one at a time, the newest first."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from act_inference_ros.errors import InferenceError, ObservationError
from act_inference_ros.execution.pipeline import Pipeline, Taken
from act_inference_ros.inference.client import InferenceClient
from act_inference_ros.observation.inputs import ObservationInputs
from act_inference_ros.observation.refusal import ObservationRefused
from act_inference_ros.ros.policy.black_box import BlackBox
from act_inference_ros.spec import Chunk

POLL_S = 0.05
"""How long to wait for a new input before checking for problems, wall time."""
SHORT_S = 0.005
"""Longest wait, wall time, for something due in ROS time, because ROS time may stand still or run slowly."""

OnChunk = Callable[[Chunk, float], None]


class InferenceWorker:
    """A thread from `start` to `stop`. `notify` says that an input arrived; `now` reads the node's ROS clock in s.

    `lock` guards the pipeline, which the executor uses, too; decoding and inference happen without the lock. `flush`
    publishes the commands; `black_box` notes each inference.
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
        black_box: BlackBox,
    ) -> None:
        self._lock = lock
        self._pipeline = pipeline
        self._inputs = inputs
        self._client = client
        self._now = now
        self._flush = flush
        self._on_chunk = on_chunk
        self._on_fault = on_fault
        self._black_box = black_box
        self._news = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="inference", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def notify(self) -> None:
        """Note that there is a new input."""
        self._news.set()

    def stop(self, timeout: float) -> bool:
        """Ask the thread to end; True if it has ended within `timeout` s. A chunk in progress is dropped."""
        self._stopping.set()
        self._news.set()
        if self._thread.is_alive():
            self._thread.join(timeout)
        return not self._thread.is_alive()

    @property
    def has_news(self) -> bool:
        """Whether an input has arrived since the last search for an observation."""
        return self._news.is_set()

    def step(self) -> float:
        """Take an observation, if it is time and there is one, and compute its chunk; the thread's only work.

        Returns for how many seconds of ROS time no observation will be taken; 0.0 if it searched for one. Raises
        nothing: unforeseen errors go to `on_fault`.
        """
        try:
            with self._lock:
                left = self._pipeline.due(self._now())
            if left > 0.0:
                return left  # `has_news` stays true
            self._news.clear()
            with self._lock:
                taken = self._pipeline.take(self._now())
            if taken is not None:
                self._infer(taken)
        except Exception as error:
            if not self._stopping.is_set():  # else client and topics were closed meanwhile
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
            self._black_box.failed(taken, refusal)
            return
        with self._lock:
            accepted = self._pipeline.take_policy_acceptance()
        self._black_box.observed(taken, observation, self._inputs.spec)
        started = time.perf_counter()
        try:
            if accepted:
                self._client.accept_policy(accepted)
            chunk = self._client.predict(observation, request_id=f"t_obs={taken.t_obs:.6f}")
        except (InferenceError, ObservationError) as error:
            with self._lock:
                self._pipeline.failed(taken, error, self._now())
            self._flush()
            self._black_box.failed(taken, error)
            return
        inference_s = time.perf_counter() - started
        with self._lock:
            accepted_chunk = self._pipeline.chunk(taken, chunk, self._now(), inference_s, self._client.source)
        self._flush()
        self._black_box.inferred(taken, inference_s, self._client.source, accepted_chunk)
        if not self._stopping.is_set():
            self._on_chunk(chunk, taken.t_obs)
