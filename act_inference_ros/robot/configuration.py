"""RobotConfiguration: a robot's parameter file as typed data, checked as a whole and against the policy.

Shared by the node and the bag evaluator; imports numpy only (through joints and spec).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from operator import lt
from typing import Any, cast

from act_inference_ros.interfaces import STUCK_HOLD
from act_inference_ros.joints import JointBinding, StateBinding, joint_and_field
from act_inference_ros.robot import parts
from act_inference_ros.robot.devices import Camera, Controller
from act_inference_ros.robot.given_parameters import complete, raise_problems
from act_inference_ros.robot.parameters import INFINITY, Value
from act_inference_ros.robot.topic_names import DEFAULT_NODE, with_full_names
from act_inference_ros.spec import PolicySpec

WATCH_PERIOD_S = 0.02
"""The node checks at least this often whether the arm must hold."""


def ticks_per_command(command_rate: float) -> int:
    """Return how many checks of the rules fit into one period of a stream with `command_rate` targets per second."""
    return max(1, math.ceil(1.0 / (command_rate * WATCH_PERIOD_S) - 1e-9))


@dataclass(frozen=True)
class RobotConfiguration:
    """Everything that the parameter file says. Times are in s, rates in 1/s; joints carry units and limits."""

    mode: str | None
    checkpoint: str | None
    engine: str
    providers: tuple[str, ...]
    isolation: str
    threads: int
    niceness: int
    thread_priority: int
    device: str
    precision: str
    compile: bool
    server: str | None
    model: str | None
    model_version: int
    request_timeout: float
    server_timeout: float
    shared_memory: str
    ca_file: str
    certificate_file: str
    key_file: str
    token_file: str
    fallback: str
    fps: float
    inference_rate: float
    state_topics: tuple[str, ...]
    """One topic with all joints, or several topics, each with some of the joints."""
    state: StateBinding | None
    environment_state_topic: str
    cameras: tuple[Camera, ...]
    resize: bool
    stamps: str
    max_age: float
    max_skew: float
    action: JointBinding
    controllers: tuple[Controller, ...]
    topics: tuple[tuple[str, str], ...]
    """What the node publishes and subscribes to: (parameter, topic); topics that are not given are left out."""
    command_rate: float
    merge: str
    blend_time: float
    ensemble_coeff: float
    coast_time: float
    max_plan_age: float
    following_lag: float
    resume_within: float
    max_still: float
    stuck: str
    share_topics: bool
    start_paused: bool
    shadow: bool
    black_box: str
    robot_description: str
    robot_description_topic: str
    enable_topic: str
    enable_timeout: float
    start_pose: tuple[float, ...]
    unlimited_joints: tuple[str, ...]
    """Joints of the action without both limits: neither the file nor a description gives them, or says `.inf`."""

    @classmethod
    def from_parameters(
        cls, given: Mapping[str, Any], description: str = "", node: str = DEFAULT_NODE
    ) -> RobotConfiguration:
        """Check the given parameters together; raises one ConfigurationError that lists every problem found.

        `description` is the robot's URDF where `robot_description` is empty; the tighter of file and URDF holds.
        `node` is the full name of the node whose parameters these are: relative topics lie in its namespace.
        """
        values = with_full_names(complete(given), node)
        problems: list[str] = []
        described = parts.described(cast(str, values["robot_description"]) or description, problems)
        entries = cast("list[str]", values["state.joints"])
        commanded = cast("list[str]", values["action.joints"])
        action_joints = commanded or parts.positions_in(entries)
        names = [*(joint_and_field(entry)[0] for entry in entries), *action_joints]
        joints = parts.joints_of(values, names, described, problems)
        state_topics = parts.state_topics_of(values, problems)
        cameras = parts.cameras_of(values, problems)
        controllers = parts.controllers_of(values, problems)
        problems += parts.duplicates("state.joints", entries) + parts.duplicates("action.joints", action_joints)
        problems += parts.field_problems(entries, commanded)
        problems += parts.coverage_problems(action_joints, controllers)
        topics = parts.topics_of(values, state_topics, cameras, controllers)
        problems += parts.shared_topics(topics)
        problems += parts.goal_problems(values, controllers, joints)
        problems += parts.priority_problems(values)
        pose = tuple(cast("list[float]", values["start_pose"]))
        if all(name in joints for name in action_joints):  # else the joints' problems suffice
            problems += parts.pose_problems(pose, [joints[name] for name in action_joints])
        if not action_joints:
            nor = "state.joints has no positions" if entries else "so is state.joints"
            problems.append(f"action.joints: empty, and {nor}; name the joints that the policy commands")
        raise_problems("parameters", problems)
        plain = {name: values[name] for name in _TAKEN_AS_THEY_ARE}
        return cls(
            **cast("dict[str, Any]", plain),
            mode=_given(values["mode"]),
            checkpoint=_given(values["checkpoint"]),
            server=_given(values["server"]),
            model=_given(values["model"]),
            providers=tuple(cast("list[str]", values["providers"])),
            state_topics=state_topics,
            state=parts.state_of(entries, joints),
            environment_state_topic=cast(str, values["environment_state.topic"]),
            cameras=cameras,
            action=JointBinding([joints[name] for name in action_joints]),
            controllers=controllers,
            topics=topics,
            enable_topic=cast(str, values["enable.topic"]),
            enable_timeout=cast(float, values["enable.timeout"]),
            start_pose=pose,
            unlimited_joints=tuple(name for name in action_joints if parts.is_unlimited(name, values, joints[name])),
        )

    def check_limits(self) -> None:
        """Raise ConfigurationError for a joint without position limits, unless the user wrote that it has none."""
        raise_problems(
            "parameters",
            [
                f"joint.{name}: no position limits, neither here nor in the robot description; give joint.{name}.min "
                f"and .max, or write -.inf and .inf if it may go anywhere"
                for name in self.unlimited_joints
            ],
        )

    def wider_limits(self, other: RobotConfiguration) -> list[str]:
        """Name the joints' limits that are wider in `other`: a moving arm must not get wider limits."""
        wider = []
        for ours, theirs in zip(self.action.joints, other.action.joints, strict=True):
            lowest = (-INFINITY if joint.minimum is None else joint.minimum for joint in (theirs, ours))
            highest = (INFINITY if joint.maximum is None else joint.maximum for joint in (ours, theirs))
            if lt(*lowest):
                wider.append(f"joint.{ours.name}.min")
            if lt(*highest):
                wider.append(f"joint.{ours.name}.max")
            if theirs.max_velocity > ours.max_velocity:
                wider.append(f"joint.{ours.name}.max_velocity")
            if theirs.max_acceleration > ours.max_acceleration:
                wider.append(f"joint.{ours.name}.max_acceleration")
        return wider

    @property
    def client_arguments(self) -> dict[str, Any]:
        """Keyword arguments of `InferenceClient.create`."""
        return {
            "mode": self.mode,
            "checkpoint": self.checkpoint,
            "engine": self.engine,
            "providers": self.providers,
            "isolation": self.isolation,
            "threads": self.threads or None,
            "niceness": self.niceness,
            "device": self.device,
            "precision": self.precision,
            "compile": self.compile,
            "server": self.server,
            "model": self.model,
            "version": self.model_version,
            "timeout_s": self.request_timeout,
            "wait_s": self.server_timeout,
            "shared_memory": self.shared_memory,
            "ca_file": self.ca_file,
            "certificate_file": self.certificate_file,
            "key_file": self.key_file,
            "token_file": self.token_file,
            "fallback": self.fallback,
        }

    @property
    def rehearsed(self) -> RobotConfiguration:
        """The same robot without an operator: it needs no enable message and no resume."""
        return replace(self, enable_topic="", start_paused=False, resume_within=INFINITY)

    @property
    def hold_if_stuck(self) -> bool:
        """Whether a camera that shows the same pixels for `max_still` stops the arm."""
        return self.stuck == STUCK_HOLD

    @property
    def tick_period_s(self) -> float:
        """The period, s, of the check whether the arm must hold; the streams' period is a whole multiple of it."""
        streams = any(controller.interface.streams for controller in self.controllers)
        return 1.0 / (self.command_rate * ticks_per_command(self.command_rate)) if streams else WATCH_PERIOD_S

    def check_fits(self, spec: PolicySpec) -> None:
        """Raise one ConfigurationError that shows both sides of everything in which file and policy differ."""
        problems: list[str] = []
        here = [camera.name for camera in self.cameras]
        if sorted(here) != sorted(spec.cameras):
            problems.append(f"cameras: the policy reads {list(spec.cameras)}, the parameters give {here}")
        names = list(self.state.names) if self.state else []
        if spec.state_dim is not None and len(names) != spec.state_dim:
            problems.append(f"state: the policy reads {spec.state_dim} numbers, state.joints has {len(names)}: {names}")
        if len(self.action.names) != spec.action_dim:
            problems.append(
                f"action: the policy commands {spec.action_dim} numbers, action.joints has "
                f"{len(self.action.names)}: {list(self.action.names)}"
            )
        if spec.environment_state_dim is not None and not self.environment_state_topic:
            problems.append(
                f"environment state: the policy reads {spec.environment_state_dim} numbers, "
                "environment_state.topic is empty"
            )
        raise_problems("the parameters do not fit the policy", problems)


_TAKEN_AS_THEY_ARE = (
    "engine",
    "isolation",
    "threads",
    "niceness",
    "thread_priority",
    "device",
    "precision",
    "compile",
    "model_version",
    "request_timeout",
    "server_timeout",
    "shared_memory",
    "ca_file",
    "certificate_file",
    "key_file",
    "token_file",
    "fallback",
    "fps",
    "inference_rate",
    "resize",
    "stamps",
    "max_age",
    "max_skew",
    "command_rate",
    "merge",
    "blend_time",
    "ensemble_coeff",
    "coast_time",
    "max_plan_age",
    "following_lag",
    "resume_within",
    "max_still",
    "stuck",
    "share_topics",
    "start_paused",
    "shadow",
    "black_box",
    "robot_description",
    "robot_description_topic",
)


def _given(value: Value) -> str | None:
    """Return the value, or None for an empty string: the client then reads the environment variable."""
    return cast(str, value) or None
