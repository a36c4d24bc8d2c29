"""Recording: as many demonstrations as are wanted, in this process or in several others at once."""

from __future__ import annotations

import json
import queue
import subprocess
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import count as count_from

from act_inference_ros.errors import ActInferenceError, ConfigurationError
from act_inference_ros.program.child import child_command, child_environment
from act_inference_ros.program.progress import Progress
from act_inference_ros.program.told_errors import heard
from act_inference_ros.simulation import recording_process
from act_inference_ros.simulation.demonstrations import AttemptRecorder, Demonstration

MAX_ATTEMPTS_PER_DEMONSTRATION = 4


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


_Attempt = tuple[int, int]
"""Seed of the recording, number of the attempt."""


@contextmanager
def _attempts_runner(workers: int) -> Iterator[Callable[[list[_Attempt]], Iterable[Demonstration | None]]]:
    """Give a function that makes attempts, in order: in this process if `workers` is 1, else in that many others."""
    if workers == 1:
        recorder = AttemptRecorder()
        try:
            yield lambda attempts: (recorder.attempt(*attempt) for attempt in attempts)
        finally:
            recorder.close()
        return
    # Started here and not in the threads below: the kernel ends a process with the thread that started it.
    processes: list[_RecordingProcess] = []
    threads = ThreadPoolExecutor(workers)
    idle: queue.SimpleQueue[_RecordingProcess] = queue.SimpleQueue()

    def attempt(wanted: _Attempt) -> Demonstration | None:
        process = idle.get()
        try:
            return process.attempt(*wanted)
        finally:
            idle.put(process)

    try:
        for _ in range(workers):
            processes.append(_RecordingProcess())
            idle.put(processes[-1])
        yield lambda attempts: threads.map(attempt, attempts)
    finally:
        for process in processes:
            process.kill()  # a thread that waits for it goes on
        threads.shutdown(wait=True, cancel_futures=True)
        for process in processes:
            process.close()


class _RecordingProcess:
    """Another process that makes attempts: numbers go there as JSON, demonstrations come back as plain arrays."""

    def __init__(self) -> None:
        # Not forked from this one: that would share its OpenGL and its thread pools, which breaks both. In a session of
        # its own, for Ctrl-C is meant for this process, which ends the other one.
        self._process = subprocess.Popen(
            child_command(recording_process.__name__),
            env=child_environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )

    def attempt(self, seed: int, number: int) -> Demonstration | None:
        """Have an attempt made. Raises what it raised there, or ActInferenceError if the process ends over it."""
        assert self._process.stdin is not None  # noqa: S101  # for the type checker; both are pipes
        assert self._process.stdout is not None  # noqa: S101
        try:
            self._process.stdin.write(json.dumps([seed, number]).encode() + b"\n")
            self._process.stdin.flush()
            reply, arrays = recording_process.read_reply(self._process.stdout)
        except (OSError, EOFError) as error:
            raise ActInferenceError(
                "a recording process ended unexpectedly (out of memory?); record again, with one worker if it persists"
            ) from error
        if "error" in reply:
            raise heard(reply)
        return Demonstration(**arrays) if arrays else None

    def kill(self) -> None:
        """End the process at once: it has nothing to keep."""
        self._process.kill()

    def close(self) -> None:
        """Wait until the process has ended, and close what leads there."""
        self._process.communicate()
