"""Finds the unit of a joint in the policy, by comparing the robot's numbers with the data set's."""

from __future__ import annotations

from dataclasses import dataclass

from act_inference_ros.joints import UNITS
from act_inference_ros.robot.parameters import UNKNOWN
from act_inference_ros.robot.robot_description import DescribedJoint

MOVED, MOVED_GRIPPER = 0.1, 0.004
"""ROS units; a joint that moved less than this counts as still."""
NEAR = 0.05
"""Largest distance between the robot's and the data set's range ends, as a share of the joint's motion there.

It is small because numbers need not have a common unit: LeRobot has percentages of a joint's range,
which look like degrees of another motion.
"""
STILL_SHARE, STILL_AWAY = 0.02, 0.01
"""Two joints stand still in the same place if they agree within 2 % and are far enough from 0, ROS units."""
NO_ANGLE = 7.0
"""More than one turn, 6.28: such large numbers are hardly radians."""
Interval = tuple[float, float]


@dataclass(frozen=True)
class JointUnit:
    """`word` is for `joint.<joint>.unit`: one of UNITS, empty for ROS units as they are, or UNKNOWN.

    `scale` is its meaning (`policy = scale * ros`); for an unknown unit it is the likeliest, which `likely` names.
    `others` are further possible units. `why` says how the unit is known, or why not.
    """

    word: str
    scale: float
    why: str
    likely: str = ""
    others: tuple[str, ...] = ()

    @property
    def known(self) -> bool:
        """Whether no person must fill it in."""
        return self.word != UNKNOWN


def unit_of(
    data: Interval | None, robot: Interval | None, gripper: bool, described: DescribedJoint | None, source: str
) -> JointUnit:
    """Find the unit of a joint.

    Args:
        data: lowest and highest in the data set, in the policy's unknown unit.
        robot: lowest and highest of the joint states, ROS units.
        gripper: whether its name says that it is a gripper.
        described: its description in a URDF.
        source: the source of the joint states, for `why`.
    """
    words = _possible(gripper, described)
    likely = words[0]
    if data is not None and UNITS[likely] == 1.0 and max(map(abs, data)) > NO_ANGLE:
        likely = next((word for word in words if UNITS[word] != 1.0), likely)
    others = tuple(word for word in words if word != likely)
    if data is None:
        return JointUnit(UNKNOWN, UNITS[likely], "no statistics of the data set to tell it by", likely, others)
    numbers = f"the data set has {_text(data)}"
    if robot is None:
        return JointUnit(UNKNOWN, UNITS[likely], f"{numbers}; no joint states to compare with", likely, others)
    numbers += f", {source} {_text(robot)}"
    fitting = [word for word in words if _fits(data, robot, UNITS[word], MOVED_GRIPPER if gripper else MOVED)]
    if len({UNITS[word] for word in fitting}) != 1:
        return JointUnit(UNKNOWN, UNITS[likely], f"{numbers}: they do not tell", likely, others)
    scale = UNITS[fitting[0]]
    sure = described is not None or (not gripper and len(fitting) == 1)
    word = fitting[0] if sure else next((word for word in fitting if scale != 1.0), "")
    return JointUnit(word, scale, numbers)


def looks_alike(data: Interval, robot: Interval, gripper: bool) -> bool:
    """Whether the motion of a robot's joint matches that of a data set's joint, in some unit."""
    words = _possible(gripper, None)
    return any(_fits(data, robot, UNITS[word], MOVED_GRIPPER if gripper else MOVED) for word in words)


def _possible(gripper: bool, described: DescribedJoint | None) -> tuple[str, ...]:
    if described is not None:
        return ("m", "cm", "mm") if described.prismatic else ("rad", "deg")
    return ("m", "rad", "deg", "cm", "mm") if gripper else ("rad", "deg")


def _fits(data: Interval, robot: Interval, scale: float, moved: float) -> bool:
    lowest, highest = scale * robot[0], scale * robot[1]
    spread = data[1] - data[0]
    if robot[1] - robot[0] >= moved and spread > 0.0:
        return max(abs(lowest - data[0]), abs(highest - data[1])) <= NEAR * spread
    here, there = (lowest + highest) / 2.0, (data[0] + data[1]) / 2.0
    still = max(highest - lowest, spread) <= STILL_SHARE * abs(there)
    return still and abs(here / scale) >= STILL_AWAY and abs(here - there) <= STILL_SHARE * abs(there)


def _text(interval: Interval) -> str:
    return f"{interval[0]:.4g} to {interval[1]:.4g}"
