"""Small policies, requests and processes for the tests of serving."""

import importlib.util
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from act_inference_ros.errors import ConfigurationError
from act_inference_ros.program.shared_memory import is_locked
from act_inference_ros.serving.installation import find_triton
from act_inference_ros.serving.model_config import ServingOptions, config_pbtxt
from act_inference_ros.serving.remains import RESERVED_PREFIX
from act_inference_ros.serving.repository import publish
from act_inference_ros.spec import PolicySpec
from test.checkpoints import STATE, write_checkpoint

ENVIRONMENT = {"observation.environment_state": {"type": "ENV", "shape": [7]}}
CAMERAS = {
    "observation.images.top_cam": {"type": "VISUAL", "shape": [3, 64, 96]},
    "observation.images.wrist": {"type": "VISUAL", "shape": [3, 48, 40]},
}
DEADLINE_S = 60.0


def _why_no_triton() -> str:
    if importlib.util.find_spec("tritonclient") is None:
        return "tritonclient is not installed"
    with tempfile.TemporaryDirectory() as scratch:
        try:
            find_triton(Path(scratch))
        except ConfigurationError as error:
            return str(error)
    return ""


WHY_NO_TRITON = _why_no_triton()
needs_triton = pytest.mark.skipif(bool(WHY_NO_TRITON), reason=WHY_NO_TRITON or "Triton is here")


def small_checkpoint(directory: Path, **fields: Any) -> str:
    """A policy without cameras, exported in seconds."""
    directory.mkdir(parents=True, exist_ok=True)
    write_checkpoint(directory, {**STATE, **ENVIRONMENT}, n_encoder_layers=1, **fields)
    return str(directory)


def camera_checkpoint(directory: Path) -> str:
    """A policy with a state and two cameras of different sizes."""
    directory.mkdir(parents=True, exist_ok=True)
    write_checkpoint(directory, {**STATE, **CAMERAS})
    return str(directory)


def serve_otherwise(version: Path, repository: Path, spec: PolicySpec, options: ServingOptions) -> None:
    """Publish an exported version's files once more, under other options."""
    publish(version, repository / options.name, config_pbtxt(spec, options), {"policy_id": spec.policy_id})


def observation(spec: PolicySpec, seed: int = 0) -> dict[str, Any]:
    random = np.random.default_rng(seed)
    vectors = {key: random.normal(size=dim).astype(np.float32) for key, dim in spec.vectors.items()}
    return vectors | {image.key: random.integers(0, 256, image.shape, dtype=np.uint8) for image in spec.images}


def infer_inputs(observations: list[dict[str, Any]]) -> list[Any]:
    """The Python client's inputs for a batch of observations; an image may be bytes."""
    import tritonclient.grpc as grpc

    inputs = []
    for key, first in observations[0].items():
        if isinstance(first, bytes):
            batch, kind = np.array([[one[key]] for one in observations], dtype=object), "BYTES"
        else:
            batch = np.stack([one[key] for one in observations])
            kind = "UINT8" if batch.dtype == np.uint8 else "FP32"
        tensor = grpc.InferInput(key, list(batch.shape), kind)
        tensor.set_data_from_numpy(batch)
        inputs.append(tensor)
    return inputs


def children_of(pid: int) -> list[int]:
    """Processes whose parent is `pid`, from /proc."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
        except OSError:  # it has just ended
            continue
        if parent == pid:
            found.append(int(stat.parent.name))
    return found


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def eventually(claim: Callable[[], bool], deadline_s: float = DEADLINE_S) -> bool:
    end = time.monotonic() + deadline_s
    while not claim():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


def server_of(launcher: int) -> int:
    """The Triton among a launcher's children."""
    return next(pid for pid in children_of(launcher) if b"tritonserver" in command_line(pid)[0])


def stubs_of(server: int) -> list[int]:
    """The processes in which a Triton runs Python models, less those that have ended."""
    return [pid for pid in children_of(server) if is_running(pid) and b"python_backend_stub" in command_line(pid)[0]]


def command_line(pid: int) -> list[bytes]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return [b""]


def shared_memory() -> set[str]:
    """Names of the regions of Tritons that this package has started."""
    return {name for name in os.listdir("/dev/shm") if name.startswith(f"{RESERVED_PREFIX}act_")}  # noqa: S108


def left_behind() -> set[str]:
    """Those of ended Tritons: nobody holds the lock beside them. Tritons of other tests may be running."""
    there = shared_memory()
    locks = [name for name in there if name.endswith("_lock")]
    live = tuple(name.removesuffix("lock") for name in locks if is_locked(Path("/dev/shm", name)))  # noqa: S108
    return {name for name in there if not name.startswith(live)} & shared_memory()
