"""Assigns the robot's joints to the entries of the policy's vectors: by name only, never by position."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass

from act_inference_ros.errors import ConfigurationError
from act_inference_ros.joints import EFFORT, POSITION, VELOCITY, joint_and_field
from act_inference_ros.robot.parameters import UNKNOWN

_SUFFIX = re.compile(r"[._](pos|position|q|qpos)$", re.IGNORECASE)
_FIELD = re.compile(r"(.+)[._/](vel|velocity|qvel|effort|torque)", re.IGNORECASE)
_GRIPPER = re.compile(r"grip|finger|jaw|claw", re.IGNORECASE)


@dataclass(frozen=True)
class NamedJoint:
    """One entry of a vector: `ros` is the joint's name in ROS, or UNKNOWN and a word for it; `why` names the source.

    `policy` is the data set's name. `candidates` are the robot's joints that it may be, the likeliest first.
    `is_position` is False for the velocity or the effort of a joint.
    """

    policy: str
    ros: str
    why: str
    candidates: tuple[str, ...] = ()
    is_position: bool = True

    @property
    def known(self) -> bool:
        """Whether no person must fill it in."""
        return not self.ros.startswith(UNKNOWN)


def is_gripper(name: str) -> bool:
    """Whether the name of a joint says that it is a gripper's."""
    return bool(_GRIPPER.search(name))


def bare(name: str) -> str:
    """Return a data set's name of a joint without a suffix for positions: `elbow_flex` for `elbow_flex.pos`."""
    return _SUFFIX.sub("", name)


def name_joints(policy: Sequence[str], robot: Sequence[str] | None, source: str) -> list[NamedJoint]:
    """Name the entries of a vector, in the policy's order.

    Args:
        policy: the names in the data set.
        robot: the joints in the robot's joint states; None where no robot was looked at.
        source: the source of the robot's joint names, for `why`.

    A velocity or an effort, by its name, stays open, unless it is spelled as in a parameter file. Equal names are the
    same joint. Names that differ only in case and punctuation match, if that gives a pair for all of them. If some
    names of a numbered series have no partner (j0 to j5 and j1 to j6), the whole series has none: it may start at
    another number.
    """
    fields = {name: _named_field(name, robot) for name in policy if _FIELD.fullmatch(name)}
    if fields:
        positions = iter(name_joints([name for name in policy if name not in fields], robot, source))
        return [fields[name] if name in fields else next(positions) for name in policy]
    if robot is None:
        return [NamedJoint(name, bare(name), "the data set's name, compared with no robot") for name in policy]
    same = {name: each for name in policy for each in (bare(name), name) if each in robot}
    same = {name: each for name, each in same.items() if list(same.values()).count(each) == 1}
    if len(same) < len(policy):
        pairs = _alike(policy, robot)
        if pairs:
            return [NamedJoint(name, pairs[name], f"{name} of the data set, in {source}") for name in policy]
    open_rows = {_row(name) for name in policy if name not in same}
    same = {name: each for name, each in same.items() if _row(name) not in open_rows}
    left = [each for each in robot if each not in same.values()]
    return [
        NamedJoint(name, same[name], f"so in {source} and in the data set")
        if name in same
        else NamedJoint(name, UNKNOWN + bare(name), f"no joint of this name in {source}", _candidates(name, left))
        for name in policy
    ]


def _named_field(name: str, robot: Sequence[str] | None) -> NamedJoint:
    """Return the velocity or effort that an entry's name means; candidates come from joints with such a name."""
    joint, field = joint_and_field(name)
    if field != POSITION and (robot is None or joint in robot):
        return NamedJoint(name, name, f"the {field} of {joint}, as the data set calls it", is_position=False)
    found = _FIELD.fullmatch(name)
    stem, word = found.groups() if found else (name, "")
    field = VELOCITY if word.lower() in ("vel", "velocity", "qvel") else EFFORT
    alike = [each for each in robot or (stem,) if _squashed(each) == _squashed(stem)]
    why = f"by its name a {field}, which is written joint/{field}"
    return NamedJoint(name, UNKNOWN + name, why, tuple(f"{each}/{field}" for each in alike), is_position=False)


def unnamed_joints(count: int, robot: Sequence[str] | None, prefix: str) -> list[NamedJoint]:
    """Return the entries of a vector with unknown names."""
    why = "no data set tells the order of the joints"
    return [NamedJoint(f"{prefix}{i}", f"{UNKNOWN}{prefix}{i}", why, tuple(robot or ())) for i in range(count)]


def given_joints(
    names: Sequence[str], policy: Sequence[str], robot: Sequence[str] | None, source: str
) -> list[NamedJoint]:
    """Return the entries of a vector, called `policy` in the data set, with the user's names.

    Raises ConfigurationError for a joint that the robot does not have.
    """
    unknown = [name for name in names if robot is not None and name not in robot]
    if unknown:
        raise ConfigurationError(f"--joints: {', '.join(unknown)} not in {source}, which has {', '.join(robot or ())}")
    return [
        NamedJoint(entry, name, "as --joints says" + (f"; {entry} of the data set" if entry != name else ""))
        for name, entry in zip(names, policy, strict=True)
    ]


def _squashed(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _row(name: str) -> str:
    return re.sub(r"\d+", "#", bare(name))


def _alike(policy: Sequence[str], robot: Sequence[str]) -> dict[str, str]:
    """Each of the policy's names -> the robot's that differs only in case and punctuation; empty if not for all."""
    pairs: dict[str, str] = {}
    for name in policy:
        alike = [each for each in robot if _squashed(each) == _squashed(bare(name))]
        if len(alike) != 1 or alike[0] in pairs.values():
            return {}
        pairs[name] = alike[0]
    return pairs


def _candidates(name: str, left: Sequence[str]) -> tuple[str, ...]:
    def likeness(each: str) -> float:
        alike = difflib.SequenceMatcher(None, _squashed(bare(name)), _squashed(each)).ratio()
        return alike + (is_gripper(name) == is_gripper(each))

    return tuple(sorted(left, key=likeness, reverse=True))
