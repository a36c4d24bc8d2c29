"""The data for bench_evaluation: bags of any length of a robot with one or two arms, and their data set."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import yaml
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer

from act_inference_ros.evaluation.cli import bag_to_dataset
from act_inference_ros.inference.client import InferenceClient
from act_inference_ros.robot.configuration import RobotConfiguration
from act_inference_ros.spec import ImageSpec, PolicySpec
from benchmarks.instant_policy import InstantPolicy
from test.evaluation import bags

FPS, CHUNK_SIZE = 30, 50
STATES_PER_IMAGE = 3
HEIGHT, WIDTH = 480, 640
TWO_ARMS, ONE_ARM = "two_arms", "one_arm"
SIDES = {TWO_ARMS: ("left", "right"), ONE_ARM: ("arm",)}
ROBOT_VARIABLE = "BENCHMARK_ROBOT"
"""The environment variable that says which of SIDES the robot has; a measurement's own process reads it, too."""
ROBOT = os.environ.get(ROBOT_VARIABLE, TWO_ARMS)
_OF_AN_ARM = ("waist", "shoulder", "elbow", "roll", "wrist", "turn", "grip")
ARMS = {
    side: [f"{side}_{joint}" for joint in (_OF_AN_ARM if ROBOT == TWO_ARMS else _OF_AN_ARM[1:])]
    for side in SIDES[ROBOT]
}
JOINTS = [joint for joints in ARMS.values() for joint in joints]
IMAGE, COMPRESSED_IMAGE = "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"
CAMERA_TOPIC = "/top/image"
_JPEG_QUALITY = 90
_STAMP = slice(4, 12)
"""Place of the stamp in a serialized message that begins with a header."""


_TURNS = 0.5 + 0.2 * np.arange(len(JOINTS) // 2)
"""rad/s; joint 2 k and joint 2 k + 1 go round together, so that a state tells how it goes on."""
_REACH = 0.5


def motion(time: float) -> npt.NDArray[np.float64]:
    """Return the operator's positions (joints,), in rad: smooth, and different for each joint."""
    return _at(_TURNS * (time - bags.START_S))


def _at(phases: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The positions (..., joints) at these phases (..., joints / 2), in rad."""
    pairs = np.stack([np.sin(phases), np.cos(phases)], axis=-1)
    return np.asarray(_REACH * pairs.reshape(*phases.shape[:-1], len(JOINTS)))


def parameters(compressed: bool, inference_rate: float) -> dict[str, Any]:
    """The robot's parameters."""
    given: dict[str, Any] = {
        "fps": float(FPS),
        "inference_rate": inference_rate,
        "state.topic": "/joint_states",
        "state.joints": JOINTS,
        "cameras": ["top"],
        "camera.top.topic": CAMERA_TOPIC,
        "camera.top.transport": "compressed" if compressed else "raw",
        "controllers": list(ARMS),
    }
    for side, joints in ARMS.items():
        given |= {f"controller.{side}.interface": "joint_trajectory", f"controller.{side}.joints": joints}
        given[f"controller.{side}.topic"] = _command_topic(side)
    for joint in JOINTS:
        given |= {f"joint.{joint}.min": -3.0, f"joint.{joint}.max": 3.0}
    return given


def robot(compressed: bool, inference_rate: float) -> RobotConfiguration:
    return RobotConfiguration.from_parameters(parameters(compressed, inference_rate))


def instant_client(height: int, width: int) -> InferenceClient:
    """A policy that answers at once, with what the operator does next."""
    images = (ImageSpec("observation.images.top", height, width),)
    spec = PolicySpec(CHUNK_SIZE, len(JOINTS), images, state_dim=len(JOINTS))
    ahead = np.arange(CHUNK_SIZE)[:, None] / FPS * _TURNS

    def go_on(inputs: Mapping[str, Any]) -> npt.NDArray[Any]:
        state = inputs["observation.state"].astype(np.float64)
        return _at(np.arctan2(state[0::2], state[1::2]) + ahead).astype(np.float32)

    return InferenceClient(InstantPolicy(spec, go_on))


def raw_picture(height: int, width: int) -> bytes:
    """A grey image, serialized."""
    return bytes(bags.TYPES.serialize_cdr(bags.image(0, 1.0, height, width), IMAGE))


def jpeg_pictures(count: int) -> list[bytes]:
    """JPEG images of a scene that moves, serialized: a photograph's amount of detail, and some noise."""
    random = np.random.default_rng(0)
    coarse = random.integers(40, 216, (HEIGHT // 16, WIDTH // 16, 3), dtype=np.uint8)
    scene = cv2.resize(coarse, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC).astype(np.int16)
    found = []
    for step in range(count):
        noisy = np.roll(scene, 3 * step, axis=1) + random.integers(-4, 5, scene.shape, dtype=np.int16)
        pixels = np.clip(noisy, 0, 255).astype(np.uint8)
        jpeg = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])[1].reshape(-1)
        message = bags.message(COMPRESSED_IMAGE, header=bags.header(1.0), format="jpeg", data=jpeg)
        found.append(bytes(bags.TYPES.serialize_cdr(message, COMPRESSED_IMAGE)))
    return found


def write_bag(
    path: Path,
    seconds: float,
    pictures: Sequence[bytes],
    storage: StoragePlugin = StoragePlugin.MCAP,
    mode: CompressionMode = CompressionMode.NONE,
    image_type: str = IMAGE,
) -> None:
    """A demonstration: for each image joint states, and a trajectory of one point for each arm.

    The serialized `pictures` come one after the other, again and again; only their stamps differ.
    """
    types = bags.TYPES
    writer = Writer(path, version=9, storage_plugin=storage)
    writer.set_compression(mode, CompressionFormat.ZSTD)
    trajectory, state = "trajectory_msgs/msg/JointTrajectory", "sensor_msgs/msg/JointState"
    kinds = {CAMERA_TOPIC: image_type, "/joint_states": state, **{_command_topic(side): trajectory for side in ARMS}}
    with writer:
        topics = {topic: writer.add_connection(topic, kind, typestore=types) for topic, kind in kinds.items()}

        def put(topic: str, now: float, message: Any) -> None:
            writer.write(topics[topic], round(now * 1e9), types.serialize_cdr(message, kinds[topic]))

        for step in range(round(seconds * FPS)):
            now = bags.START_S + step / FPS
            for i in range(STATES_PER_IMAGE):
                t = now + i / (STATES_PER_IMAGE * FPS)
                put("/joint_states", t, bags.joint_state(JOINTS, motion(t), t))
            row = motion(now + 0.1)
            for place, (side, joints) in enumerate(ARMS.items()):
                mine = row[place * len(joints) :][: len(joints)]
                put(_command_topic(side), now, bags.trajectory(joints, [0.1], [mine], 0.0))
            picture = bytearray(pictures[step % len(pictures)])
            picture[_STAMP] = np.array([int(now), round(now % 1 * 1e9)], dtype="<u4").tobytes()
            writer.write(topics[CAMERA_TOPIC], round(now * 1e9), bytes(picture))


def write_episodes(directory: Path, episodes: int, seconds: float, say: Callable[[str], None]) -> tuple[Path, Path]:
    """The same episodes as bags with JPEG images and, converted from these, as a data set; both directories."""
    recorded, dataset, params = directory / "bags", directory / "dataset", directory / "robot.yaml"
    pictures = jpeg_pictures(round(seconds * FPS))
    recorded.mkdir()
    for episode in range(episodes):
        write_bag(recorded / f"episode_{episode:03d}", seconds, pictures, image_type=COMPRESSED_IMAGE)
    params.write_text(yaml.safe_dump({"policy_node": {"ros__parameters": parameters(True, float(FPS))}}))
    arguments = ["--bag", str(recorded), "--params", str(params), "--output", str(dataset), "--task", "benchmark"]
    say(f"converting {episodes} episodes")
    told = io.StringIO()
    with contextlib.redirect_stdout(told):
        status = bag_to_dataset.main(arguments)
    if status:
        raise RuntimeError(f"the bags were not converted:\n{told.getvalue()}")
    return recorded, dataset


def _command_topic(side: str) -> str:
    return f"/{side}/joint_trajectory"
