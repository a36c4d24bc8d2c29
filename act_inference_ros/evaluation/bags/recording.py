"""What a bag should hold for this robot and policy, and what it does: topics, types, and where the truth comes from."""

from __future__ import annotations

from dataclasses import dataclass, field

from act_inference_ros.evaluation.bags.bag import Bag
from act_inference_ros.evaluation.comparison.truth import COMMANDS, NONE, STATE
from act_inference_ros.interfaces import TRANSPORTS
from act_inference_ros.robot.configuration import RobotConfiguration
from act_inference_ros.spec import PolicySpec

CAMERA, STATE_INPUT, ENVIRONMENT_STATE, COMMAND = "camera", "state", "environment state", "command"

JOINT_STATE = "sensor_msgs/msg/JointState"
FLOAT_ARRAYS = ("std_msgs/msg/Float64MultiArray", "std_msgs/msg/Float32MultiArray")
TRUTHS = ("auto", COMMANDS, STATE)


@dataclass(frozen=True)
class Role:
    """What a topic is for: `kind` as above, `name` of the camera or controller; `types` are the ones that will do.

    `action`: the type of the action whose name `topic` is; empty for a topic.
    """

    kind: str
    name: str
    topic: str
    types: tuple[str, ...]
    action: str = ""

    @property
    def text(self) -> str:
        """For messages: `camera top (/top/image_raw)`."""
        return f"{self.kind} {self.name} ({self.topic})" if self.name else f"{self.kind} ({self.topic})"


@dataclass
class Recording:
    """What can be made of a bag. `roles` has the usable topics; `missing` why an observation is impossible, if it is.

    `sources` maps each controller to the truth of its joints: commands, state or none; `reasons` says what is missing
    from the numbers, `notes` what is worth knowing.
    """

    roles: dict[str, list[Role]] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def examine(bag: Bag, configuration: RobotConfiguration, spec: PolicySpec, truth: str) -> Recording:
    """Check the bag's topics against the parameter file; `truth` is auto, commands or state."""
    found = Recording()
    inputs = [
        Role(CAMERA, camera.name, camera.topic, (TRANSPORTS[camera.transport],)) for camera in configuration.cameras
    ]
    if spec.environment_state_dim is not None:
        inputs.append(Role(ENVIRONMENT_STATE, "", configuration.environment_state_topic, FLOAT_ARRAYS))
    state = Role(STATE_INPUT, "", configuration.state_topic, (JOINT_STATE,))
    if spec.state_dim is not None:
        inputs.append(state)
    for role in inputs:
        problem = _problem(bag, role)
        if problem is None:
            found.roles.setdefault(role.topic, []).append(role)
        else:
            found.missing.append(problem)
    if spec.state_dim is None:
        problem = _problem(bag, state)
        if problem is None:
            found.roles.setdefault(state.topic, []).append(state)
        else:
            found.reasons.append(f"{problem}; without measured positions there is no executed plan, only raw chunks")
    has_state = any(role.kind == STATE_INPUT for roles in found.roles.values() for role in roles)
    for controller in configuration.controllers:
        interface = controller.interface
        action = interface.action.type if interface.action else ""
        role = Role(COMMAND, controller.name, controller.topic, (interface.message_type,), action)
        found.sources[controller.name] = _source(bag, role, truth, has_state, found)
    return found


def _source(bag: Bag, role: Role, truth: str, has_state: bool, found: Recording) -> str:
    problem = _problem(bag, role)
    if truth != STATE and problem is None:
        found.roles.setdefault(role.topic, []).append(role)
        return COMMANDS
    if truth != COMMANDS and has_state:
        if truth == "auto":
            found.notes.append(f"{problem}; its joints are compared with the measured positions that followed")
        return STATE
    found.reasons.append(f"{problem or role.text}: the joints of {role.name} are compared with nothing")
    return NONE


def _problem(bag: Bag, role: Role) -> str | None:
    """Why the bag's topic cannot play its role, or None."""
    if role.action:
        return f"{role.text}: it is commanded by goals of {role.action}, which no bag records"
    types = bag.types.get(role.topic)
    if not types:
        near = [topic for topic, kinds in bag.types.items() if kinds & set(role.types)]
        hint = f"; of that type it has {', '.join(sorted(near))}" if near else f"; it has {_topics(bag)}"
        return f"{role.text}: the bag has no such topic{hint}"
    if not types & set(role.types):
        hint = "; see camera.<camera>.transport" if role.kind == CAMERA else ""
        return f"{role.text}: expected {' or '.join(role.types)}, the bag has {', '.join(sorted(types))}{hint}"
    if not bag.counts[role.topic]:
        return f"{role.text}: the topic is in the bag, but no message was recorded"
    return None


def _topics(bag: Bag) -> str:
    return ", ".join(sorted(bag.types)) or "no topics"
