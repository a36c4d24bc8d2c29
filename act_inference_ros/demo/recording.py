"""What passed on the demo's topics, read back from its bag, episode by episode."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from act_inference_ros.errors import ConfigurationError
from act_inference_ros.evaluation.bags.bag import Bag
from act_inference_ros.interfaces import COMMAND_INTERFACES, NANOSECONDS
from act_inference_ros.simulation.command_inputs import ALL_JOINTS, DEMO_CONTROLLERS, demo_topic
from act_inference_ros.simulation.episode_rules import Outcome

BAG = "recording"
"""The bag's directory, in that of the demo."""

STATES = "/joint_states"
IMAGES = "/front/image_raw"
EPISODES = "/sim_robot/episode"
SETPOINTS = "/sim_robot/setpoint"
CUBE = "/sim_robot/cube"
STATUS = "/policy_node/status"
CHUNKS = "/policy_node/action_chunk"
DIAGNOSTICS = "/diagnostics"

_TOPICS = {
    STATES: "sensor_msgs/msg/JointState",
    IMAGES: "sensor_msgs/msg/Image",
    EPISODES: "std_msgs/msg/String",
    SETPOINTS: "sensor_msgs/msg/JointState",
    CUBE: "geometry_msgs/msg/PoseStamped",
    STATUS: "diagnostic_msgs/msg/DiagnosticStatus",
    CHUNKS: "trajectory_msgs/msg/JointTrajectory",
    DIAGNOSTICS: "diagnostic_msgs/msg/DiagnosticArray",
}
_OF_EPISODES = (STATES, IMAGES, SETPOINTS, CUBE)

_LATE_S = 2.0
"""A message that comes so much later than an episode's end is of the next one: whoever recorded may have been busy."""

Floats = npt.NDArray[np.float64]
Pixels = npt.NDArray[np.uint8]


def topics(interface: str) -> dict[str, str]:
    """What of a demo is recorded, topic -> type, where the arm is commanded through `interface`."""
    commands = {
        f"/{demo_topic(interface, controller)}": COMMAND_INTERFACES[interface].message_type
        for controller in DEMO_CONTROLLERS
    }
    return _TOPICS | commands


@dataclass
class Episode:
    """One episode; keys of the dictionaries are stamps in ns on the robot's clock, joints are in the order of JOINTS.

    `told` (6,) is where the controllers wanted the joints in each cycle, `measured` (6,) where these were then; `cube`
    (7,) is its pose; `images` is what the policy's camera saw, (height, width, 3) RGB.
    """

    outcome: Outcome
    told: dict[int, Floats] = field(default_factory=dict)
    measured: dict[int, Floats] = field(default_factory=dict)
    cube: dict[int, Floats] = field(default_factory=dict)
    images: dict[int, Pixels] = field(default_factory=dict)

    @property
    def begin_ns(self) -> int:
        """When the first command came."""
        return self.end_ns - round(self.outcome.duration_s * NANOSECONDS)

    @property
    def end_ns(self) -> int:
        """When it was judged."""
        return self.outcome.ended_ns

    def has(self, time_ns: int) -> bool:
        """Whether this time belongs to it."""
        return self.begin_ns <= time_ns <= self.end_ns


JOINTS = ALL_JOINTS


class DemoRecording:
    """The bag of one run. `outcomes` has every episode that ended; `latency` what the node last said of its inference.

    `latency` is keyed as in /diagnostics, and empty where the node said nothing. Raises ConfigurationError where there
    is no recording of a demo, MissingDependencyError without rosbags.
    """

    def __init__(self, bag: Path) -> None:
        self._path = bag
        self.outcomes: list[Outcome] = []
        self.latency: dict[str, str] = {}
        if not bag.exists():
            raise ConfigurationError(f"{bag}: no recording of a demo here; `make demo` makes one")
        with Bag(bag) as opened:
            for topic, _, message in opened.messages((EPISODES, DIAGNOSTICS)):
                if message is None:
                    continue
                if topic == EPISODES:
                    self.outcomes.append(Outcome.from_json(message.data))
                else:
                    self._hear(message)
        if not self.outcomes:
            raise ConfigurationError(f"{bag}: expected the recording of a demo, but no episode ends in it")

    def episodes(self) -> Iterator[Episode]:
        """Each episode with all that was recorded of it, one after the other: memory holds one or two at a time."""
        waiting = [Episode(outcome) for outcome in self.outcomes]
        with Bag(self._path) as bag:
            for topic, received, message in bag.messages(_OF_EPISODES):
                while waiting and received > waiting[0].end_ns / NANOSECONDS + _LATE_S:
                    yield waiting.pop(0)
                if message is None:
                    continue
                stamp = message.header.stamp
                time_ns = stamp.sec * NANOSECONDS + stamp.nanosec
                for episode in waiting[:2]:
                    if episode.has(time_ns):
                        _take(episode, topic, time_ns, message)
        yield from waiting

    def _hear(self, message: Any) -> None:
        for status in message.status:
            values = {pair.key: pair.value for pair in status.values}
            if "inference time p50 [ms]" in values:
                self.latency = values


def _take(episode: Episode, topic: str, time_ns: int, message: Any) -> None:
    if topic == IMAGES:
        episode.images[time_ns] = message.data.reshape(message.height, message.width, 3)
    elif topic == CUBE:
        at, turned = message.pose.position, message.pose.orientation
        episode.cube[time_ns] = np.array([at.x, at.y, at.z, turned.w, turned.x, turned.y, turned.z])
    else:
        row = np.array(message.position)[[message.name.index(joint) for joint in JOINTS]]
        (episode.told if topic == SETPOINTS else episode.measured)[time_ns] = row
