"""The cells of the fault matrix: what fails, how, how that is done, and what must come of it."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from rclpy.qos import DurabilityPolicy, QoSProfile
from std_msgs.msg import String

from act_inference_ros.interfaces import command_interface
from act_inference_ros.ros.messages import message_class
from test.ros.policy_stand_in import Behaviour
from test.ros.robot_stand_in import (
    not_a_number,
    seconds,
    silent,
    truncated,
    without_a_joint,
    wrong_encoding,
    wrong_size,
)
from test.ros.ros_helpers import wait_until
from test.witness.distortions import (
    always,
    every,
    not_a_number_in,
    now_and_then,
    numbers,
    scrambled,
    small_picture,
    the_same_again,
    the_same_pixels,
    without_named,
)
from test.witness.stage import ENABLE_TIMEOUT_S, MAX_AGE_S, MAX_PLAN_AGE_S, MAX_STILL_S, RATE_HZ, Stage, delayed_by

OFF, STUCK, GARBAGE, WRONG, SLOW, DELAYED, INTERMITTENT = WAYS = (
    "off", "stuck", "garbage", "wrong", "slow", "delayed", "intermittent",
)  # fmt: skip
TICK_S = 1.0 / RATE_HZ
BRAKING_S = 0.2
"""From the stage's greatest velocity, 1 rad/s, at its greatest acceleration, 5 rad/s2."""
BACK_S = 1.0
FAULT_S = 1.4
"""How long a fault lasts."""
INFERENCE_S = 0.2
"""An interval between chunks of the stage, and an inference."""
NOTICED_S = MAX_AGE_S + TICK_S + BRAKING_S
UNNOTICED_S = MAX_PLAN_AGE_S + TICK_S
REASONED = {"environment": "environment_state"}
"""An input that `~/status` calls by another name."""

Act = Callable[[Stage], "contextlib.AbstractContextManager[Any]"]


@dataclass(frozen=True)
class Cell:
    """A combination that is tried: `act` makes the fault while its block runs. Bounds as `recording.Fault` has them."""

    what: str
    way: str
    act: Act
    rest_s: float | None = None
    back_s: float | None = BACK_S
    reasons: tuple[str, ...] = ()
    lasts_s: float = FAULT_S
    waits_for_chunk: bool = False
    """What has failed needs a time of its own to be there again: the fault ends with the first chunk after it."""

    @property
    def name(self) -> str:
        return f"{self.what}: {self.way}"


def distorted(name: str, make: Callable[[], Callable[[Any], Any]]) -> Act:
    """Messages of an input are distorted; `make` gives a new distortion each time."""

    @contextlib.contextmanager
    def act(stage: Stage) -> Iterator[None]:
        stage.distortions[name] = make()
        try:
            yield
        finally:
            del stage.distortions[name]

    return act


def input_cells(
    what: str, name: str, garbage: Callable[[Any], Any], wrong: Callable[[Any], Any], stamped: bool = True
) -> Iterator[Cell]:
    """Seven ways in which a sensor's topic fails."""
    called = REASONED.get(name, name)
    stale = ("stale: state", "missing: state") if name.startswith("/") else (f"stale: {called}",)
    yield Cell(what, OFF, distorted(name, always(silent)), NOTICED_S, reasons=stale)
    yield Cell(what, GARBAGE, distorted(name, always(garbage)), NOTICED_S, reasons=stale)
    yield Cell(what, WRONG, distorted(name, always(wrong)), NOTICED_S, reasons=stale)
    yield Cell(what, SLOW, distorted(name, every(24)), reasons=stale)
    if stamped:
        yield Cell(what, STUCK, distorted(name, the_same_again), NOTICED_S, reasons=stale)
        yield Cell(what, DELAYED, distorted(name, lambda: delayed_by(0.6)), NOTICED_S, reasons=stale)
    yield Cell(what, INTERMITTENT, distorted(name, now_and_then), reasons=stale, lasts_s=2.2)


def ordered(*behaviours: int, pause_s: float = 0.4) -> Act:
    """The policy misbehaves; with a 0 among the behaviours it does so by turns."""

    @contextlib.contextmanager
    def act(stage: Stage) -> Iterator[None]:
        pixels = stage.stand.robot.images["front"]
        begin, before = time.monotonic(), int(pixels[0, 0, 0])

        def order(message: Any) -> Any:
            turn = int((time.monotonic() - begin) / pause_s) % len(behaviours)
            message.data[0] = behaviours[turn] or before
            return message

        with distorted("front", always(order))(stage):
            yield

    return act


@contextlib.contextmanager
def killed_inference(stage: Stage) -> Iterator[None]:
    os.kill(stage.inference_process, signal.SIGKILL)
    yield


@contextlib.contextmanager
def frozen_inference(stage: Stage) -> Iterator[None]:
    pid = stage.inference_process
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):  # the node has ended it, and started another one
            os.kill(pid, signal.SIGCONT)


@contextlib.contextmanager
def frozen_node(stage: Stage) -> Iterator[None]:
    stage.stand.node.send(signal.SIGSTOP)
    try:
        yield
    finally:
        stage.stand.node.send(signal.SIGCONT)


@contextlib.contextmanager
def another_publisher(stage: Stage) -> Iterator[None]:
    rules = stage.contract.controllers["gripper"]
    kind = message_class(command_interface(rules.interface).message_type)
    node = stage.stand.participant.node
    publisher = node.create_publisher(kind, "/gripper/command", 10)
    try:
        yield
    finally:
        node.destroy_publisher(publisher)


@contextlib.contextmanager
def arm_in_the_mud(stage: Stage) -> Iterator[None]:
    stage.stand.robot.frozen = True
    try:
        yield
    finally:
        stage.stand.robot.frozen = False


def asked(first: str, *then: str) -> Act:
    """A request of the operator, and those that end it."""

    @contextlib.contextmanager
    def act(stage: Stage) -> Iterator[None]:
        stage.stand.ask(first)
        yield
        for request in then:
            stage.stand.ask(request)

    return act


@contextlib.contextmanager
def hammered(stage: Stage) -> Iterator[None]:
    """An operator who presses everything."""
    for request in ("pause", "resume", "resume", "clear_stop", "reset", "pause", "reset", "resume") * 2:
        stage.stand.ask(request)
    yield


@contextlib.contextmanager
def wrong_parameters(stage: Stage) -> Iterator[None]:
    for change in ({"max_age": -1.0}, {"command_rate": 1e9}, {"fps": 1.0}, {"max_plan_age": "soon"}):
        assert not stage.stand.set_parameters(**change).successful, change
    yield


@contextlib.contextmanager
def changed_parameters(stage: Stage) -> Iterator[None]:
    for number in range(6):
        stage.stand.set_parameters(blend_time=0.1 + 0.05 * number)
        stage.stand.set_parameters(merge=("latest", "temporal_ensemble", "blend")[number % 3])
    yield
    stage.stand.set_parameters(blend_time=0.2)


@contextlib.contextmanager
def deactivated(stage: Stage) -> Iterator[None]:
    assert stage.stand.transition("deactivate")
    yield
    assert stage.stand.transition("activate")


@contextlib.contextmanager
def wrong_transitions(stage: Stage) -> Iterator[None]:
    for name in ("configure", "activate", "cleanup"):
        assert not stage.stand.transition(name), name
    yield


@contextlib.contextmanager
def to_and_fro(stage: Stage) -> Iterator[None]:
    for _ in range(2):
        stage.stand.transition("deactivate")
        stage.stand.transition("activate")
    yield


@contextlib.contextmanager
def nobody_listens(stage: Stage) -> Iterator[None]:
    """The gripper's controller is gone: neither it nor the witness, who counts as one, listens."""
    robot, name = stage.stand.robot, "gripper"
    for subscription in list(robot.node.subscriptions):
        if subscription.topic_name == f"/{name}/command":
            robot.node.destroy_subscription(subscription)
    stage.witness.go_deaf(name)
    yield
    stage.witness.hear(name)
    robot.listen(name)


@contextlib.contextmanager
def another_description(stage: Stage) -> Iterator[None]:
    node = stage.stand.participant.node
    latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    publisher = node.create_publisher(String, "/robot_description", latched)
    publisher.publish(String(data="<robot name='x'><joint"))
    yield
    node.destroy_publisher(publisher)


def wait_for_chunk(stage: Stage, after: float) -> float:
    """Of which observation the first chunk was that was taken after a time."""

    def found() -> Any:
        stamps = [seconds(each.message.header.stamp) for each in list(stage.stand.robot.chunks)]
        return next((observed for observed in stamps if observed > after), None)

    return float(wait_until(found, 60.0, "no chunk"))


def cells(parts: bool) -> Iterator[Cell]:
    """The cells of a stage in local mode; with `parts` only those that differ with joint states on two topics."""
    failed = ("inference failed",)
    late = ("plan too old", "plan ran out", "chunk too late", "inference failed")
    if parts:
        name = "/driver_a/joint_states"
        spoilt = always(lambda message: without_named(message, "pan"))
        yield from input_cells("a part of the joint states", name, not_a_number_in("lift"), spoilt())
        return
    yield from input_cells("camera, raw", "front", truncated, wrong_size)
    stale = ("stale: front",)
    yield Cell("camera, raw", "wrong (encoding)", distorted("front", always(wrong_encoding)), NOTICED_S, reasons=stale)
    pixels = MAX_STILL_S + MAX_AGE_S + TICK_S + BRAKING_S
    yield Cell("camera, raw", "stuck (new stamps)", distorted("front", the_same_pixels), pixels, reasons=("stuck",))
    yield from input_cells("camera, compressed", "side", scrambled, small_picture)
    yield Cell(
        "camera, compressed", "stuck (new stamps)", distorted("side", the_same_pixels), pixels, reasons=("stuck",)
    )
    yield from input_cells("joint states", "state", not_a_number, without_a_joint)
    yield from input_cells("environment state", "environment", numbers(0.5, float("nan")), numbers(0.5), stamped=False)
    yield Cell(
        "enabling topic", OFF, distorted("enable", always(silent)), ENABLE_TIMEOUT_S + 0.22, reasons=("not enabled",)
    )
    refuse = always(lambda message: type(message)(data=False))
    yield Cell("enabling topic", WRONG, distorted("enable", refuse), 0.1 + 0.22, reasons=("not enabled",))
    yield Cell("enabling topic", SLOW, distorted("enable", every(8)), reasons=("not enabled",))
    yield Cell("enabling topic", INTERMITTENT, distorted("enable", now_and_then), reasons=("not enabled",), lasts_s=2.2)
    computing = INFERENCE_S + TICK_S + BRAKING_S
    yield Cell("inference process", GARBAGE, ordered(Behaviour.NOT_FINITE), computing, reasons=failed)
    yield Cell(
        "inference process", WRONG, ordered(Behaviour.WRONG_SHAPE), computing, reasons=failed, waits_for_chunk=True
    )
    yield Cell("inference process", SLOW, ordered(Behaviour.SLOW), reasons=late, lasts_s=3.0, back_s=BACK_S + 1.5)
    yield Cell("inference process", INTERMITTENT, ordered(Behaviour.NOT_FINITE, 0), reasons=failed)
    yield Cell("inference process", STUCK, frozen_inference, UNNOTICED_S, reasons=late, waits_for_chunk=True)
    yield Cell("inference process", OFF, killed_inference, UNNOTICED_S, reasons=late, waits_for_chunk=True)
    yield Cell("controller", OFF, nobody_listens, 1.0, reasons=("nobody listens",))
    yield Cell("controller", STUCK, arm_in_the_mud)
    yield Cell("controller", WRONG, another_publisher, 1.0, reasons=("another publisher",))
    asks = TICK_S + BRAKING_S + 0.05
    yield Cell("operator's services", OFF, asked("pause", "resume"), asks, reasons=("paused",))
    yield Cell("operator's services", WRONG, asked("clear_stop"))
    yield Cell("operator's services", STUCK, asked("stop", "clear_stop", "resume"), asks, reasons=("stopped",))
    yield Cell("operator's services", INTERMITTENT, hammered)
    yield Cell("parameters", WRONG, wrong_parameters)
    yield Cell("parameters", INTERMITTENT, changed_parameters)
    yield Cell("lifecycle", OFF, deactivated, asks, reasons=("inactive",))
    yield Cell("lifecycle", WRONG, wrong_transitions)
    yield Cell("lifecycle", INTERMITTENT, to_and_fro)
    yield Cell("robot description", GARBAGE, another_description)
    yield Cell("node", STUCK, frozen_node, UNNOTICED_S)
