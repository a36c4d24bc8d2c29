"""The sources of a draft as plain data: facts about the policy, its data set, and the robot."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from act_inference_ros.spec import PolicySpec

Vector = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Range:
    """Lowest and highest value of each entry of a vector, (n,) each, in the data set's units, and their source."""

    lowest: Vector
    highest: Vector
    source: str


@dataclass(frozen=True)
class PolicyFacts:
    """A checkpoint: what the policy reads and writes, and key -> range of the state and the action."""

    name: str
    spec: PolicySpec
    ranges: Mapping[str, Range]


@dataclass(frozen=True)
class DataSetFacts:
    """A LeRobot data set. `joints`: key of a vector -> the names of its entries; `ranges` as in PolicyFacts.

    `starts`: key of the state -> the first frames of episodes, (episodes, n); `without_starts` says why there are none.
    """

    name: str
    fps: float | None
    joints: Mapping[str, tuple[str, ...]]
    ranges: Mapping[str, Range]
    starts: Mapping[str, Vector] = field(default_factory=dict)
    without_starts: str = ""


@dataclass(frozen=True)
class ImageTopic:
    """A topic with colour images. `transport` is a word of `interfaces.TRANSPORTS`; sizes in pixels; rate in 1/s."""

    topic: str
    transport: str
    height: int
    width: int
    rate: float | None


@dataclass(frozen=True)
class StateTopic:
    """A sensor_msgs/JointState topic: its joints, and each one's lowest and highest position, ROS units, (n,) each."""

    topic: str
    joints: tuple[str, ...]
    lowest: Vector
    highest: Vector
    rate: float | None


@dataclass(frozen=True)
class CommandTopic:
    """A topic or an action on which a controller is commanded. `interface` is a word of `COMMAND_INTERFACES`.

    `joints` are in the controller's order, empty if unknown; `source` names their source. `width` is how many numbers a
    message has, None if none was seen. `values` (m, width) at `times` (m,), s, are commands without names.
    """

    topic: str
    interface: str
    joints: tuple[str, ...] = ()
    source: str = ""
    width: int | None = None
    times: Vector = field(default_factory=lambda: np.empty(0))
    values: Vector = field(default_factory=lambda: np.empty((0, 0)))


@dataclass(frozen=True)
class Track:
    """The positions (m, n) of a state topic at `times` (m,), s."""

    times: Vector
    positions: Vector


@dataclass(frozen=True)
class RobotFacts:
    """Facts from a bag or the live graph; `name` says which. `description` is a URDF, or empty.

    `tracks`: state topic -> its joints' motion. `problems` says what could not be read.
    """

    name: str
    images: tuple[ImageTopic, ...] = ()
    states: tuple[StateTopic, ...] = ()
    commands: tuple[CommandTopic, ...] = ()
    tracks: Mapping[str, Track] = field(default_factory=dict)
    description: str = ""
    description_source: str = ""
    problems: tuple[str, ...] = ()
