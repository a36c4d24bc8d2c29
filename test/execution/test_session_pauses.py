"""Wherever the node's threads are made to wait, what is published goes on from what the controller is doing then."""

from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy")

from act_inference_ros.control.cubic import Cubic
from act_inference_ros.interfaces import Command
from act_inference_ros.ros.messages import make_message
from act_inference_ros.ros.policy import commands as commands_module
from act_inference_ros.ros.policy import session as session_module
from act_inference_ros.ros.policy import worker as worker_module
from test.execution.parity import NodeWorld, Stopwatch, draw

SEEDS = [seed for seed in range(40) if not any(event.jumped for event in draw(seed).events)][:12]
PAUSES_S = (0.0, 0.005, 0.03, 0.3)
SHARES = (0.7, 0.2, 0.05, 0.05)


class BusyWorld(NodeWorld):
    """A machine on which time passes between events; what would have come meanwhile comes later, messages never."""

    def _next(self) -> None:
        now = self.node.now
        self._events = [event for event in self._events if event.time >= now]
        self._next_tick, self._next_look = max(self._next_tick, now), max(self._next_look, now)
        if self._busy_until is not None:
            self._busy_until = max(self._busy_until, now)
        super()._next()


def paused_run(seed: int, monkeypatch: pytest.MonkeyPatch) -> NodeWorld:
    """A schedule through the node, which sometimes has to wait between the decision and the message."""
    random = np.random.default_rng(seed)
    watch = Stopwatch()
    monkeypatch.setattr(worker_module, "time", watch)
    monkeypatch.setattr(worker_module.InferenceWorker, "start", lambda _: None)
    monkeypatch.setattr(session_module.PolicySession, "_now", lambda session: session._node.now)
    world = BusyWorld(draw(seed), watch)

    def slow(message_type: str, **fields: Any) -> Any:
        if message_type.split("/")[-1] in ("JointTrajectory", "Float64MultiArray"):
            world.node.now += float(random.choice(PAUSES_S, p=SHARES))
        return make_message(message_type, **fields)

    monkeypatch.setattr(commands_module, "make_message", slow)
    world.run()
    assert world.faults == []
    return world


@pytest.mark.parametrize("seed", SEEDS)
def test_a_trajectory_begins_with_what_the_controller_is_doing_when_it_is_published(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = paused_run(seed, monkeypatch)
    arm = world.session.configuration.controllers[0]
    before = None
    for published, message in world.node.publishers["~/shadow/arm"].sent:
        command: Command = arm.interface.read(arm.joints, message)
        assert command.velocities is not None
        motion = Cubic(command.stamp, command.times, command.positions, command.velocities)
        if before is not None:
            was, is_now = before.at(published), motion.at(published)
            assert is_now.position == pytest.approx(was.position, abs=1e-5)
            assert is_now.velocity == pytest.approx(was.velocity, abs=1e-3)
        before = motion
    assert world.session._pipeline.supervisor.published_late["arm"] + len(world.node.publishers["~/shadow/arm"].sent)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_stream_makes_no_step_however_late_its_targets_are(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    world = paused_run(seed, monkeypatch)
    gripper = world.session.configuration.controllers[1]
    fastest = world.session.configuration.action.joints[2].max_velocity
    targets = [message.data[0] for _, message in world.node.publishers["~/shadow/gripper"].sent]
    assert np.abs(np.diff(targets)).max(initial=0.0) <= fastest / world.session.configuration.command_rate * 1.001
    assert gripper.interface.streams


def test_pauses_make_commands_late(monkeypatch: pytest.MonkeyPatch) -> None:
    late = [paused_run(seed, monkeypatch).session._pipeline.supervisor.published_late for seed in SEEDS[:4]]
    assert sum(each["arm"] for each in late) >= 3
    assert sum(each["gripper"] for each in late) >= 3
