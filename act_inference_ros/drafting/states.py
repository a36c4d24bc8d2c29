"""Chooses the topics of the joint states: one topic, or several that together have the policy's joints."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from act_inference_ros.drafting.facts import RobotFacts, StateTopic, Track
from act_inference_ros.drafting.names import count_known

MOST_TOPICS = 3
"""Most topics that are combined."""
MOST_SEEN = 12
"""Most topics with joint states that are considered."""
MOST_NAMES = 300
"""Most joints by which the topics are chosen; a humanoid with two hands has about a hundred."""


@dataclass(frozen=True)
class StateDraft:
    """The topics, and `merged`: their joints as if on one topic, whose rate is that of the slowest.

    `track` is the motion of all these joints, None if unknown.
    """

    topics: tuple[StateTopic, ...]
    merged: StateTopic
    track: Track | None

    @property
    def names(self) -> tuple[str, ...]:
        """The topics' names."""
        return tuple(each.topic for each in self.topics)


def find_states(names: Sequence[str], robot: RobotFacts | None) -> StateDraft | None:
    """Choose the smallest set of topics that has most of the joints `names`; None if that is not clear.

    Of equal ones it takes those called joint_states. Topics with a joint in common are not combined, because it is
    unknown which of them is right.
    """
    if robot is None or not robot.states:
        return None
    names = names[:MOST_NAMES]
    chosen: Sequence[StateTopic] | None = None
    most = -1
    for size in range(1, MOST_TOPICS + 1):
        groups = [group for group in itertools.combinations(robot.states[:MOST_SEEN], size) if _is_apart(group)]
        ranked = sorted(((_rank(names, group), group) for group in groups), key=lambda pair: pair[0], reverse=True)
        if not ranked or ranked[0][0][0] <= most:
            continue
        most = ranked[0][0][0]
        chosen = ranked[0][1] if len(ranked) == 1 or ranked[0][0] > ranked[1][0] else None
        if most == len(names):
            break
    return None if chosen is None else StateDraft(tuple(chosen), _merged(chosen), _track(chosen, robot))


def _is_apart(topics: Sequence[StateTopic]) -> bool:
    joints = [joint for topic in topics for joint in topic.joints]
    return len(set(joints)) == len(joints)


def _rank(names: Sequence[str], topics: Sequence[StateTopic]) -> tuple[int, int, int]:
    joints = [joint for topic in topics for joint in topic.joints]
    known = count_known(names, joints) if names else 0
    usual = sum(topic.topic.endswith("joint_states") for topic in topics)
    return known, usual, -sum(topic.topic.count("/") for topic in topics)


def _merged(topics: Sequence[StateTopic]) -> StateTopic:
    if len(topics) == 1:
        return topics[0]
    rates = [each.rate for each in topics if each.rate is not None]
    return StateTopic(
        ", ".join(each.topic for each in topics),
        tuple(joint for each in topics for joint in each.joints),
        np.concatenate([each.lowest for each in topics]),
        np.concatenate([each.highest for each in topics]),
        min(rates, default=None),
    )


def _track(topics: Sequence[StateTopic], robot: RobotFacts) -> Track | None:
    """Return the motion of all topics' joints; nan at the times of other topics' messages."""
    tracks = [robot.tracks.get(each.topic) for each in topics]
    known = [track for track in tracks if track is not None]
    if len(known) < len(topics):
        return None
    if len(known) == 1:
        return known[0]
    times = np.concatenate([track.times for track in known])
    positions = np.full((len(times), sum(track.positions.shape[1] for track in known)), np.nan)
    row = column = 0
    for track in known:
        rows, columns = track.positions.shape
        positions[row : row + rows, column : column + columns] = track.positions
        row, column = row + rows, column + columns
    order = np.argsort(times, kind="stable")
    return Track(times[order], positions[order])
