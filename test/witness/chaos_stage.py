"""The stages of a chaos run: a node in local mode, or one whose policy is on a real Triton behind a bad network."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

from test.inference.triton_process import RunningTriton
from test.witness.chaos_faults import ACTIVE_S, start, start_server
from test.witness.chaos_kinds import LOCAL
from test.witness.stage import COMMANDING, Stage, stage
from test.witness.triton_stage import SERVER, triton_stage

BY_ITSELF_S = 3.0
"""An arm that has not gone on by itself in this time is helped."""
STATUS_S = 2.0
"""A status that is older says nothing."""


@contextlib.contextmanager
def chaos_stage(directory: Path, mode: str, interface: str) -> Iterator[Stage]:
    """A node that is started as a supervisor does it: paused. Skips (pytest) where there is no Triton for its mode."""
    explicit = ("--model-control-mode=explicit", "--load-model=*")
    if mode == LOCAL:
        chosen = stage(directory, interface, start_paused=True)
    else:
        chosen = triton_stage(directory, interface, *explicit, start_paused=True)
    with chosen as on:
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
    server: RunningTriton | None = on.extra.get(SERVER)
    return server is None or (server._server is not None and server._server.process.poll() is None)


def restart_server(on: Stage) -> int:
    """Start a server again that has ended; gives the status with which it did."""
    server: RunningTriton = on.extra[SERVER]
    status = int(server._server.process.wait())
    start_server(on)
    server.wait_ready(deadline_s=60.0)
    return status


def log_of(on: Stage) -> str:
    """What nodes and servers have written so far, those that were ended before first."""
    server: RunningTriton | None = on.extra.get(SERVER)
    last = server._server.log() if server is not None and server._server is not None else ""
    return str(on.extra.get("logs", "") + on.stand.node.text + last)
