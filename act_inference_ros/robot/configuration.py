"""RobotConfiguration: a robot's parameter file as typed data, checked as a whole and against the policy.

Shared by the node and the bag evaluator; imports numpy only (through joints and spec).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from act_inference_ros.errors import ConfigurationError
from act_inference_ros.interfaces import CommandInterface, command_interface
from act_inference_ros.joints import UNITS, Joint, JointBinding
from act_inference_ros.robot.parameters import INFINITY, Value, complete, raise_problems
from act_inference_ros.spec import PolicySpec

WATCH_PERIOD_S = 0.02


@dataclass(frozen=True)
class Camera:
    """A camera the policy reads, and where its images come from."""

    name: str
    topic: str
    transport: str


@dataclass(frozen=True)
class Controller:
    """A controller that executes some of the action's joints; `lead_s` applies where its interface does not stream."""

    name: str
    interface: CommandInterface
    topic: str
    joints: tuple[str, ...]
    lead_s: float


@dataclass(frozen=True)
class RobotConfiguration:
    """Everything the parameter file says. Times in seconds, rates in 1/s; joints carry units and limits."""

    mode: str | None
    checkpoint: str | None
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
    state_topic: str
    state: JointBinding | None
    environment_state_topic: str
    cameras: tuple[Camera, ...]
    resize: bool
    stamps: str
    max_age: float
    max_skew: float
    action: JointBinding
    controllers: tuple[Controller, ...]
    command_rate: float
    merge: str
    blend_time: float
    ensemble_coeff: float
    coast_time: float

    @classmethod
    def from_parameters(cls, given: Mapping[str, Any]) -> RobotConfiguration:
        """Check the given parameters together; raises one ConfigurationError that lists every problem found."""
        values = complete(given)
        problems: list[str] = []
        state_joints = cast("list[str]", values["state.joints"])
        action_joints = cast("list[str]", values["action.joints"]) or state_joints
        joints = _joints(values, [*state_joints, *action_joints], problems)
        cameras = _cameras(values, problems)
        controllers = _controllers(values, problems)
        problems += _duplicates("state.joints", state_joints) + _duplicates("action.joints", action_joints)
        problems += _coverage_problems(action_joints, controllers)
        if not action_joints:
            problems.append("action.joints: empty, and so is state.joints; name the joints that the policy commands")
        if not values["state.topic"]:
            problems.append(
                "state.topic: empty; measured joint positions are needed to start every motion from where the arm is"
            )
        raise_problems("parameters", problems)
        plain = {name: values[name] for name in _TAKEN_AS_THEY_ARE}
        return cls(
            **cast("dict[str, Any]", plain),
            mode=_given(values["mode"]),
            checkpoint=_given(values["checkpoint"]),
            server=_given(values["server"]),
            model=_given(values["model"]),
            state_topic=cast(str, values["state.topic"]),
            state=JointBinding([joints[name] for name in state_joints]) if state_joints else None,
            environment_state_topic=cast(str, values["environment_state.topic"]),
            cameras=cameras,
            action=JointBinding([joints[name] for name in action_joints]),
            controllers=controllers,
        )

    @property
    def client_arguments(self) -> dict[str, Any]:
        """Keyword arguments of `InferenceClient.create`."""
        return {
            "mode": self.mode,
            "checkpoint": self.checkpoint,
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
    def tick_period_s(self) -> float:
        """How often to command the streaming controllers; without any, how often to look whether the arm must hold."""
        streams = any(controller.interface.streams for controller in self.controllers)
        return 1.0 / self.command_rate if streams else WATCH_PERIOD_S

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
)


def _given(value: Value) -> str | None:
    """None for an empty string: the client then looks into the environment."""
    return cast(str, value) or None


def _joints(values: Mapping[str, Value], names: list[str], problems: list[str]) -> dict[str, Joint]:
    joints: dict[str, Joint] = {}
    for name in dict.fromkeys(names):
        unit = cast(str, values[f"joint.{name}.unit"])
        scale = cast(float, values[f"joint.{name}.scale"])
        if unit and scale != 1.0:
            problems.append(f"joint.{name}: unit and scale are both given; unit: {unit} already is a scale")
        lowest, highest = (cast(float, values[f"joint.{name}.{end}"]) for end in ("min", "max"))
        try:
            joints[name] = Joint(
                name,
                scale=UNITS[unit] if unit else scale,
                offset=cast(float, values[f"joint.{name}.offset"]),
                minimum=None if lowest == -INFINITY else lowest,
                maximum=None if highest == INFINITY else highest,
                max_velocity=cast(float, values[f"joint.{name}.max_velocity"]),
            )
        except ConfigurationError as problem:
            problems.append(str(problem))
    return joints


def _cameras(values: Mapping[str, Value], problems: list[str]) -> tuple[Camera, ...]:
    names = cast("list[str]", values["cameras"])
    problems += _duplicates("cameras", names)
    problems += [
        f"camera.{name}.topic: empty; name the image topic" for name in names if not values[f"camera.{name}.topic"]
    ]
    return tuple(
        Camera(name, cast(str, values[f"camera.{name}.topic"]), cast(str, values[f"camera.{name}.transport"]))
        for name in names
    )


def _controllers(values: Mapping[str, Value], problems: list[str]) -> tuple[Controller, ...]:
    names = cast("list[str]", values["controllers"])
    problems += _duplicates("controllers", names)
    if not names:
        problems.append("controllers: empty; name at least one, and its joints")
    controllers = []
    for name in names:
        prefix = f"controller.{name}"
        if not values[f"{prefix}.topic"]:
            problems.append(f"{prefix}.topic: empty; name the command topic")
        if not values[f"{prefix}.joints"]:
            problems.append(f"{prefix}.joints: empty; name the joints it moves, in its own order")
        controllers.append(
            Controller(
                name,
                command_interface(cast(str, values[f"{prefix}.interface"])),
                cast(str, values[f"{prefix}.topic"]),
                tuple(cast("list[str]", values[f"{prefix}.joints"])),
                cast(float, values[f"{prefix}.lead"]),
            )
        )
    return tuple(controllers)


def _coverage_problems(action_joints: list[str], controllers: tuple[Controller, ...]) -> list[str]:
    """Every joint of the action must be moved by exactly one controller, and no controller may want another."""
    if not controllers:
        return []
    problems = []
    for joint in action_joints:
        owners = [c.name for c in controllers for name in c.joints if name == joint]
        if len(owners) != 1:
            problems.append(
                f"controllers: joint {joint} of the action is moved by {owners or 'none of them'}; exactly one must"
            )
    for controller in controllers:
        for joint in controller.joints:
            if joint not in action_joints:
                problems.append(f"controller.{controller.name}.joints: {joint} is not in the action {action_joints}")
    return problems


def _duplicates(name: str, values: list[str]) -> list[str]:
    twice = sorted({value for value in values if values.count(value) > 1})
    return [f"{name}: {', '.join(twice)} named more than once"] if twice else []
