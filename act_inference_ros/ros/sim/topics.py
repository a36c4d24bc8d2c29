"""The simulated robot's topics: images, joints, setpoints, the cube, the clock, each episode's outcome."""

from __future__ import annotations

import array
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from builtin_interfaces.msg import Time
from geometry_msgs.msg import Point, Pose, PoseStamped, Quaternion
from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, qos_profile_sensor_data
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CompressedImage, Image, JointState
from std_msgs.msg import String

from act_inference_ros.simulation.episode_rules import Outcome
from act_inference_ros.simulation.scene import JOINT_STATE_ORDER

CAMERA = "front"
IMAGE_TOPIC = f"{CAMERA}/image_raw"
COMPRESSED_TOPIC = f"{IMAGE_TOPIC}/compressed"
JOINT_STATE_TOPIC = "joint_states"
EPISODE_TOPIC = "~/episode"
SETPOINT_TOPIC = "~/setpoint"
CUBE_TOPIC = "~/cube"
BASE_FRAME = "base"

_JPEG_QUALITY = 95
_OUTCOMES_KEPT = 100
_CYCLES_KEPT = 100
"""Setpoints come in every cycle of control: a busy listener may be a second late."""


class SimTopics:
    """The publishers. All calls are for the simulation's thread."""

    def __init__(self, node: Node, joints: tuple[str, ...], publish_clock: bool) -> None:
        self._joints = joints
        self._order = [joints.index(name) for name in JOINT_STATE_ORDER]
        self._image = node.create_publisher(Image, IMAGE_TOPIC, qos_profile_sensor_data)
        self._compressed = node.create_publisher(CompressedImage, COMPRESSED_TOPIC, qos_profile_sensor_data)
        self._joint_states = node.create_publisher(JointState, JOINT_STATE_TOPIC, 10)
        self._setpoint = node.create_publisher(JointState, SETPOINT_TOPIC, _CYCLES_KEPT)
        self._cube = node.create_publisher(PoseStamped, CUBE_TOPIC, 10)
        # Latched for late subscribers: an outcome is published once.
        kept = QoSProfile(depth=_OUTCOMES_KEPT, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self._episode = node.create_publisher(String, EPISODE_TOPIC, kept)
        self._clock = node.create_publisher(Clock, "/clock", 10) if publish_clock else None

    def publish_clock(self, now_ns: int) -> None:
        """Publish /clock, if that is enabled."""
        if self._clock is not None:
            self._clock.publish(Clock(clock=_stamp(now_ns)))

    def publish_joint_states(
        self, now_ns: int, positions: npt.NDArray[np.float32], velocities: npt.NDArray[np.float32]
    ) -> None:
        """Publish positions and velocities (6,), given in the order of the joints."""
        message = JointState(name=list(JOINT_STATE_ORDER))
        message.header.stamp = _stamp(now_ns)
        message.position = positions[self._order].tolist()
        message.velocity = velocities[self._order].tolist()
        self._joint_states.publish(message)

    def publish_setpoint(self, now_ns: int, positions: npt.NDArray[np.float64]) -> None:
        """Publish the controllers' setpoints (6,) of this cycle, if there are subscribers."""
        if self._setpoint.get_subscription_count() > 0:
            message = JointState(name=list(self._joints), position=positions.tolist())
            message.header.stamp = _stamp(now_ns)
            self._setpoint.publish(message)

    def publish_cube(self, now_ns: int, pose: npt.NDArray[np.float64]) -> None:
        """Publish the cube's pose (7,): m, and a quaternion w x y z; if there are subscribers."""
        if self._cube.get_subscription_count() > 0:
            x, y, z, w, i, j, k = pose.tolist()
            message = PoseStamped(pose=Pose(position=Point(x=x, y=y, z=z), orientation=Quaternion(w=w, x=i, y=j, z=k)))
            message.header.stamp = _stamp(now_ns)
            message.header.frame_id = BASE_FRAME
            self._cube.publish(message)

    def publish_image(self, now_ns: int, render: Callable[[], npt.NDArray[np.uint8]]) -> None:
        """Publish what `render` returns, uint8 (H, W, 3) RGB, raw and as JPEG; render only for subscribers."""
        raw = self._image.get_subscription_count() > 0
        compressed = self._compressed.get_subscription_count() > 0
        if not (raw or compressed):
            return
        image = render()
        if raw:
            self._image.publish(self._raw_message(now_ns, image))
        if compressed:
            self._compressed.publish(self._compressed_message(now_ns, image))

    def publish_outcome(self, outcome: Outcome) -> None:
        """Publish how an episode ended."""
        self._episode.publish(String(data=outcome.to_json()))

    def flush(self, timeout_s: float) -> None:
        """Wait until the subscribers have every outcome, at most `timeout_s`."""
        self._episode.wait_for_all_acked(Duration(seconds=timeout_s))

    def _raw_message(self, now_ns: int, image: npt.NDArray[np.uint8]) -> Any:
        height, width, channels = image.shape
        message = Image(height=height, width=width, encoding="rgb8", step=width * channels)
        message.header.stamp = _stamp(now_ns)
        message.header.frame_id = CAMERA
        # rclpy uses an array of bytes as it is; it would convert a numpy array element by element.
        message.data = array.array("B", image.tobytes())
        return message

    def _compressed_message(self, now_ns: int, image: npt.NDArray[np.uint8]) -> Any:
        bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
        _, jpeg = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
        message = CompressedImage(format="rgb8; jpeg compressed bgr8")
        message.header.stamp = _stamp(now_ns)
        message.header.frame_id = CAMERA
        message.data = array.array("B", jpeg.tobytes())
        return message


def _stamp(now_ns: int) -> Any:
    return Time(sec=now_ns // 1_000_000_000, nanosec=now_ns % 1_000_000_000)
