"""Demonstrations: the expert moves the arm, with noise, and what the policy is to learn from is written down."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count as count_from

import numpy as np
import numpy.typing as npt

from act_inference_ros.errors import ActInferenceError, ConfigurationError
from act_inference_ros.program.progress import Progress
from act_inference_ros.simulation.expert import PLAN_STEPS, Expert
from act_inference_ros.simulation.scene import DemoArm

IMAGE_STRIDE = 3
"""Every third step has an image: rendering is most of the work, and neighbouring images are alike."""

NOISE_STD = np.array([0.015, 0.015, 0.015, 0.015, 0.015, 0.0005])
"""Of the executed actions, rad and m. Without it the policy sees only perfect motions and cannot get back to one."""

NOISE_MEMORY = 0.8
"""Correlation of the noise from one step to the next: white noise would be averaged away by the arm's inertia."""

MAX_ATTEMPTS_PER_DEMONSTRATION = 4


@dataclass(frozen=True)
class Demonstration:
    """One successful demonstration of T control steps at DemoArm.FPS.

    Attributes:
        states: float32 (T, 6) joint positions before each step.
        actions: float32 (T, 6) the expert's targets for each step, without the noise they were executed with.
        image_steps: int (N,) the steps that have an image.
        images: uint8 (N, height, width, 3) RGB from the front camera before those steps.
    """

    states: npt.NDArray[np.float32]
    actions: npt.NDArray[np.float32]
    image_steps: npt.NDArray[np.int64]
    images: npt.NDArray[np.uint8]


def record(count: int, seed: int = 0, workers: int = 2, progress: Progress | None = None) -> list[Demonstration]:
    """Record `count` successful demonstrations; failed attempts are thrown away and replaced.

    Attempt i is seeded with (seed, i) alone and successes are kept in order, so the result depends neither on the
    number of workers nor on their speed.

    Args:
        count: demonstrations to record, at least 1.
        seed: of the starts and the noise.
        workers: processes to record in; 1 records in this process.
        progress: called after each attempt with (successes so far, count).

    Raises:
        ConfigurationError: if count or workers is less than 1.
        MissingDependencyError: if mujoco or the OpenGL libraries are missing.
        ActInferenceError: if the expert fails nearly always, or a recording process was killed.
    """
    if count < 1 or workers < 1:
        raise ConfigurationError(f"expected at least 1 demonstration and 1 worker, got {count} and {workers}")
    kept: list[Demonstration] = []
    attempts = count_from()
    tried = 0
    with _attempts_runner(min(workers, count)) as run:
        while len(kept) < count:
            if tried >= MAX_ATTEMPTS_PER_DEMONSTRATION * count:
                raise ActInferenceError(f"only {len(kept)} of {tried} demonstrations lifted the cube; wanted {count}")
            batch = [(seed, next(attempts)) for _ in range(count - len(kept))]
            tried += len(batch)
            for demonstration in run(batch):
                if demonstration is not None:
                    kept.append(demonstration)
                if progress is not None:
                    progress(len(kept), count)
    return kept


def demonstrate(arm: DemoArm, expert: Expert, rng: np.random.Generator) -> Demonstration | None:
    """Let the expert pick the cube of a freshly reset arm; None if the cube was not lifted in the end."""
    plan = expert.plan(arm.positions, arm.cube_position_m)
    first_image = int(rng.integers(IMAGE_STRIDE))  # so that demonstrations together have images of every step
    states, images = [], []
    noise = np.zeros(len(DemoArm.JOINTS))
    for step, target in enumerate(plan):
        states.append(arm.positions)
        if step % IMAGE_STRIDE == first_image:
            images.append(arm.render())
        fresh = rng.normal(0.0, np.sqrt(1.0 - NOISE_MEMORY**2), len(noise))
        noise = NOISE_MEMORY * noise + fresh
        arm.step(target + noise * NOISE_STD, 1.0 / DemoArm.FPS)
    if not arm.cube_lifted:
        return None
    return Demonstration(
        states=np.stack(states),
        actions=plan.astype(np.float32),
        image_steps=np.arange(first_image, PLAN_STEPS, IMAGE_STRIDE),
        images=np.stack(images),
    )


_Attempt = tuple[int, int]
"""Seed of the recording, number of the attempt."""


@contextmanager
def _attempts_runner(workers: int) -> Iterator[Callable[[list[_Attempt]], Iterable[Demonstration | None]]]:
    """Give a function that makes attempts, in order: in this process if `workers` is 1, else in that many others."""
    if workers == 1:
        recorder = _AttemptRecorder()
        try:
            yield lambda attempts: map(recorder.attempt, attempts)
        finally:
            recorder.close()
        return
    # Spawned, not forked: a forked child would share the parent's OpenGL and thread-pool state, which breaks both.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_start_worker)
    try:
        yield lambda attempts: pool.map(_attempt_in_worker, attempts)
    except BrokenProcessPool as error:
        raise ActInferenceError(
            "a recording process ended unexpectedly (out of memory?); record again, with one worker if it persists"
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


class _AttemptRecorder:
    """One arm and one expert, used for attempt after attempt."""

    def __init__(self) -> None:
        self._expert = Expert()
        self._arm = DemoArm()

    def attempt(self, attempt: _Attempt) -> Demonstration | None:
        scene_seed, noise_seed = np.random.SeedSequence(attempt).generate_state(2)
        self._arm.reset(int(scene_seed))
        return demonstrate(self._arm, self._expert, np.random.default_rng(noise_seed))

    def close(self) -> None:
        self._arm.close()


_worker_recorder: _AttemptRecorder | None = None


def _start_worker() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent, which ends its workers


def _attempt_in_worker(attempt: _Attempt) -> Demonstration | None:
    global _worker_recorder  # made in the first attempt, where its errors reach the caller as they are
    if _worker_recorder is None:
        _worker_recorder = _AttemptRecorder()
    return _worker_recorder.attempt(attempt)
