"""The stages of a chaos run: a node in local mode, or one whose policy is on a real Triton behind a bad network."""

from __future__ import annotations

import contextlib
import inspect
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from act_inference_ros.spec import ImageSpec, PolicySpec
from test.inference.triton_models import write_model
from test.inference.triton_process import RunningTriton
from test.ros.policy_stand_in import Behaviour, circle
from test.ros.robot_stand_in import HEIGHT, JOINTS, WIDTH
from test.witness.bad_network import BadNetwork
from test.witness.chaos_faults import ACTIVE_S, start, start_server
from test.witness.chaos_kinds import LOCAL
from test.witness.stage import CAMERAS, COMMANDING, ENVIRONMENT, Stage, stage

CHUNK, FPS, RADIUS, SLOW_S = 30, 20.0, 0.4, 1.5
REQUEST_TIMEOUT_S = 0.4
BY_ITSELF_S = 3.0
"""An arm that has not gone on by itself in this time is helped."""
STATUS_S = 2.0
"""A status that is older says nothing."""
SPEC = PolicySpec(
    CHUNK, len(JOINTS), images=tuple(ImageSpec(f"observation.images.{name}", HEIGHT, WIDTH) for name in CAMERAS),
    state_dim=len(JOINTS), environment_state_dim=ENVIRONMENT,
)  # fmt: skip
MODEL = f"""
import time

import numpy as np
import triton_python_backend_utils as pb

{inspect.getsource(circle).replace("npt.NDArray[Any]", "np.ndarray")}

class TritonPythonModel:
    def execute(self, requests):
        return [self.answer(request) for request in requests]

    def answer(self, request):
        images = {[image.key for image in SPEC.images]}
        pixels = [pb.get_input_tensor_by_name(request, name).as_numpy()[0] for name in images]
        order = max(int(each[0, 0, 0]) for each in pixels)
        state = pb.get_input_tensor_by_name(request, "observation.state").as_numpy()[0]
        chunk = circle(state, np.arange({CHUNK}) / {FPS}, {RADIUS})
        if order == {int(Behaviour.SLOW)}:
            time.sleep({SLOW_S})
        if order == {int(Behaviour.NOT_FINITE)}:
            chunk[3, 2] = np.nan
        if order == {int(Behaviour.WRONG_SHAPE)}:
            chunk = chunk[1:]
        return pb.InferenceResponse(output_tensors=[pb.Tensor("action", chunk[None])])
"""
"""What the policy stand-in computes, as a model of Triton's Python backend."""


@contextlib.contextmanager
def chaos_stage(directory: Path, mode: str, interface: str, shared_memory: str = "off") -> Iterator[Stage]:
    """A node that is started as a supervisor does it: paused.

    In triton mode `extra` has the `server` and the `network` to it; `shared_memory` says how images go there. Skips
    (pytest) where there is no Triton.
    """
    if mode == LOCAL:
        with stage(directory, interface, start_paused=True) as on:
            yield on
        return
    repository = write_model(directory / "models", SPEC)
    (repository / "act_policy" / "1" / "model.py").write_text(MODEL)
    explicit = ("--model-control-mode=explicit", "--load-model=*")
    with RunningTriton(repository, *explicit) as server, BadNetwork(server.wait_ready().address) as network:
        changes: dict[str, Any] = {"mode": "triton", "server": network.address, "request_timeout": REQUEST_TIMEOUT_S}
        changes["shared_memory"] = shared_memory
        with stage(directory, interface, policy=directory, start_paused=True, **changes) as on:
            on.extra |= {"server": server, "network": network}
            yield on


def bring_to_motion(on: Stage, deadline_s: float = 60.0) -> bool:
    """Wait until the arm is commanded; after a while do what a person does for that. True if it came by itself.

    Raises AssertionError if it does not come to that.
    """
    begin = time.monotonic()
    by_itself = True
    while not is_commanding(on):
        waited = time.monotonic() - begin
        if waited > deadline_s:
            raise AssertionError(f"the arm is not commanded again within {deadline_s:g} s: {on.state()}")
        if waited > BY_ITSELF_S:
            by_itself = False
            put_right(on)
        time.sleep(0.05)
    return by_itself


def is_commanding(on: Stage) -> bool:
    """Whether the node says, and has said lately, that it commands."""
    statuses = on.witness.statuses(time.time() - STATUS_S)
    return bool(statuses) and statuses[-1].message.message == COMMANDING


def put_right(on: Stage) -> None:
    """What a person does who wants the arm to go on, whatever state the node is in; a dead one is started."""
    if on.stand.node.returncode is not None:
        start(on)
        wait_until_active(on)
    with contextlib.suppress(AssertionError):
        state = on.stand.state()
        if state == "unconfigured":
            on.stand.transition("configure")
        if state in ("unconfigured", "inactive"):
            on.stand.transition("activate")
        for request in ("clear_stop", "resume"):
            on.stand.ask(request)


def wait_until_active(on: Stage) -> None:
    """Wait until a node that was started again is active; one that ends meanwhile is started once more."""
    begin = time.monotonic()
    while not on.witness.statuses(on.extra["started"]) or on.state() == "inactive":
        if on.stand.node.returncode is not None:
            start(on)
        if time.monotonic() - begin > ACTIVE_S:
            raise AssertionError(f"a node that was started again is not active within {ACTIVE_S:g} s")
        time.sleep(0.02)


def server_lives(on: Stage) -> bool:
    """Whether there is no server here, or one that runs."""
    server: RunningTriton | None = on.extra.get("server")
    return server is None or (server._server is not None and server._server.process.poll() is None)


def restart_server(on: Stage) -> int:
    """Start a server again that has ended; gives the status with which it did."""
    server: RunningTriton = on.extra["server"]
    status = int(server._server.process.wait())
    start_server(on)
    server.wait_ready(deadline_s=60.0)
    return status


def log_of(on: Stage) -> str:
    """What nodes and servers have written so far, those that were ended before first."""
    server: RunningTriton | None = on.extra.get("server")
    last = server._server.log() if server is not None and server._server is not None else ""
    return str(on.extra.get("logs", "") + on.stand.node.text + last)
