"""Hours of a session, on a clock that the test moves: a real session, a robot, and a person who does the same again."""

from __future__ import annotations

import dataclasses
from array import array
from collections import Counter
from collections.abc import Callable, Mapping
from types import MappingProxyType, SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from rclpy.node import Node
from sensor_msgs.msg import Image, JointState
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from act_inference_ros.errors import NotReadyError
from act_inference_ros.execution.controller_state import FULL_SPEED
from act_inference_ros.execution.states import State
from act_inference_ros.inference.client import InferenceClient
from act_inference_ros.interfaces import stamp
from act_inference_ros.robot.configuration import RobotConfiguration
from act_inference_ros.ros.messages import make_message
from act_inference_ros.ros.policy import controller_states, worker
from act_inference_ros.ros.policy import session as session_module
from act_inference_ros.ros.policy.diagnostics import DiagnosticReport
from act_inference_ros.ros.policy.session import PolicySession
from act_inference_ros.spec import ImageSpec, PolicySpec
from test.execution.parity import FakeNode, FakePublisher
from test.execution.rig import JOINTS, PARAMETERS
from test.reachable import sizes

CYCLE_S = 60.0
TURN_S = 10.0
"""The plan is a wave of this length; a cycle, and the step of the clock in it, are whole turns."""
AMPLITUDE = 0.4
RATE_HZ, INFERENCE_S, CALM_S = 10.0, 0.7, 4.0
IMAGE_TICKS, REPORT_TICKS = 2, 10
"""Ticks from one image to the next, and from one report to the next."""
CHUNK_SIZE, FPS = 30, 10.0
CAMERAS = ("front", "side")
SPEC = PolicySpec(CHUNK_SIZE, 3, tuple(ImageSpec(f"observation.images.{name}", 2, 2) for name in CAMERAS), state_dim=3)
START = 1.7e9
CHANGES: dict[str, Any] = {
    "fps": FPS, "command_rate": RATE_HZ, "inference_rate": 2.0, "max_age": 0.5, "max_skew": 0.3, "merge": "blend",
    "max_plan_age": 2.5, "coast_time": 0.5, "cameras": list(CAMERAS), "camera.front.topic": "/front",
    "camera.side.topic": "/side", "resume_within": 30.0, "start_pose": [0.1, 0.1, 0.1],
    "controller.arm.topic": "/arm/joint_trajectory", "joint.grip.smooth": True, "max_still": 1.0, "stuck": "hold",
    **{f"joint.{joint}.{end}": limit for joint in JOINTS for end, limit in (("min", -2.0), ("max", 2.0))},
}  # fmt: skip


def plan(times: Any) -> Any:
    """What the policy wants at these times (n,): (n, joints)."""
    return AMPLITUDE * np.sin(2.0 * np.pi * np.asarray(times)[:, None] / TURN_S + np.arange(len(JOINTS)))


class Publisher(FakePublisher):
    """Remembers the last message only."""

    def publish(self, message: Any) -> None:
        self.sent[:] = [(self._node.now, message)]

    def get_subscription_count(self) -> int:
        return 1


class World(FakeNode):
    """The ROS node of a session whose arm obeys, and who gives it its time, its inputs and its requests.

    `errors` are how far the streamed positions were from the plan for that time, one for each command that came when
    nothing had happened for CALM_S.
    """

    def __init__(self) -> None:
        super().__init__()
        self.now = START
        self.ticks = 0
        self.faults: list[Exception] = []
        self.seen: Counter[str] = Counter()
        self.errors: list[float] = []
        self.silent: set[str] = set()
        self.fails = False
        self._calm_from = round(CALM_S * RATE_HZ)
        self._origin = START
        self._steps = self._day()
        self._answers: dict[str, Any] = {}
        client = InferenceClient(cast(Any, self))  # the world is its backend, too
        configuration = RobotConfiguration.from_parameters(PARAMETERS | CHANGES)
        self.session = PolicySession(cast(Node, self), configuration, client, self.faults.append, lambda: None)
        self._report = DiagnosticReport("/policy_node")
        self.session.activate()

    def live(self, cycles: int) -> None:
        """Let so many cycles pass."""
        until = self.ticks + cycles * round(CYCLE_S * RATE_HZ)
        while self.ticks < until:
            self._pass(1)
            self._infer()

    def held(self) -> Counter[str]:
        """The sizes of all that the session holds."""
        return sizes(self.session, leave_out=[self, vars(self), *self.publishers.values()])

    # What a session asks of its node.

    def create_publisher(self, kind: Any, topic: str, qos: Any) -> FakePublisher:
        self.publishers[topic] = Publisher(self, topic)
        return self.publishers[topic]

    def create_client(self, *_: Any) -> Any:
        return SimpleNamespace(service_is_ready=lambda: False)

    def create_timer(self, period_s: float, callback: Callable[[], None]) -> Any:
        self.tick = callback
        return SimpleNamespace()

    def destroy_client(self, *_: Any) -> None: ...

    destroy_subscription = destroy_timer = destroy_client

    def count_publishers(self, topic: str) -> int:
        return 1

    def get_clock(self) -> Any:
        return SimpleNamespace(ros_time_is_active=False, now=lambda: SimpleNamespace(nanoseconds=round(self.now * 1e9)))

    # The backend.

    source = "the world"
    takes_jpeg = False
    reconnects = 0
    facts: Mapping[str, str] = MappingProxyType({})
    notes: tuple[str, ...] = ()
    model_version = ""
    warm_up_s = INFERENCE_S
    spec = SPEC

    def infer(self, _: Any, request_id: str = "") -> Any:
        """A chunk of the plan, after a while in which everything else goes on."""
        t_obs = float(request_id.removeprefix("t_obs="))
        self._pass(round(INFERENCE_S * RATE_HZ))
        if self.fails:
            raise NotReadyError("the server went away")
        return plan(t_obs + np.arange(CHUNK_SIZE) / FPS).astype(np.float32)

    def accept_policy(self, policy_id: str) -> None: ...

    def close(self) -> None: ...

    # What happens.

    def _day(self) -> dict[int, Callable[[], Any]]:
        """What is done in each cycle, by the tick in it."""

        def ask(request: str) -> Callable[[], Any]:
            return lambda: self.session.ask(request)

        def silence(name: str) -> list[Callable[[], Any]]:
            return [lambda: self.silent.add(name), lambda: self.silent.remove(name)]

        def change(blend_time: float) -> Callable[[], Any]:
            return lambda: self.session.apply(dataclasses.replace(self.session.configuration, blend_time=blend_time))

        def fail(fails: bool) -> Callable[[], Any]:
            return lambda: setattr(self, "fails", fails)

        steps = [
            (4.0, ask("pause")), (5.0, self.session_off), (6.0, self.session_on), (9.0, ask("reset")),
            *zip((12.0, 14.0), silence("/front"), strict=True), *zip((17.0, 19.0), silence("/s"), strict=True),
            (22.0, ask("stop")), (23.0, ask("clear_stop")), (24.0, ask("resume")), (27.0, change(0.3)),
            (28.0, change(0.2)), (30.0, ask("go_to_start")), (37.0, ask("resume")), (40.0, fail(True)),
            (42.0, fail(False)), (44.0, self._jump_back),
        ]  # fmt: skip
        return {round(at * RATE_HZ): step for at, step in steps}

    def session_off(self) -> None:
        self.session.deactivate()

    def session_on(self) -> None:
        self.session.activate()

    def _jump_back(self) -> None:
        self._origin -= TURN_S
        self.now -= TURN_S

    def _pass(self, ticks: int) -> None:
        """Let time pass."""
        for _ in range(ticks):
            self.ticks += 1
            self.now = self._origin + self.ticks / RATE_HZ
            step = self._steps.get(self.ticks % round(CYCLE_S * RATE_HZ))
            if step is not None:
                step()
                self._calm_from = self.ticks + round(CALM_S * RATE_HZ)
            self._send_inputs()
            if self.session.active:
                self.tick()
            self._look()

    def _send_inputs(self) -> None:
        if not self.session.active:
            return
        supervisor = self.session._pipeline.supervisor
        positions = dict.fromkeys(JOINTS, 0.0) | self._answers | supervisor.told(self.now)
        self._answers = positions
        if "/s" not in self.silent:
            message = JointState(name=list(JOINTS), position=[positions[name] for name in JOINTS])
            self.say("/s", message)
        said = JointTrajectory(joint_names=["lift", "pan"], points=[JointTrajectoryPoint()])
        said.points[0].positions = [positions["lift"], positions["pan"]]
        self.say("/arm/controller_state", said)
        if self.ticks % IMAGE_TICKS == 0:
            random = np.random.default_rng(self.ticks)
            for camera in CAMERAS:
                if f"/{camera}" not in self.silent:
                    image = Image(encoding="rgb8", height=2, width=2, step=6)
                    image.data = array("B", random.integers(0, 255, 12, np.uint8).tobytes())
                    self.say(f"/{camera}", image)

    def say(self, topic: str, message: Any) -> None:
        message.header.stamp = stamp(make_message, self.now)
        self.callbacks[topic](message)

    def _look(self) -> None:
        if self.ticks % REPORT_TICKS == 0:
            self.session.status("/policy_node")
            self.session.diagnose(self._report, stamp(make_message, self.now))
        supervisor = self.session._pipeline.supervisor
        self.seen[f"{supervisor.state.value}: {supervisor.standing.reason}"] += 1
        if supervisor.state is State.COMMANDING and self.ticks > self._calm_from:
            when, target = self.publishers["/g"].sent[0]
            if when == self.now:
                wanted = plan([self.now])[0, JOINTS.index("grip")]
                self.errors.append(abs(float(target.data[0]) - float(wanted)))

    def _infer(self) -> None:
        inferring = self.session._worker
        if inferring is not None:
            inferring.step()


def world(monkeypatch: pytest.MonkeyPatch) -> World:
    """A world whose session has no thread of its own, and whose controllers' states can be read."""
    monkeypatch.setattr(worker.InferenceWorker, "start", lambda _: None)
    monkeypatch.setattr(session_module, "REST_S", 0.0)
    monkeypatch.setattr(controller_states, "message_class", lambda _: JointTrajectory)
    said = property(lambda message: message.points[0])
    for name, value in (("reference", said), ("feedback", said), ("speed_scaling_factor", FULL_SPEED)):
        monkeypatch.setattr(JointTrajectory, name, value, raising=False)
    return World()
