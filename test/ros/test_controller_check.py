"""A controller's answers may be lost, or late: it is asked again, and what is found is told once."""

import math
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("rclpy")

from rcl_interfaces.msg import ParameterType, ParameterValue

from act_inference_ros.robot.configuration import RobotConfiguration
from act_inference_ros.ros.policy.controller_check import AWAITED, PATIENCE_S, ControllerCheck

GIVEN = {
    "state.topic": "/joint_states",
    "state.joints": ["pan"],
    "controllers": ["arm"],
    "controller.arm.topic": "/arm/joint_trajectory",
    "controller.arm.joints": ["pan"],
}
JOINTS = ParameterValue(type=ParameterType.PARAMETER_STRING_ARRAY, string_array_value=["pan"])


class Answer:
    """A future that is done at a time, or never."""

    def __init__(self, value: Any, controller: "Controller", at: float) -> None:
        self._value, self._controller, self._at = value, controller, at

    def done(self) -> bool:
        return self._controller.now >= self._at and self in self._controller.pending

    def result(self) -> Any:
        return self._value


class Controller:
    """A parameter service, and the client of it; it answers after `takes_s`."""

    def __init__(self) -> None:
        self.ready, self.takes_s, self.now = True, 0.0, 0.0
        self.asked: list[str] = []
        self.pending: list[Answer] = []

    def service_is_ready(self) -> bool:
        return self.ready

    def call_async(self, request: Any) -> Answer:
        (name,) = request.names
        self.asked.append(name)
        known = JOINTS if name == "joints" else ParameterValue()
        self.pending.append(Answer(SimpleNamespace(values=[known]), self, self.now + self.takes_s))
        return self.pending[-1]

    def remove_pending_request(self, answer: Answer) -> None:
        self.pending.remove(answer)


class World:
    """A check of one controller, with time moved by hand."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.controller, self.now, self.shown, self.warnings = Controller(), 0.0, 0, list[str]()
        monkeypatch.setattr("act_inference_ros.ros.policy.controller_check.time.monotonic", lambda: self.now)
        node: Any = SimpleNamespace(
            create_client=lambda *_: self.controller,
            get_logger=lambda: SimpleNamespace(warning=self.warnings.append),
            get_parameter=lambda _: SimpleNamespace(value=False),
            get_namespace=lambda: "/",
            resolve_topic_name=lambda name: name,
        )
        self.check = ControllerCheck(node, RobotConfiguration.from_parameters(GIVEN), self._on_shown)

    def _on_shown(self, *_: Any) -> None:
        self.shown += 1

    def live(self, seconds: float) -> None:
        for _ in range(round(seconds / 0.1)):
            self.now = self.controller.now = self.now + 0.1
            self.check.look()

    @property
    def found(self) -> str:
        return "; ".join(self.check.findings.get("arm", []))


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    return World(monkeypatch)


def test_it_is_asked_once_where_it_answers(world: World) -> None:
    world.live(60.0)
    assert len(world.controller.asked) == len(set(world.controller.asked))
    assert world.shown == 1
    assert "shows no parameters" not in world.found


def test_lost_answers_are_asked_for_again_long_before_they_are_reported(world: World) -> None:
    world.controller.takes_s = math.inf
    world.live(0.3)
    world.controller.takes_s = 0.0
    world.live(PATIENCE_S / 2)
    assert world.shown == 1
    assert "shows no parameters" not in world.found


def test_answers_that_take_longer_than_the_wait_for_them_count(world: World) -> None:
    world.controller.takes_s = 3.5
    world.live(4.0)
    assert world.shown == 1


def test_a_controller_that_is_silent_for_long_is_reported_once_and_heard_when_it_answers(world: World) -> None:
    world.controller.takes_s = math.inf
    world.live(60.0)
    assert "does not answer" in world.found
    assert len(world.warnings) == 1
    per_round = len(set(world.controller.asked))
    assert len(world.controller.pending) == per_round * AWAITED
    assert len(world.controller.asked) <= per_round * (60.0 / PATIENCE_S + PATIENCE_S + 1)
    world.controller.takes_s = 0.0
    world.live(PATIENCE_S + 1.0)
    assert world.shown == 1
    assert "shows no parameters" not in world.found


def test_one_that_comes_back_is_asked_anew(world: World) -> None:
    world.live(1.0)
    world.controller.ready = False
    world.live(PATIENCE_S + 1.0)
    assert "is not there" in world.found
    world.controller.ready = True
    world.live(1.0)
    assert world.shown == 2
    assert "shows no parameters" not in world.found
