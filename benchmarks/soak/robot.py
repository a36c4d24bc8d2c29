"""The robot of the soak: cameras and joints at full rate, two controllers that obey, inputs that can be silent."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.node import Node
from rclpy.qos import QoSProfile, qos_profile_sensor_data
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import Float64MultiArray
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from act_inference_ros.ros.policy.status import STATUS_QOS
from act_inference_ros.simulation.command_inputs import command_input
from benchmarks.robot_stand import IMAGE_RATE, STATE_RATE, joint_names
from benchmarks.soak.stream_watch import StreamWatch
from benchmarks.standard_act import ACTION_DIM, HEIGHT, WIDTH

STREAM_JOINTS, TRAJECTORY_JOINTS = joint_names(ACTION_DIM)[:7], joint_names(ACTION_DIM)[7:]
STREAM_TOPIC, TRAJECTORY_TOPIC = "/left/commands", "/right/joint_trajectory"
STATE_TOPIC = "/right/controller_state"
COMMAND_RATE = 100.0
PICTURES = 8
"""Different pictures that a camera shows in turn."""
STATES_PER_IMAGE = round(STATE_RATE / IMAGE_RATE)


class Robot:
    """Publishes from a thread of its own until `close`; callbacks come from the executor of `node`.

    `silent` holds the inputs that do not come now: `state`, or a camera's number. `state` is the newest word of the
    policy node's status, `reason` what it says beside.
    """

    def __init__(self, node: Node, cameras: int) -> None:
        self.silent: set[str | int] = set()
        self.state = self.reason = ""
        self.watch = StreamWatch(1.0 / COMMAND_RATE)
        self.lock = threading.Lock()
        """Guards the watch and the controllers."""
        self.stream = command_input("position_stream", tuple(STREAM_JOINTS))
        self.trajectory = command_input("joint_trajectory", tuple(TRAJECTORY_JOINTS))
        self.trajectory.controller.hold([0.0] * len(TRAJECTORY_JOINTS))
        random = np.random.default_rng(0)
        self._pictures = [random.integers(0, 256, HEIGHT * WIDTH * 3, np.uint8).tobytes() for _ in range(PICTURES)]
        self._positions: npt.NDArray[np.float64] = np.zeros(ACTION_DIM)
        self._cameras = [
            node.create_publisher(Image, f"/cam{i}/image", qos_profile_sensor_data) for i in range(cameras)
        ]
        self._states = node.create_publisher(JointState, "/joint_states", qos_profile_sensor_data)
        self._controller_states = node.create_publisher(JointTrajectory, STATE_TOPIC, qos_profile_sensor_data)
        node.create_subscription(Float64MultiArray, STREAM_TOPIC, self._on_target, QoSProfile(depth=100))
        node.create_subscription(JointTrajectory, TRAJECTORY_TOPIC, self._on_trajectory, QoSProfile(depth=10))
        node.create_subscription(JointTrajectory, "/policy_node/action_chunk", self._on_chunk, QoSProfile(depth=10))
        node.create_subscription(DiagnosticStatus, "/policy_node/status", self._on_status, STATUS_QOS)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def close(self) -> None:
        """Publish nothing more."""
        self._over.set()
        self._thread.join()

    def _on_target(self, message: Float64MultiArray, info: Mapping[str, int]) -> None:
        with self.lock:
            self.watch.command(info["source_timestamp"] * 1e-9)
            self.stream.take(message, time.time(), self._positions[:7], np.zeros(7))

    def _on_trajectory(self, message: JointTrajectory) -> None:
        with self.lock:
            self.trajectory.take(message, time.time(), self._positions[7:], np.zeros(7))

    def _on_chunk(self, message: JointTrajectory, info: Mapping[str, int]) -> None:
        stamp = message.header.stamp
        with self.lock:
            self.watch.chunk(info["source_timestamp"] * 1e-9, stamp.sec + stamp.nanosec * 1e-9)

    def _on_status(self, message: DiagnosticStatus) -> None:
        self.reason = next((value.value for value in message.values if value.key == "reason"), "")
        self.state = message.message

    def _run(self) -> None:
        due, count = time.monotonic(), 0
        while not self._over.is_set():
            for turn in range(STATES_PER_IMAGE):
                self._move(turn == 0)
                due = max(due + 1.0 / IMAGE_RATE / STATES_PER_IMAGE, time.monotonic() - 1.0)
                self._over.wait(max(0.0, due - time.monotonic()))
            count += 1
            for i, camera in enumerate(self._cameras):
                if i not in self.silent:
                    image = Image(encoding="rgb8", height=HEIGHT, width=WIDTH, step=3 * WIDTH)
                    image.data = self._pictures[(count + i) % PICTURES]
                    image.header.stamp = _now()
                    camera.publish(image)

    def _move(self, with_controller_state: bool) -> None:
        with self.lock:
            right = self.trajectory.controller.sample(time.time())
            self._positions = np.concatenate([self.stream.controller.sample(0.0), right])
        if "state" not in self.silent:
            state = JointState(name=joint_names(ACTION_DIM), position=self._positions.tolist())
            state.header.stamp = _now()
            self._states.publish(state)
        if with_controller_state:
            said = JointTrajectory(joint_names=TRAJECTORY_JOINTS, points=[JointTrajectoryPoint()])
            said.points[0].positions = right.tolist()
            said.header.stamp = _now()
            self._controller_states.publish(said)


def robot_changes() -> dict[str, Any]:
    """The node's parameters that differ from `node_parameters`: two controllers, and patience.

    An inference may take seconds on a busy machine; that shall not stop the stream.
    """
    return {
        "controllers": ["left", "right"],
        "controller__left__interface": "position_stream",
        "controller__left__topic": STREAM_TOPIC,
        "controller__left__joints": STREAM_JOINTS,
        "controller__right__interface": "joint_trajectory",
        "controller__right__topic": TRAJECTORY_TOPIC,
        "controller__right__joints": TRAJECTORY_JOINTS,
        "command_rate": COMMAND_RATE,
        "fps": 10.0,
        "max_plan_age": 30.0,
        "coast_time": 10.0,
        "resume_within": 600.0,
        "start_pose": [0.1] * ACTION_DIM,
    }


def _now() -> Time:
    sec, nanosec = divmod(time.time_ns(), 10**9)
    return Time(sec=sec, nanosec=nanosec)
