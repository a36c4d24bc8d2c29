"""Chooses, from the controllers that were seen, those that move each joint of the action exactly once."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from act_inference_ros.drafting.facts import CommandTopic, Track, Vector
from act_inference_ros.interfaces import COMMAND_INTERFACES
from act_inference_ros.robot.parameters import UNKNOWN

CLEARLY_NEARER = 0.3
"""A commanded number belongs to a joint if it is nearer than this share of its distance to any other joint."""
MOST_UNNAMED = 12
"""Most topics without joint names whose numbers are compared with the joints' motion."""
MOST_COMPARED = 2500
"""Most pairs of a topic's numbers and joints that are compared: fifty numbers with fifty joints."""
_RANKS = {name: rank for rank, name in enumerate(COMMAND_INTERFACES)}


@dataclass(frozen=True)
class ControllerDraft:
    """A controller. Unknown values of `topic` and `interface` are UNKNOWN; unknown joints begin with it.

    `others` are further possible topics.
    """

    name: str
    topic: str
    interface: str
    joints: tuple[str, ...]
    why: str
    joints_why: str = ""
    others: tuple[str, ...] = ()


def find_controllers(
    action: Sequence[str], topics: Sequence[CommandTopic], joints: Sequence[str], track: Track | None
) -> list[ControllerDraft]:
    """Choose controllers that move each of the joints `action` once, and say which joints are left.

    Args:
        action: the joints of the action, by their names in ROS; such as begin with UNKNOWN match none.
        topics: the command topics that were seen.
        joints: the names of the joints in `track`.
        track: the joints' motion, to assign commanded numbers without names to joints.
    """
    rest = _Rest(
        [joint for joint in action if not joint.startswith(UNKNOWN)],
        [joint for joint in joints if joint not in action],
        sum(joint.startswith(UNKNOWN) for joint in action),
    )
    drafts: list[ControllerDraft] = []
    chosen: list[CommandTopic] = []
    named = [topic for topic in topics if topic.joints]
    for topic in sorted(named, key=lambda each: (_RANKS[each.interface], -len(each.joints), each.topic)):
        if rest.takes(topic.joints):
            drafts.append(_draft(topic, topic.joints, topic.source))
            chosen.append(topic)
    unnamed = [topic for topic in topics if not topic.joints]
    for topic in unnamed[:MOST_UNNAMED]:
        found = _by_motion(topic, rest.movable(joints), joints, track)
        if found and rest.takes(found):
            drafts.append(_draft(topic, found, "the commanded numbers lie where these joints went"))
            chosen.append(topic)
    open_topics = [topic for topic in unnamed if topic not in chosen]
    if len(open_topics) == 1 and rest.named and not rest.unknown and open_topics[0].width in (None, len(rest.named)):
        drafts.append(_last(open_topics[0], rest.named))
    elif rest.named or rest.unknown:
        why = "no controller that was seen moves these joints of the action"
        left = (*rest.named, *(UNKNOWN for _ in range(min(1, rest.unknown))))
        others = tuple(dict.fromkeys(topic.topic for topic in (*open_topics, *named) if topic not in chosen))
        drafts.append(ControllerDraft("rest" if drafts else "arm", UNKNOWN, UNKNOWN, left, why, others=others))
    return _with_own_names(drafts)


@dataclass
class _Rest:
    """The joints of the action that no controller moves yet: by name, and how many whose names are not known.

    `spare` are the robot's joints that these may be.
    """

    named: list[str]
    spare: list[str]
    unknown: int

    def takes(self, joints: Sequence[str]) -> bool:
        """Assign all of these joints to a controller, if none of them is assigned yet; return whether it did."""
        others = [joint for joint in joints if joint not in self.named]
        if len(others) > self.unknown or not set(others) <= set(self.spare):
            return False
        self.named = [joint for joint in self.named if joint not in joints]
        self.spare = [joint for joint in self.spare if joint not in joints]
        self.unknown -= len(others)
        return True

    def movable(self, joints: Sequence[str]) -> list[str]:
        """Return the joints among `joints` that may still need a controller."""
        return [joint for joint in joints if joint in self.named or (self.unknown and joint in self.spare)]


def _last(topic: CommandTopic, left: Sequence[str]) -> ControllerDraft:
    """Draft the only remaining topic for the remaining joints; their order matters if messages have no names."""
    by_number = topic.width is not None or COMMAND_INTERFACES[topic.interface].message_type.endswith("MultiArray")
    if by_number and len(left) > 1:
        joints = tuple(f"{UNKNOWN}{i}" for i in range(len(left)))
        why = f"its numbers have no names; in some order they are {', '.join(left)}"
        return _draft(topic, joints, why)
    return _draft(topic, tuple(left), "the joints that no other controller moves")


def _draft(topic: CommandTopic, joints: Sequence[str], why: str) -> ControllerDraft:
    row = COMMAND_INTERFACES[topic.interface]
    kind = row.action.type if row.action is not None else row.message_type
    return ControllerDraft(_name(topic.topic), topic.topic, topic.interface, tuple(joints), kind, why)


def _by_motion(topic: CommandTopic, left: Sequence[str], joints: Sequence[str], track: Track | None) -> tuple[str, ...]:
    """Return the joints whose motion matches a topic's numbers; empty if one of them is not clear."""
    if topic.width == 1 and len(left) == 1:
        return tuple(left)
    if track is None or not left or not len(topic.times) or len(track.times) < 2 or len(left) < (topic.width or 0):
        return ()
    if topic.values.shape[1] * len(left) > MOST_COMPARED:
        return ()
    distances = np.array([[_distance(topic, column, track, joints.index(joint)) for joint in left]
                          for column in range(topic.values.shape[1])])  # fmt: skip
    nearest = distances.argmin(axis=1)
    for row, best in zip(distances, nearest, strict=True):
        others = np.delete(row, best)
        if not np.isfinite(row[best]) or (len(others) and not row[best] < CLEARLY_NEARER * others.min()):
            return ()
    return tuple(left[i] for i in nearest) if len(set(nearest)) == len(nearest) else ()


def _distance(topic: CommandTopic, column: int, track: Track, joint: int) -> float:
    """Return the mean distance between commanded numbers and a joint's positions, ROS units; nan if unknown."""
    positions: Vector = track.positions[:, joint]
    seen = np.isfinite(positions)
    if seen.sum() < 2:
        return float("nan")
    there = np.interp(topic.times, track.times[seen], positions[seen])
    return float(np.abs(topic.values[:, column] - there).mean())


def _name(topic: str) -> str:
    """Return a word for a controller: `/left_arm_controller/joint_trajectory` -> left_arm."""
    parts = [part for part in topic.split("/") if part]
    parts = parts[:-1] or parts
    return re.sub(r"[^A-Za-z0-9_]", "_", parts[-1] if parts else "").removesuffix("_controller") or "controller"


def _with_own_names(drafts: list[ControllerDraft]) -> list[ControllerDraft]:
    names: dict[str, int] = {}
    own = []
    for draft in drafts:
        names[draft.name] = names.get(draft.name, 0) + 1
        count = names[draft.name]
        own.append(draft if count == 1 else replace(draft, name=f"{draft.name}_{count}"))
    return own
