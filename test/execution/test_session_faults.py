"""What nobody foresaw, in any callback of the node or in its inference thread, leaves no controller moving."""

from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("rclpy")

from act_inference_ros.execution import reasons
from act_inference_ros.execution.pipeline import Pipeline
from act_inference_ros.execution.states import State
from act_inference_ros.ros.policy import session as session_module
from act_inference_ros.ros.policy import worker as worker_module
from test.execution.parity import START, NodeWorld, Stopwatch, draw

SEED = 4
"""A schedule that commands for a while from its beginning on."""


class Unforeseen(Exception):
    pass


def fail(*_: Any) -> None:
    raise Unforeseen("boom")


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> NodeWorld:
    """A node that commands, with all that it was told to send published."""
    watch = Stopwatch()
    monkeypatch.setattr(worker_module, "time", watch)
    monkeypatch.setattr(worker_module.InferenceWorker, "start", lambda _: None)
    monkeypatch.setattr(session_module.PolicySession, "_now", lambda session: session._node.now)
    world = NodeWorld(draw(SEED), watch)
    while state_of(world) is not State.COMMANDING:
        world._next()
    return world


def state_of(world: NodeWorld) -> State:
    return world.session._pipeline.supervisor.state


def published(world: NodeWorld) -> list[int]:
    return [len(publisher.sent) for topic, publisher in world.node.publishers.items() if "shadow" in topic]


CALLBACKS: dict[str, Callable[[NodeWorld], Any]] = {
    "tick": lambda world: world.node.tick(),
    "state": lambda world: world.node.callbacks["/s"](world._events[0].message),
    "image": lambda world: world.node.callbacks["/front"](world._events[0].message),
}


@pytest.mark.parametrize("event", CALLBACKS)
def test_a_callback_that_fails_tells_every_controller_to_hold_at_once(
    world: NodeWorld, event: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = published(world)
    monkeypatch.setattr(Pipeline, event, fail)
    with pytest.raises(Unforeseen):
        CALLBACKS[event](world)
    assert published(world) == [count + 1 for count in before]
    assert world.session._pipeline.supervisor.standing.reason == reasons.INTERNAL_FAULT


def test_an_inference_thread_that_fails_while_it_takes_an_observation_does_not_die_in_silence(
    world: NodeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = published(world)
    monkeypatch.setattr(Pipeline, "take", fail)
    world.node.now += 1.0  # an observation is due
    world._worker.step()
    assert [type(fault) for fault in world.faults] == [Unforeseen]
    assert published(world) == [count + 1 for count in before]
    assert state_of(world) is State.STOPPED


def test_a_fault_is_told_to_the_controllers_before_anybody_else(
    world: NodeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = published(world)
    monkeypatch.setattr(world.node, "get_logger", fail)
    monkeypatch.setattr(Pipeline, "take", fail)
    world.node.now += 1.0
    with pytest.raises(Unforeseen):
        world._worker.step()
    assert published(world) == [count + 1 for count in before]
    assert len(world.faults) == 1
    assert world.node.now > START


def test_a_state_that_ends_before_anybody_looks_is_told_all_the_same(world: NodeWorld) -> None:
    world.session.statuses("node")
    world.session.ask("pause")
    world.session.ask("resume")
    world.node.now += 1.0
    while state_of(world) is not State.COMMANDING:
        world._next()
    world.session.ask("pause")
    told = [message.message for message in world.session.statuses("node")]
    assert told[-2:] == ["commanding", "paused"]
    assert [message.message for message in world.session.statuses("node")] == ["paused"]
