"""Each joint of the policy: its unit, its limits in ROS units, and where the episodes began."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from act_inference_ros.drafting.facts import DataSetFacts, PolicyFacts, Range, StateTopic, Vector
from act_inference_ros.drafting.names import NamedJoint, given_joints, is_gripper, name_joints, unnamed_joints
from act_inference_ros.drafting.units import Interval, JointUnit, looks_alike, unit_of
from act_inference_ros.errors import ConfigurationError
from act_inference_ros.joints import DEFAULT_MAX_VELOCITY, UNITS
from act_inference_ros.policy.config import ACTION_KEY
from act_inference_ros.robot.robot_description import DescribedJoint

WIDENED = 0.1
"""Margin of a joint's limits on either side, as a share of its motion in the data set."""
WIDENED_LEAST, WIDENED_LEAST_GRIPPER = 0.05, 0.005
"""Smallest margin, ROS units, because the policy may have to go beyond the demonstrations."""


@dataclass(frozen=True)
class Limits:
    """`lowest` and `highest`, ROS units, None if unknown; infinite for a joint that turns without end."""

    lowest: float | None
    highest: float | None
    why: str


@dataclass(frozen=True)
class JointDraft:
    """One joint with all its parameters; `start` is its position at the start of the episodes, policy units."""

    name: NamedJoint
    unit: JointUnit
    gripper: bool
    limits: Limits
    max_velocity: float
    velocity_why: str
    start: float | None = None


@dataclass(frozen=True)
class JointsDraft:
    """The joints of state and action, in the policy's order; `joints` has each once, by its name in ROS."""

    state: tuple[NamedJoint, ...]
    action: tuple[NamedJoint, ...]
    joints: Mapping[str, JointDraft]
    starts: Vector | None = None
    """The first frames of episodes, (episodes, n), policy units, in the order of `state`."""
    without_starts: str = ""


def state_key(policy: PolicyFacts, dataset: DataSetFacts | None) -> str:
    """Return the data set's key of the policy's state; training needs one name for it, so people rename it.

    It is the policy's key, if the data set has that, too. Otherwise it is the only vector with the same statistics, or
    the first of several whose joints have the same names in the same order.
    """
    key = policy.spec.state_key
    if dataset is None or key in dataset.ranges or key in dataset.joints:
        return key
    alike = [each for each in dataset.ranges if _same_range(dataset.ranges[each], policy.ranges.get(key))]
    return alike[0] if len({dataset.joints.get(each, (each,)) for each in alike}) == 1 else key


def draft_joints(
    policy: PolicyFacts,
    dataset: DataSetFacts | None,
    topic: StateTopic | None,
    described: Mapping[str, DescribedJoint],
    source: str,
    given: Sequence[str] = (),
) -> JointsDraft:
    """Draft all joints.

    Args:
        policy: the checkpoint.
        dataset: its data set, None if there is none.
        topic: the robot's joint states, None if there are none.
        described: what a URDF says of the joints.
        source: where the joint states are from.
        given: what the joints of state and action are called in ROS, in the policy's order, if the user says so.

    Raises ConfigurationError if `given` are not as many as the policy commands, or are not in the joint states.
    """
    spec = policy.spec
    key = state_key(policy, dataset)
    names = dataset.joints if dataset is not None else {}
    there = topic.joints if topic is not None else None
    if given and len(given) != spec.action_dim:
        raise ConfigurationError(f"--joints: expected {spec.action_dim} names, as many as the action has, got {given}")

    def named(key: str, other: str, dim: int | None, prefix: str) -> list[NamedJoint]:
        if dim is None:
            return []
        in_dataset = names.get(key) or names.get(other) or ()
        if len(given) == dim:
            return given_joints(given, in_dataset if len(in_dataset) == dim else given, there, source)
        if len(in_dataset) == dim:
            return name_joints(in_dataset, there, source)
        return unnamed_joints(dim, there, prefix)

    state = named(key, ACTION_KEY, spec.state_dim, "joint_")
    # An action is made of positions, whatever the data set calls them.
    action = [replace(each, is_position=True) for each in named(ACTION_KEY, key, spec.action_dim, "joint_")]
    measured = _measured(topic)
    in_state = _intervals(state, _range(key, spec.state_key, policy, dataset))
    in_action = _intervals(action, _range(ACTION_KEY, ACTION_KEY, policy, dataset))
    starts = dataset.starts.get(key) if dataset is not None else None
    began = {} if starts is None else dict(zip((each.ros for each in state), np.median(starts, axis=0), strict=True))
    joints: dict[str, JointDraft] = {}
    for each in dict.fromkeys(entry for entry in (*state, *action) if entry.is_position):
        gripper = is_gripper(each.policy) or is_gripper(each.ros)
        data = in_state.get(each.ros, in_action.get(each.ros))
        known = described.get(each.ros)
        unit = unit_of(data[0] if data else None, measured.get(each.ros), gripper, known, source)
        both = [found for found in (in_action.get(each.ros), in_state.get(each.ros)) if found]
        velocity, why = _velocity(known)
        joints[each.ros] = JointDraft(
            each, unit, gripper, _limits(both, unit, gripper, known, measured.get(each.ros), source), velocity, why,
            began.get(each.ros),
        )  # fmt: skip
    state, action = (
        [_likeliest_first(each, in_state.get(each.ros), measured) for each in vector] for vector in (state, action)
    )
    without = "there is no data set to take it from" if dataset is None else dataset.without_starts
    return JointsDraft(tuple(state), tuple(action), joints, starts, without or "the state is not in the data set")


def _measured(topic: StateTopic | None) -> dict[str, Interval]:
    if topic is None:
        return {}
    ends = zip(topic.joints, topic.lowest, topic.highest, strict=True)
    return {name: (float(low), float(high)) for name, low, high in ends}


def _likeliest_first(
    joint: NamedJoint, data: tuple[Interval, str] | None, measured: Mapping[str, Interval]
) -> NamedJoint:
    """Return the same joint, with those candidates first whose motion matches the data set's joint."""
    if joint.known or data is None:
        return joint
    alike = [
        each
        for each in joint.candidates
        if each in measured and looks_alike(data[0], measured[each], is_gripper(joint.policy))
    ]
    likely = set(alike)
    others = [each for each in joint.candidates if each not in likely]
    why = f"{joint.why}; {', '.join(alike)} went where it went in the data set" if len(alike) == 1 else joint.why
    return replace(joint, candidates=(*alike, *others), why=why)


def _range(key: str, in_policy: str, policy: PolicyFacts, dataset: DataSetFacts | None) -> Range | None:
    found = dataset.ranges.get(key) if dataset is not None else None
    return found or policy.ranges.get(in_policy)


def _same_range(one: Range, other: Range | None) -> bool:
    return (
        other is not None
        and one.lowest.shape == other.lowest.shape
        and np.allclose([one.lowest, one.highest], [other.lowest, other.highest], rtol=1e-4, atol=1e-6)
    )


def _intervals(joints: list[NamedJoint], found: Range | None) -> dict[str, tuple[Interval, str]]:
    """Return joint -> its range, in the policy's units, and the source."""
    if found is None:
        return {}
    return {
        joint.ros: ((float(low), float(high)), found.source)
        for joint, low, high in zip(joints, found.lowest, found.highest, strict=True)
    }


def _limits(
    data: list[tuple[Interval, str]],
    unit: JointUnit,
    gripper: bool,
    described: DescribedJoint | None,
    measured: Interval | None,
    source: str,
) -> Limits:
    if described is not None and described.continuous:
        return Limits(-np.inf, np.inf, "the robot description: it turns without end")
    seen = None
    if data:
        lowest, highest = min(low for (low, _), _ in data), max(high for (_, high), _ in data)
        seen = (lowest / unit.scale, highest / unit.scale)
    if described is not None and described.minimum is not None and described.maximum is not None:
        why = "the robot description"
        if seen and unit.known and (seen[0] < described.minimum or seen[1] > described.maximum):
            why += f"; the data set went from {seen[0]:.4g} to {seen[1]:.4g}, beyond it"
        return Limits(described.minimum, described.maximum, why)
    interval = seen or measured
    if interval is None:
        return Limits(None, None, "neither a robot description nor statistics nor joint states tell")
    widened = max(WIDENED * (interval[1] - interval[0]), WIDENED_LEAST_GRIPPER if gripper else WIDENED_LEAST)
    where = " and ".join(dict.fromkeys(text for _, text in data)) if seen else f"the joint states in {source}"
    why = f"{interval[0]:.4g} to {interval[1]:.4g} in {where}, widened by {widened:.3g}"
    if seen and not unit.known:
        others = [
            f"for {word} write {interval[0] * unit.scale / UNITS[word] - widened:.4g} and "
            f"{interval[1] * unit.scale / UNITS[word] + widened:.4g}"
            for word in unit.others
            if UNITS[word] != unit.scale
        ]
        why += f". They hold if its unit is {unit.likely}; {', '.join(others)}"
    limits = interval[0] - widened, interval[1] + widened
    if measured is not None and (measured[0] < limits[0] or measured[1] > limits[1]):
        why += f". In {source} it was at {measured[0]:.4g} to {measured[1]:.4g}, outside of them"
    return Limits(*limits, why)


def _velocity(described: DescribedJoint | None) -> tuple[float, str]:
    if described is not None and described.max_velocity is not None and described.max_velocity < DEFAULT_MAX_VELOCITY:
        return described.max_velocity, "the robot description"
    return DEFAULT_MAX_VELOCITY, "the default; begin with less"
