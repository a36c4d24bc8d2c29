"""Synthetic bags and a policy whose output is known: the operator's motion is a function of time."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

from act_inference_ros.evaluation.statistics import ErrorStatistics
from act_inference_ros.inference.client import InferenceClient
from act_inference_ros.robot.configuration import RobotConfiguration
from act_inference_ros.spec import ImageSpec, PolicySpec
from test.plain_backend import PlainBackend

TYPES = get_typestore(Stores.LATEST)
Motion = Callable[[npt.ArrayLike], npt.NDArray[np.float64]]
"""Times, s -> positions (n, 3)."""
Event = tuple[float, str, str, Any]
"""Time in s, topic, type, message; None for a message that is not recorded."""
START_S = 1_700_000_000.0
FPS = 20.0
JOINTS = ("pan", "lift", "grip")
HEIGHT, WIDTH = 6, 8
CHUNK_SIZE = 12
STORAGES = {
    "sqlite3": (StoragePlugin.SQLITE3, CompressionMode.NONE),
    "sqlite3 message": (StoragePlugin.SQLITE3, CompressionMode.MESSAGE),
    "sqlite3 file": (StoragePlugin.SQLITE3, CompressionMode.FILE),
    "mcap": (StoragePlugin.MCAP, CompressionMode.NONE),
    "mcap message": (StoragePlugin.MCAP, CompressionMode.MESSAGE),
    "mcap file": (StoragePlugin.MCAP, CompressionMode.FILE),
    "mcap chunk": (StoragePlugin.MCAP, CompressionMode.STORAGE),
}


def motion(times: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Return the operator's positions, (n, 3) in ROS units: smooth, and different for each joint."""
    t = np.atleast_1d(np.asarray(times, dtype=np.float64)) - START_S
    return np.stack([0.6 * np.sin(1.3 * t), 0.5 * np.cos(0.9 * t) + 0.2, 0.02 + 0.01 * np.sin(2.1 * t)], axis=1)


def motion_from_rest(times: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Like `motion`, but still for half a second, and then with a gentle start that commands can follow exactly."""
    since = np.maximum(np.atleast_1d(np.asarray(times, dtype=np.float64)) - START_S - 0.5, 0.0)
    return motion(START_S + since**3 / (since**2 + 0.5))


class KnowingBackend(PlainBackend):
    """Reads the time from the image, and predicts `function` of that time; in ROS units."""

    def __init__(self, function: Motion = motion, spec: PolicySpec | None = None) -> None:
        self.function = function
        self.spec = spec or PolicySpec(
            CHUNK_SIZE, len(JOINTS), (ImageSpec("observation.images.top", HEIGHT, WIDTH),), state_dim=len(JOINTS)
        )
        self.failing: Exception | None = None

    def infer(self, inputs: Mapping[str, Any], request_id: str = "") -> npt.NDArray[np.float32]:
        if self.failing is not None:
            raise self.failing
        step = int.from_bytes(inputs["observation.images.top"][0, 0].tobytes(), "little")
        times = START_S + (step + np.arange(CHUNK_SIZE)) / FPS
        return self.function(times).astype(np.float32)


def client(function: Motion = motion) -> InferenceClient:
    return InferenceClient(KnowingBackend(function))


def parameters(**changes: Any) -> dict[str, Any]:
    """The parameters of the robot of the bags; None leaves one out."""
    given = {
        "fps": FPS,
        "inference_rate": 5.0,
        "state.topic": "/joint_states",
        "state.joints": list(JOINTS),
        "cameras": ["top"],
        "camera.top.topic": "/top/image_raw",
        "max_age": 0.2,
        "controllers": ["arm", "gripper"],
        "controller.arm.topic": "/arm/joint_trajectory",
        "controller.arm.joints": ["pan", "lift"],
        "controller.arm.interface": "joint_state",
        "controller.gripper.topic": "/gripper/commands",
        "controller.gripper.joints": ["grip"],
        "controller.gripper.interface": "position_stream",
        **changes,
    }
    return {name: value for name, value in given.items() if value is not None}


def configuration(**changes: Any) -> RobotConfiguration:
    """The robot of the bags; None leaves a parameter out."""
    return RobotConfiguration.from_parameters(parameters(**changes))


def message(kind: str, **fields: Any) -> Any:
    return TYPES.types[kind](**fields)


def header(time: float) -> Any:
    sec, nanosec = divmod(round(time * 1e9), 10**9) if time else (0, 0)
    stamp = message("builtin_interfaces/msg/Time", sec=sec, nanosec=nanosec)
    return message("std_msgs/msg/Header", stamp=stamp, frame_id="")


def image(step: int, stamp: float, height: int = HEIGHT, width: int = WIDTH, encoding: str = "rgb8") -> Any:
    data = np.zeros((height, width, 3), dtype=np.uint8)
    number = step.to_bytes(3, "little")
    data[0, 0] = list(number if encoding == "rgb8" else reversed(number))
    return message(
        "sensor_msgs/msg/Image", header=header(stamp), height=height, width=width, encoding=encoding,
        is_bigendian=0, step=width * 3, data=data.reshape(-1),
    )  # fmt: skip


def joint_state(names: Iterable[str], positions: npt.ArrayLike, stamp: float) -> Any:
    empty = np.empty(0)
    return message(
        "sensor_msgs/msg/JointState", header=header(stamp), name=list(names),
        position=np.asarray(positions, dtype=np.float64), velocity=empty, effort=empty,
    )  # fmt: skip


def float_array(values: npt.ArrayLike) -> Any:
    layout = message("std_msgs/msg/MultiArrayLayout", dim=[], data_offset=0)
    return message("std_msgs/msg/Float64MultiArray", layout=layout, data=np.asarray(values, dtype=np.float64))


def trajectory(names: Iterable[str], times: Iterable[float], rows: Iterable[npt.ArrayLike], stamp: float) -> Any:
    """Points `times` s after the stamp."""
    empty = np.empty(0)
    points = [
        message(
            "trajectory_msgs/msg/JointTrajectoryPoint", positions=np.array(row, dtype=np.float64, order="C"),
            velocities=empty, accelerations=empty, effort=empty,
            time_from_start=message("builtin_interfaces/msg/Duration", sec=int(t), nanosec=round(t % 1 * 1e9)),
        )
        for t, row in zip(times, rows, strict=True)
    ]  # fmt: skip
    return message("trajectory_msgs/msg/JointTrajectory", header=header(stamp), joint_names=list(names), points=points)


def events(
    duration_s: float = 4.0,
    commands: Motion | None = motion,
    states: Motion = motion,
    state_rate: int = 3,
    names: Sequence[str] = JOINTS,
) -> Iterator[Event]:
    """(time, topic, type, message) of a demonstration: an image, a command and `state_rate` joint states per step.

    Commands and joint states come just before the image of their step. `commands` None: none recorded.
    """
    for step in range(round(duration_s * FPS)):
        now = START_S + step / FPS
        for i in range(state_rate):
            t = now + i / FPS / state_rate
            positions = states([t])[0]
            order = [2, 0, 1]  # the topic's own order, and an extra joint
            state = joint_state([names[j] for j in order] + ["other"], [*positions[order], 9.0], t)
            yield t, "/joint_states", "sensor_msgs/msg/JointState", state
        if commands is not None:
            row = commands([now])[0]
            arm = joint_state([names[1], names[0]], [row[1], row[0]], now)
            yield now, "/arm/joint_trajectory", "sensor_msgs/msg/JointState", arm
            yield now, "/gripper/commands", "std_msgs/msg/Float64MultiArray", float_array([row[2]])
        yield now, "/top/image_raw", "sensor_msgs/msg/Image", image(step, now)


def write_bag(path: Path, messages: Iterable[Event], storage: str = "mcap") -> Path:
    """Write a bag directory at `path`; messages at equal times keep their order. Returns the path."""
    plugin, mode = STORAGES[storage]
    writer = Writer(path, version=9, storage_plugin=plugin)
    writer.set_compression(mode, CompressionFormat.ZSTD)
    with writer:
        topics = {}
        for place, (time, topic, kind, content) in enumerate(sorted(messages, key=lambda event: event[0])):
            if (topic, kind) not in topics:
                topics[topic, kind] = writer.add_connection(topic, kind, typestore=TYPES)
            if content is not None:
                writer.write(topics[topic, kind], round(time * 1e9) + place % 100, TYPES.serialize_cdr(content, kind))
    return path


def nothing_recorded(topic: str, kind: str) -> Event:
    """An entry that puts a topic into the bag, but no message."""
    return START_S, topic, kind, None


def largest(errors: Mapping[str, ErrorStatistics]) -> float:
    return max(error.max_ros_units for error in errors.values())


def apart(events: Iterable[Event], drivers: Mapping[str, Sequence[str]]) -> Iterator[Event]:
    """The same with the joint states on several topics (topic -> its joints); velocities, if any, go along."""
    for time, topic, kind, content in events:
        if topic != "/joint_states" or content is None:
            yield time, topic, kind, content
            continue
        for driver, joints in drivers.items():
            places = [list(content.name).index(joint) for joint in joints]
            part = joint_state(joints, content.position[places], 0.0)
            part.header = content.header
            if len(content.velocity):
                part.velocity = content.velocity[places]
            yield time, driver, kind, part


def with_velocities(events: Iterable[Event], states: Motion = motion) -> Iterator[Event]:
    """The same with the velocity of each joint in the joint states."""
    step = 1e-4
    for time, topic, kind, content in events:
        if topic == "/joint_states":
            speeds = (states([time + step])[0] - states([time - step])[0]) / (2.0 * step)
            known = dict(zip(JOINTS, speeds, strict=True))
            content.velocity = np.array([known.get(name, 0.0) for name in content.name])
        yield time, topic, kind, content
