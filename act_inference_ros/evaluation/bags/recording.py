"""Compares the topics and types that robot and policy need with those of a bag, and chooses the source of the truth."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from act_inference_ros.evaluation.bags.bag import Bag
from act_inference_ros.evaluation.bags.serialized import COMMAND as IN_COMMAND_TOPICS
from act_inference_ros.evaluation.comparison.truth import COMMANDS, NONE, STATE
from act_inference_ros.interfaces import COMMAND_INTERFACES, TRANSPORTS
from act_inference_ros.robot.configuration import RobotConfiguration
from act_inference_ros.spec import PolicySpec

CAMERA, STATE_INPUT, ENVIRONMENT_STATE, COMMAND = "camera", "state", "environment state", "command"

JOINT_STATE = "sensor_msgs/msg/JointState"
FLOAT_ARRAYS = ("std_msgs/msg/Float64MultiArray", "std_msgs/msg/Float32MultiArray")
TRUTHS = ("auto", COMMANDS, STATE)


@dataclass(frozen=True)
class Role:
    """The use of a topic: `kind` as above, `name` of the camera or controller; `types` are the accepted types.

    `action`: the type of the action whose name `topic` is; empty for a topic.
    """

    kind: str
    name: str
    topic: str
    types: tuple[str, ...]
    action: str = ""

    @property
    def text(self) -> str:
        """A text for messages: `camera top (/top/image_raw)`."""
        return f"{self.kind} {self.name} ({self.topic})" if self.name else f"{self.kind} ({self.topic})"


@dataclass
class Recording:
    """The usable content of a bag. `roles` has the usable topics; `missing` says why an observation is impossible.

    `sources` maps each controller to the truth of its joints: commands, state or none. `reasons` says what is missing
    from the numbers, `notes` what is worth knowing. `uncommanded` maps each controller whose commands were not recorded
    to the reason.
    """

    roles: dict[str, list[Role]] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    uncommanded: dict[str, str] = field(default_factory=dict)


def examine(bag: Bag, configuration: RobotConfiguration, spec: PolicySpec, truth: str) -> Recording:
    """Check the bag's topics against the parameter file; `truth` is auto, commands or state."""
    found = Recording()
    inputs = [
        Role(CAMERA, camera.name, camera.topic, (TRANSPORTS[camera.transport],)) for camera in configuration.cameras
    ]
    if spec.environment_state_dim is not None:
        inputs.append(Role(ENVIRONMENT_STATE, "", configuration.environment_state_topic, FLOAT_ARRAYS))
    states = [Role(STATE_INPUT, "", topic, (JOINT_STATE,)) for topic in configuration.state_topics]
    if spec.state_dim is not None:
        inputs += states
    for role in inputs:
        problem = _problem(bag, role)
        if problem is None:
            found.roles.setdefault(role.topic, []).append(role)
        else:
            found.missing.append(problem)
    for state in states if spec.state_dim is None else ():
        problem = _problem(bag, state)
        if problem is None:
            found.roles.setdefault(state.topic, []).append(state)
        else:
            found.reasons.append(f"{problem}; without measured positions there is no executed plan, only raw chunks")
    has_state = any(role.kind == STATE_INPUT for roles in found.roles.values() for role in roles)
    used = {*configuration.state_topics, *(each.topic for each in configuration.controllers)}
    for controller in configuration.controllers:
        interface = controller.interface
        action = interface.action.type if interface.action else ""
        role = Role(COMMAND, controller.name, controller.topic, (interface.message_type,), action)
        found.sources[controller.name] = _source(bag, role, truth, has_state, found, used)
    return found


def _source(bag: Bag, role: Role, truth: str, has_state: bool, found: Recording, used: Collection[str]) -> str:
    """Return the source of the truth for a controller's joints; `used` are the topics that the parameter file names."""
    problem = _problem(bag, role)
    if problem is not None:
        found.uncommanded[role.name] = problem
    if truth != STATE and problem is None:
        found.roles.setdefault(role.topic, []).append(role)
        return COMMANDS
    if truth != COMMANDS and has_state:
        if truth == "auto":
            told = found.reasons if _looks_mistaken(bag, role, used) else found.notes
            told.append(f"{problem}; its joints are compared with the measured positions that followed")
        return STATE
    found.reasons.append(f"{problem or role.text}: the joints of {role.name} are compared with nothing")
    return NONE


def _looks_mistaken(bag: Bag, role: Role, used: Collection[str]) -> bool:
    """Whether commands were recorded with an unexpected type, or on a topic that the parameter file does not name."""
    if role.action:
        return False
    spare = [
        topic
        for topic, kinds in bag.types.items()
        if kinds & set(role.types) and topic not in used and (JOINT_STATE not in kinds or IN_COMMAND_TOPICS in topic)
    ]
    return bool(bag.counts[role.topic] or any(bag.counts[topic] for topic in spare))


def _problem(bag: Bag, role: Role) -> str | None:
    """Return why the bag's topic cannot be used for its role, or None."""
    if role.action:
        return f"{role.text}: it is commanded by goals of {role.action}, which no bag records"
    types = bag.types.get(role.topic)
    if not types:
        near = [topic for topic, kinds in bag.types.items() if kinds & set(role.types)]
        hint = f"; of that type it has {', '.join(sorted(near))}" if near else f"; it has {_topics(bag)}"
        return f"{role.text}: the bag has no such topic{hint}{_namespace_hint(role, near)}"
    if types - set(role.types):
        several = "; a topic of several types is not read"
        hint = several if types & set(role.types) else _hint(role, types)
        return f"{role.text}: expected {' or '.join(role.types)}, the bag has {' and '.join(sorted(types))}{hint}"
    if not bag.counts[role.topic]:
        return f"{role.text}: the topic is in the bag, but no message was recorded"
    return None


def _namespace_hint(role: Role, near: Sequence[str]) -> str:
    """Return a hint if a topic with the same name exists in a namespace, since the node probably ran in it."""
    namespaces = sorted({topic.removesuffix(role.topic) for topic in near if topic.endswith(role.topic)})
    return f"; if the node was in a namespace, say so: --namespace {namespaces[0]}" if namespaces else ""


def _hint(role: Role, types: set[str]) -> str:
    """Return a hint about the parameter that fits the recorded types."""
    if role.kind == CAMERA:
        fitting = [transport for transport, kind in TRANSPORTS.items() if kind in types]
        return f"; camera.{role.name}.transport: {fitting[0]} reads that" if fitting else ""
    if role.kind == COMMAND:
        rows = COMMAND_INTERFACES.values()
        names = [row.name for row in rows if row.action is None and row.message_type in types]
        return f"; controller.{role.name}.interface: {names[0]} reads that" if names else ""
    return ""


def _topics(bag: Bag) -> str:
    return ", ".join(sorted(bag.types)) or "no topics"
