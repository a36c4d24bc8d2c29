"""Faults of the chaos run that the matrix does not have: of the node's process, the server and the networks."""

from __future__ import annotations

import contextlib
import functools
import random
import signal
import time
from collections.abc import Callable, Iterator
from typing import Any

from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rcl_interfaces.srv import SetParametersAtomically
from rclpy.parameter import Parameter
from std_srvs.srv import Trigger

from act_inference_ros.program import shared_memory
from test.inference.isolation_helpers import children_of, is_running
from test.inference.triton_process import RunningTriton
from test.ros.policy_node_stand import TRANSITIONS
from test.ros.robot_stand_in import silent
from test.ros.ros_helpers import wait_until
from test.witness.cells import Act, distorted
from test.witness.distortions import every, now_and_then
from test.witness.stage import CAMERAS, Stage, delayed_by
from test.witness.triton_stage import SERVER

SENSES = (*CAMERAS, "state", "environment", "enable")
"""All that the robot tells the node."""
ENDS_S = 20.0
"""How long a node may take to end, on a busy machine."""
CHILDREN_S = 5.0
"""How long the processes of a dead node may take to end."""
ACTIVE_S = 60.0
"""How long a node may take from its start until it is active, on a busy machine."""


def ended_by(number: signal.Signals, status: int) -> Act:
    """The node gets a signal that ends it, and a supervisor starts it again when the block ends.

    `status`: the exit status that it must end with.
    """

    @contextlib.contextmanager
    def act(stage: Stage) -> Iterator[None]:
        node = stage.stand.node
        pid = node._process.pid
        children, used = children_of(pid), shared_memory.in_use_by(pid)
        stage.extra["logs"] = stage.extra.get("logs", "") + node.text
        stage.extra.setdefault("down", []).append((time.time(), None))
        node.send(number)
        found: int | None = None
        try:
            yield
            found = node.wait(ENDS_S)
        finally:
            left = [child for child in children if not _gone(child)]
            node.kill()
            shared_memory.remove_dead(used)
            stage.extra["down"][-1] = (stage.extra["down"][-1][0], time.time())
            start(stage)
        assert found == status, f"exit status {found} after {number.name}"
        assert not left, f"{len(left)} processes outlive the node after {number.name}"

    return act


def _gone(pid: int) -> bool:
    with contextlib.suppress(AssertionError):
        return bool(wait_until(lambda: not is_running(pid), CHILDREN_S))
    return False


def start(stage: Stage) -> None:
    """Start the node again, as a supervisor does."""
    stage.extra["started"] = time.time()
    stage.stand.node.__enter__()


@contextlib.contextmanager
def frozen_node(stage: Stage) -> Iterator[None]:
    """The node is stopped, and goes on when the block ends."""
    down = stage.extra.setdefault("down", [])
    down.append((time.time(), None))
    stage.stand.node.send(signal.SIGSTOP)
    try:
        yield
    finally:
        stage.stand.node.send(signal.SIGCONT)
        down[-1] = (down[-1][0], time.time())


def everything(make: Callable[[], Callable[[Any], Any]]) -> Act:
    """All that the robot tells is distorted: the network between robot and node."""

    @contextlib.contextmanager
    def act(stage: Stage) -> Iterator[None]:
        with contextlib.ExitStack() as stack:
            for name in SENSES:
                stack.enter_context(distorted(name, make)(stage))
            yield

    return act


def lossy(share: float) -> Callable[[], Callable[[Any], Any]]:
    """A share of the messages is lost, whichever; each time the same."""

    def make() -> Callable[[Any], Any]:
        chosen = random.Random(0)
        return lambda message: None if chosen.random() < share else message

    return make


NOTHING, OVERDUE, RARE, BY_TURNS = (
    everything(lambda: silent),
    everything(lambda: delayed_by(0.6)),
    everything(every(24)),
    everything(now_and_then),
)


@contextlib.contextmanager
def requests_nobody_waits_for(stage: Stage) -> Iterator[None]:
    """Services, transitions, parameters at random, sent and not waited for; a person puts things right afterwards."""
    client = functools.partial(_send, stage)
    chosen = stage.extra["random"]
    for _ in range(8):
        service = chosen.choice(("pause", "resume", "stop", "clear_stop", "reset", "transition", "parameter"))
        if service == "transition":
            word = chosen.choice(list(TRANSITIONS))
            request = ChangeState.Request(transition=Transition(id=TRANSITIONS[word]))
            client(ChangeState, "change_state", request)
        elif service == "parameter":
            value = Parameter("blend_time", value=chosen.choice((0.1, 0.2, 0.3)))
            parameters = SetParametersAtomically.Request(parameters=[value.to_parameter_msg()])
            client(SetParametersAtomically, "set_parameters_atomically", parameters)
        else:
            client(Trigger, service, Trigger.Request())
        time.sleep(chosen.uniform(0.0, 0.1))
    yield


def _send(stage: Stage, kind: Any, name: str, request: Any) -> None:
    clients = stage.extra.setdefault("clients", {})
    if name not in clients:
        clients[name] = stage.stand.participant.node.create_client(kind, f"/policy_node/{name}")
    clients[name].call_async(request)


def server_of(stage: Stage) -> RunningTriton:
    server: RunningTriton = stage.extra[SERVER]
    return server


@contextlib.contextmanager
def server_told_to_end(stage: Stage) -> Iterator[None]:
    """The server is told to end, and a supervisor starts it again when the block ends."""
    process = server_of(stage)._server
    assert process is not None
    process.process.send_signal(signal.SIGTERM)
    try:
        yield
    finally:
        start_server(stage)


def start_server(stage: Stage) -> None:
    """Start the server again, as a supervisor does; what is left of it is ended before."""
    process = server_of(stage)
    if process._server is not None:
        stage.extra["logs"] = stage.extra.get("logs", "") + process._server.log()
    process.kill()
    process.start()


@contextlib.contextmanager
def model_process_killed(stage: Stage) -> Iterator[None]:
    """The process that runs the model is killed, which Triton does not notice; a supervisor starts the server again."""
    server_of(stage).kill_stubs()
    try:
        yield
    finally:
        start_server(stage)


@contextlib.contextmanager
def model_unloaded(stage: Stage) -> Iterator[None]:
    """Somebody takes the model out of the server, and puts it back."""
    server_of(stage).unload("act_policy")
    try:
        yield
    finally:
        server_of(stage).load("act_policy")
