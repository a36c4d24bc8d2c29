"""An engine without a network, for `IsolatedBackend(options, OPENER)`: the first value of the state is an order.

`options.checkpoint` is a directory in which `write_policy` has written what to open. Imported in both processes.
"""

import json
import os
import signal
import threading
from collections.abc import Mapping
from enum import IntEnum
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from act_inference_ros import errors
from act_inference_ros.errors import BadOutputError, ObservationError
from act_inference_ros.inference.local.options import LocalOptions
from act_inference_ros.spec import ImageSpec, PolicySpec
from test.plain_backend import PlainBackend

OPENER = "test.inference.engine_stand_in:open_engine"
STATE, IMAGE = "observation.state", "observation.images.front"
CHUNK_SIZE, JOINTS = 4, 3
FILE, OPEN, COMPUTING = "policy.json", "open", "computing"
MORE_MEMORY = 1 << 30
"""Bytes that an inference allocates to run out of memory."""


class Order(IntEnum):
    """The requested result of an inference."""

    COMPUTE = 0
    EXIT = 1
    BE_KILLED = 2
    BE_STOPPED = 3
    HANG = 4
    RUN_OUT_OF_MEMORY = 5
    REFUSE_THE_OBSERVATION = 6
    BE_WRONG = 7
    MISSHAPE = 8
    RAISE_UNFORESEEN = 9


def write_policy(
    directory: Path,
    policy_id: str = "a" * 64,
    joints: int = JOINTS,
    loading: Order = Order.COMPUTE,
    gated: bool = False,
    error: str = "",
    message: str = "",
) -> str:
    """Write what there is to open; returns the directory as a checkpoint.

    `loading` is obeyed while the engine is opened; `gated`: it waits for `let_in` first. `error` names one of the
    package's errors that is raised then, with `message`.
    """
    policy = {
        "policy_id": policy_id,
        "joints": joints,
        "loading": loading,
        "gated": gated,
        "error": error,
        "message": message,
    }
    partial = directory / "partial"
    partial.write_text(json.dumps(policy))
    partial.replace(directory / FILE)  # a process may be reading it
    return str(directory)


def let_in(directory: Path) -> None:
    """Allow an engine that is `gated` to be opened."""
    (directory / OPEN).touch()


def observation(order: Order = Order.COMPUTE, value: float = 0.5, joints: int = JOINTS) -> dict[str, npt.NDArray[Any]]:
    """Checked inputs; the chunk depends on `value` and on every pixel."""
    pixels = np.arange(8 * 12 * 3, dtype=np.uint8).reshape(8, 12, 3)
    return {STATE: np.array([order, *[value] * (joints - 1)], np.float32), IMAGE: pixels}


def expected_chunk(inputs: Mapping[str, npt.NDArray[Any]]) -> npt.NDArray[np.float32]:
    """The chunk that the engine computes."""
    chunk = inputs[STATE] + np.arange(CHUNK_SIZE)[:, None] / 7.0 + inputs[IMAGE].mean()
    return np.asarray(chunk, np.float32)


class EngineStandIn(PlainBackend):
    """A Backend."""

    source = "the stand-in"
    notes = ("a note",)
    warm_up_s = 0.01

    def __init__(self, policy_id: str, joints: int, options: LocalOptions) -> None:
        images = (ImageSpec(IMAGE, 8, 12),)
        self.spec = PolicySpec(CHUNK_SIZE, joints, images=images, state_dim=joints, policy_id=policy_id)
        self.facts = {"threads": str(options.threads), "niceness": str(os.nice(0))}
        self._computing = Path(options.checkpoint) / COMPUTING

    def infer(self, inputs: Mapping[str, Any], request_id: str = "") -> npt.NDArray[np.float32]:
        """Create the file COMPUTING, do what the state orders, and compute."""
        self._computing.touch()
        order = Order(int(inputs[STATE][0]))
        obey(order)
        chunk = expected_chunk(inputs)
        return chunk[1:] if order is Order.MISSHAPE else chunk


def obey(order: Order) -> None:
    if order is Order.EXIT:
        os._exit(7)
    if order is Order.BE_KILLED:
        os.kill(os.getpid(), signal.SIGKILL)
    if order is Order.BE_STOPPED:
        os.kill(os.getpid(), signal.SIGSTOP)
    if order is Order.HANG:
        threading.Event().wait()
    if order is Order.RUN_OUT_OF_MEMORY:
        np.empty(MORE_MEMORY, np.uint8)
    if order is Order.REFUSE_THE_OBSERVATION:
        raise ObservationError("not this one")
    if order is Order.BE_WRONG:
        raise BadOutputError("not finite")
    if order is Order.RAISE_UNFORESEEN:
        raise RuntimeError("the device is gone\nand a second line")


def open_engine(options: LocalOptions) -> EngineStandIn:
    """Called by IsolatedBackend in the inference process."""
    policy = json.loads((Path(options.checkpoint) / FILE).read_text())
    while policy["gated"] and not (Path(options.checkpoint) / OPEN).exists():
        threading.Event().wait(0.02)
    obey(Order(policy["loading"]))
    if policy["error"]:
        raise getattr(errors, policy["error"])(policy["message"])
    return EngineStandIn(policy["policy_id"], policy["joints"], options)
