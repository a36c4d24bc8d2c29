"""From the values of the parameters to the robot's parts; all problems are collected for one message."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from math import isfinite
from typing import TypeVar, cast

from act_inference_ros.errors import ConfigurationError
from act_inference_ros.interfaces import ACTIONS, THREAD, command_interface
from act_inference_ros.joints import (
    DEFAULT_MAX_DEVIATION,
    DEFAULT_MAX_DEVIATION_PRISMATIC,
    POSITION,
    UNITS,
    Joint,
    StateBinding,
    StateEntry,
    joint_and_field,
)
from act_inference_ros.robot.devices import DEFAULT_DEADBAND, Camera, Controller
from act_inference_ros.robot.parameters import INFINITY, Value, is_unset
from act_inference_ros.robot.robot_description import DescribedJoint, read_description, tightened

T = TypeVar("T")


def described(text: str, problems: list[str]) -> Mapping[str, DescribedJoint]:
    """Return joint -> its description in a URDF; empty without text. Mistakes in it are added to `problems`."""
    if not text:
        return {}
    try:
        return read_description(text)
    except ConfigurationError as problem:
        problems.append(str(problem))
        return {}


def joints_of(
    values: Mapping[str, Value], names: list[str], described: Mapping[str, DescribedJoint], problems: list[str]
) -> dict[str, Joint]:
    """Return joint -> units and limits, the tighter of file and URDF; a joint with a mistake is noted and left out."""
    joints: dict[str, Joint] = {}
    for name in dict.fromkeys(names):
        unit = cast(str, values[f"joint.{name}.unit"])
        scale = cast(float, values[f"joint.{name}.scale"])
        if unit and scale != 1.0:
            problems.append(f"joint.{name}: unit and scale are both given; unit: {unit} already is a scale")
        lowest, highest = (cast(float, values[f"joint.{name}.{end}"]) for end in ("min", "max"))
        there = described.get(name)
        try:
            joint = Joint(
                name,
                scale=UNITS[unit] if unit else scale,
                offset=cast(float, values[f"joint.{name}.offset"]),
                minimum=None if lowest == -INFINITY or is_unset(lowest) else lowest,
                maximum=None if highest == INFINITY or is_unset(highest) else highest,
                max_velocity=cast(float, values[f"joint.{name}.max_velocity"]),
                max_acceleration=cast(float, values[f"joint.{name}.max_acceleration"]),
                smooth=bool(values[f"joint.{name}.smooth"]),
                max_deviation=_max_deviation(name, values, prismatic=there is not None and there.prismatic),
                continuous=bool(values[f"joint.{name}.continuous"]) or (there is not None and there.continuous),
            )
            joints[name] = tightened(joint, there)
        except ConfigurationError as problem:
            problems.append(str(problem))
    return joints


def _max_deviation(name: str, values: Mapping[str, Value], prismatic: bool) -> float:
    given = cast(float, values[f"joint.{name}.max_deviation"])
    if not is_unset(given):
        return given
    if not values[f"joint.{name}.smooth"]:
        return INFINITY
    return DEFAULT_MAX_DEVIATION_PRISMATIC if prismatic else DEFAULT_MAX_DEVIATION


def is_unlimited(name: str, values: Mapping[str, Value], joint: Joint) -> bool:
    """Whether a position limit is missing and the user did not write `.inf`; continuous joints have no limits."""
    open_ends = {"min": joint.minimum is None, "max": joint.maximum is None}
    unsaid = [end for end, is_open in open_ends.items() if is_open and is_unset(values[f"joint.{name}.{end}"])]
    return bool(unsaid) and not joint.continuous


def state_topics_of(values: Mapping[str, Value], problems: list[str]) -> tuple[str, ...]:
    """Return the topics with joint states; having no topic, or an empty name, is noted as a problem."""
    one, several = cast(str, values["state.topic"]), cast("list[str]", values["state.topics"])
    if one and several:
        problems.append(f"state.topic and state.topics are both given ({one} and {', '.join(several)}); give one")
    elif not one and not several:
        problems.append(
            "state.topic: empty, and so is state.topics; measured joint positions are needed to start every motion "
            "from where the arm is"
        )
    if "" in several:
        problems.append(f"state.topics: expected the names of topics, got an empty one in {several}")
    problems += duplicates("state.topics", several)
    return tuple(several) or (one,)


def positions_in(entries: list[str]) -> list[str]:
    """Return the joints of those state entries that are positions."""
    return [entry for entry in entries if joint_and_field(entry)[1] == POSITION]


def field_problems(entries: list[str], action_joints: list[str]) -> list[str]:
    """Return what is wrong with the field names in the given entries of `state.joints` and `action.joints`."""
    position = f"/{POSITION}"
    return [
        f"state.joints: {entry}: an entry without a field is a position; write {entry.removesuffix(position)}"
        for entry in entries
        if entry.endswith(position)
    ] + [
        f"action.joints: {name}: a policy commands positions, which are named by the joint alone"
        for name in action_joints
        if joint_and_field(name)[1] != POSITION or name.endswith(position)
    ]


def state_of(entries: list[str], joints: Mapping[str, Joint]) -> StateBinding | None:
    """Bind the state's entries whose joints are known; None if there are no entries."""
    split = [joint_and_field(entry) for entry in entries]
    return StateBinding([StateEntry(joints[joint], field) for joint, field in split]) if split else None


def topics_of(
    values: Mapping[str, Value],
    state_topics: tuple[str, ...],
    cameras: tuple[Camera, ...],
    controllers: tuple[Controller, ...],
) -> tuple[tuple[str, str], ...]:
    """What the node publishes and subscribes to: (parameter, topic); topics that are not given are left out."""
    state = "state.topics" if values["state.topics"] else "state.topic"
    others = ("environment_state.topic", "enable.topic", "robot_description_topic")
    named = (
        *((f"controller.{controller.name}.topic", controller.topic) for controller in controllers),
        *((f"camera.{camera.name}.topic", camera.topic) for camera in cameras),
        *((state, topic) for topic in dict.fromkeys(state_topics)),
        *((name, cast(str, values[name])) for name in others),
    )
    return tuple((name, topic) for name, topic in named if topic)


def shared_topics(topics: Iterable[tuple[str, str]]) -> list[str]:
    """Return a problem for each topic that two parts would use; `topics` are pairs of parameter and topic."""
    users: dict[str, list[str]] = {}
    for name, topic in topics:
        users.setdefault(topic, []).append(name)
    return [
        f"{' and '.join(names)}: one topic, {topic}; each needs its own" for topic, names in users.items() if names[1:]
    ]


def pose_problems(pose: tuple[float, ...], joints: list[Joint]) -> list[str]:
    """Return what is wrong with a start pose (n,), ROS units, for these joints; an empty pose means no start pose."""
    if not pose:
        return []
    if len(pose) != len(joints):
        names = [joint.name for joint in joints]
        return [f"start_pose: expected {len(joints)} numbers for {names}, got {len(pose)}"]
    return [
        f"start_pose: {position} of joint {joint.name} lies outside its limits {joint.minimum} to {joint.maximum}"
        for joint, position in zip(joints, pose, strict=True)
        if not isfinite(position)
        or not (joint.minimum is None or position >= joint.minimum)
        or not (joint.maximum is None or position <= joint.maximum)
    ]


def cameras_of(values: Mapping[str, Value], problems: list[str]) -> tuple[Camera, ...]:
    """The cameras, in the order of the file; one without a topic is noted."""
    names = cast("list[str]", values["cameras"])
    problems += duplicates("cameras", names)
    problems += [
        f"camera.{name}.topic: empty; name the image topic" for name in names if not values[f"camera.{name}.topic"]
    ]
    return tuple(
        Camera(name, cast(str, values[f"camera.{name}.topic"]), cast(str, values[f"camera.{name}.transport"]))
        for name in names
    )


def controllers_of(values: Mapping[str, Value], problems: list[str]) -> tuple[Controller, ...]:
    """The controllers, in the order of the file; one without a topic or joints is noted."""
    names = cast("list[str]", values["controllers"])
    problems += duplicates("controllers", names)
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
                cast(str, values[f"{prefix}.overlap"]),
                _given_or(DEFAULT_DEADBAND, values[f"{prefix}.deadband"]),
                _given_or(None, values[f"{prefix}.max_effort"]),
            )
        )
    return tuple(controllers)


def goal_problems(
    values: Mapping[str, Value], controllers: tuple[Controller, ...], joints: Mapping[str, Joint]
) -> list[str]:
    """Return what a controller with an action server lacks, and settings for one on controllers without a server."""
    problems = []
    for controller in controllers:
        prefix, interface = f"controller.{controller.name}", controller.interface
        if interface.action is None:
            said = [name for name in _OF_GOALS if not is_unset(values[f"{prefix}.{name}"])]
            problems += [
                f"{prefix}.{name}: {interface.name} sends no goals; it is for {' and '.join(ACTIONS)}" for name in said
            ]
            continue
        if len(controller.joints) > 1:
            problems.append(f"{prefix}.joints: {interface.name} moves one joint, got {list(controller.joints)}")
        problems += [
            f"joint.{name}.smooth: {interface.name} is for grippers, which go on squeezing through a hold; write "
            f"joint.{name}.smooth: false"
            for name in controller.joints
            if name in joints and joints[name].smooth
        ]
    return problems


def priority_problems(values: Mapping[str, Value]) -> list[str]:
    """Return why the node's threads cannot have the priority that was asked for."""
    if not values["thread_priority"] or values["isolation"] != THREAD:
        return []
    return [
        "thread_priority: with isolation: thread inference would have that priority, too, and keep other programs off "
        "the processor; set isolation: process, or thread_priority: 0"
    ]


_OF_GOALS = ("deadband", "max_effort")


def _given_or(default: T, value: Value) -> float | T:
    return default if is_unset(value) else cast(float, value)


def coverage_problems(action_joints: list[str], controllers: tuple[Controller, ...]) -> list[str]:
    """Check that exactly one controller moves each joint of the action, and that no controller has other joints."""
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


def duplicates(name: str, values: list[str]) -> list[str]:
    """Return one problem that names the repeated values of the list called `name`; empty if there are none."""
    twice = sorted(value for value, count in Counter(values).items() if count > 1)
    return [f"{name}: {', '.join(twice)} named more than once"] if twice else []
