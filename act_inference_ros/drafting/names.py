"""Assigns the robot's joints to the entries of the policy's vectors: by name only, never by position."""

from __future__ import annotations

import difflib
import functools
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from act_inference_ros.errors import ConfigurationError
from act_inference_ros.joints import EFFORT, POSITION, VELOCITY, joint_and_field
from act_inference_ros.robot.parameters import UNKNOWN

MOST_COMPARED = 10_000
"""Most pairs of names whose likeness is looked at: as many as a hundred joints have with each other."""
MOST_CANDIDATES = 50
"""Most candidates of a joint where there are more pairs."""
_SUFFIX = re.compile(r"[._](pos|position|q|qpos)$", re.IGNORECASE)
_FIELD = re.compile(r"(.+)[._/](vel|velocity|qvel|effort|torque)", re.IGNORECASE)
_GRIPPER = re.compile(r"grip|finger|jaw|claw", re.IGNORECASE)

Squashed = Mapping[str, Sequence[str]]
"""The robot's joints by their names without case and punctuation."""


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


@functools.lru_cache(maxsize=2**14)
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
    squashed = _by_squashed(robot or ())
    fields = {name: _named_field(name, robot, squashed) for name in policy if _FIELD.fullmatch(name)}
    if fields:
        positions = iter(name_joints([name for name in policy if name not in fields], robot, source))
        return [fields[name] if name in fields else next(positions) for name in policy]
    if robot is None:
        return [NamedJoint(name, bare(name), "the data set's name, compared with no robot") for name in policy]
    same, others = _matched(policy, robot, squashed)
    if others:
        return [NamedJoint(name, others[name], f"{name} of the data set, in {source}") for name in policy]
    taken = set(same.values())
    left = [each for each in robot if each not in taken]
    few = _few(len(policy) - len(same), left)
    return [
        NamedJoint(name, same[name], f"so in {source} and in the data set")
        if name in same
        else NamedJoint(
            name, UNKNOWN + bare(name), f"no joint of this name in {source}", few or _candidates(name, left)
        )
        for name in policy
    ]


def _matched(policy: Sequence[str], robot: Sequence[str], squashed: Squashed) -> tuple[dict[str, str], dict[str, str]]:
    """Return the policy's names -> the robot's joints that are called so; or those called alike, for all of them."""
    there = set(robot)
    same = {name: each for name in policy for each in (bare(name), name) if each in there}
    times = Counter(same.values())
    same = {name: each for name, each in same.items() if times[each] == 1}
    if len(same) < len(policy):
        pairs = _alike(policy, squashed)
        if pairs:
            return {}, pairs
    open_rows = {_row(name) for name in policy if name not in same}
    same = {name: each for name, each in same.items() if _row(name) not in open_rows}
    return same, {}


def _named_field(name: str, robot: Sequence[str] | None, squashed: Squashed) -> NamedJoint:
    """Return the velocity or effort that an entry's name means; candidates come from joints with such a name."""
    joint, field = joint_and_field(name)
    if field != POSITION and (robot is None or joint in squashed.get(_squashed(joint), ())):
        return NamedJoint(name, name, f"the {field} of {joint}, as the data set calls it", is_position=False)
    found = _FIELD.fullmatch(name)
    stem, word = found.groups() if found else (name, "")
    field = VELOCITY if word.lower() in ("vel", "velocity", "qvel") else EFFORT
    alike = squashed.get(_squashed(stem), ())[:MOST_CANDIDATES] if robot else (stem,)
    why = f"by its name a {field}, which is written joint/{field}"
    return NamedJoint(name, UNKNOWN + name, why, tuple(f"{each}/{field}" for each in alike), is_position=False)


def count_known(policy: Sequence[str], robot: Sequence[str]) -> int:
    """Return how many entries of a vector `name_joints` would name."""
    squashed = _by_squashed(robot)
    fields = [name for name in policy if _FIELD.fullmatch(name)]
    known = sum(_named_field(name, robot, squashed).known for name in fields)
    positions = [name for name in policy if not _FIELD.fullmatch(name)]
    same, others = _matched(positions, robot, squashed)
    return known + len(same) + len(others)


def unnamed_joints(count: int, robot: Sequence[str] | None, prefix: str) -> list[NamedJoint]:
    """Return the entries of a vector with unknown names."""
    why = "no data set tells the order of the joints"
    robot = tuple(robot or ())
    candidates = _few(count, robot) or robot
    return [NamedJoint(f"{prefix}{i}", f"{UNKNOWN}{prefix}{i}", why, candidates) for i in range(count)]


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


@functools.lru_cache(maxsize=2**14)
def _squashed(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


@functools.lru_cache(maxsize=2**14)
def _row(name: str) -> str:
    return re.sub(r"\d+", "#", bare(name))


def _alike(policy: Sequence[str], squashed: Squashed) -> dict[str, str]:
    """Each of the policy's names -> the robot's that differs only in case and punctuation; empty if not for all."""
    pairs: dict[str, str] = {}
    taken: set[str] = set()
    for name in policy:
        found = squashed.get(_squashed(bare(name)), ())
        if len(found) != 1 or found[0] in taken:
            return {}
        pairs[name] = found[0]
        taken.add(found[0])
    return pairs


def _by_squashed(robot: Sequence[str]) -> Squashed:
    """Return the robot's joints by their names without case and punctuation."""
    alike: dict[str, list[str]] = {}
    for each in robot:
        alike.setdefault(_squashed(each), []).append(each)
    return alike


def _few(count: int, left: Sequence[str]) -> tuple[str, ...]:
    """Return some of the joints that are left, if they are too many to compare `count` names with; empty if not."""
    return tuple(left[:MOST_CANDIDATES]) if count * len(left) > MOST_COMPARED else ()


def _candidates(name: str, left: Sequence[str]) -> tuple[str, ...]:
    def likeness(each: str) -> float:
        alike = difflib.SequenceMatcher(None, _squashed(bare(name)), _squashed(each)).ratio()
        return alike + (is_gripper(name) == is_gripper(each))

    return tuple(sorted(left, key=likeness, reverse=True))
