"""PolicySession: all that exists between configure and cleanup: client, arm, topics, timers, inference thread."""

from __future__ import annotations

import functools
import threading
import traceback
from typing import Any

from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from act_inference_ros.control.commander import Commander
from act_inference_ros.execution.inference_statistics import InferenceStatistics
from act_inference_ros.execution.supervisor import Supervisor
from act_inference_ros.inference.client import InferenceClient
from act_inference_ros.interfaces import TRANSPORTS, duration, stamp
from act_inference_ros.observation import optional
from act_inference_ros.observation.binding import bind_inputs
from act_inference_ros.robot.configuration import Controller, RobotConfiguration
from act_inference_ros.ros.messages import make_message, message_class
from act_inference_ros.ros.policy.commands import publishing_commander
from act_inference_ros.ros.policy.diagnostics import DiagnosticReport
from act_inference_ros.ros.policy.worker import InferenceWorker
from act_inference_ros.spec import Chunk

SENSOR_QOS = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
COMMAND_QOS = QoSProfile(depth=10, reliability=ReliabilityPolicy.RELIABLE)
ACKNOWLEDGE_S = 0.1
"""How long the last command may take to be acknowledged when commanding ends."""


class PolicySession:
    """A configured policy on `node`; what it may command is decided by the supervisor."""

    def __init__(self, node: Node, configuration: RobotConfiguration, client: InferenceClient) -> None:
        self.configuration = configuration
        self._node = node
        self._client = client
        self._statistics = InferenceStatistics()
        self._told: str | None = ""
        self._worker: InferenceWorker | None = None
        self._subscriptions: list[Any] = []
        self._timer: Any = None
        self._chunk_publisher = node.create_publisher(JointTrajectory, "~/action_chunk", 10)
        self._command_publishers: list[Any] = []
        # Tried now: whether cv_bridge works takes most of a second to find out, too long once images come.
        optional.cv_bridge()
        self._lock = threading.Lock()
        """Guards supervisor, commanders, inputs and statistics: the executor fills and ticks, the worker takes."""
        self._inputs = bind_inputs(configuration, client.spec, client.takes_jpeg)
        commanders = [self._make_commander(controller) for controller in configuration.controllers]
        self._supervisor = Supervisor(configuration, self._inputs, commanders)

    @property
    def active(self) -> bool:
        """Between activate and stop."""
        return self._worker is not None

    def activate(self) -> None:
        """Subscribe, infer, command."""
        with self._lock:
            self._supervisor.activate()
        worker = InferenceWorker(
            self._lock,
            self._supervisor,
            self._inputs,
            self._client,
            self._statistics,
            self._now,
            self._publish_chunk,
            self._on_worker_fault,
        )
        worker.inference_rate = self.configuration.inference_rate
        self._worker = worker
        self._subscribe(worker)
        self._timer = self._node.create_timer(self.configuration.tick_period_s, self._tick)
        worker.start()
        inputs = ", ".join(subscription.topic_name for subscription in self._subscriptions)
        self._node.get_logger().info(f"active: waiting for {inputs}")

    def stop(self, reason: str) -> None:
        """Hold and command no more; returns when the controllers have the last command (or after ACKNOWLEDGE_S).

        Safe from any thread.
        """
        with self._lock:
            self._supervisor.stop(self._now(), reason)
        if self._worker is not None:
            # An inference in flight may take seconds; its chunk is of an old generation and will be dropped.
            self._worker.stop(timeout=0.0)
            self._worker = None
        for publisher in self._command_publishers:
            publisher.wait_for_all_acked(Duration(seconds=ACKNOWLEDGE_S))

    def deactivate(self) -> None:
        """Stop, and let go of the inputs."""
        self.stop("inactive")
        if self._timer is not None:
            self._node.destroy_timer(self._timer)
            self._timer = None
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)
        self._subscriptions = []

    def close_client(self) -> None:
        """Release the client; may wait for a chunk being computed."""
        self._client.close()

    def close(self) -> None:
        """Release everything."""
        self.deactivate()
        self.close_client()
        for publisher in (*self._command_publishers, self._chunk_publisher):
            self._node.destroy_publisher(publisher)

    def reset(self) -> None:
        """Hold and forget plan and inputs, as between episodes; goes on by itself with new inputs."""
        if self.active:
            with self._lock:
                self._supervisor.hold(self._now(), "reset")
                self._supervisor.forget("reset")

    def apply(self, configuration: RobotConfiguration) -> None:
        """Take the live parameters of a changed configuration."""
        self.configuration = configuration
        with self._lock:
            self._supervisor.configure(configuration)
        if self._worker is not None:
            self._worker.inference_rate = configuration.inference_rate
        if self._timer is not None:
            self._timer.timer_period_ns = round(self.configuration.tick_period_s * 1e9)

    def diagnose(self, report: DiagnosticReport, stamp: Time, period_s: float) -> DiagnosticArray:
        """Report what happened in the last `period_s`."""
        with self._lock:
            return report.active(
                stamp,
                period_s,
                self.configuration,
                self._client,
                self._supervisor,
                self._inputs,
                self._statistics,
                self._now(),
            )

    def _now(self) -> float:
        """ROS time (simulated where use_sim_time says so), s."""
        return float(self._node.get_clock().now().nanoseconds) * 1e-9

    def _make_commander(self, controller: Controller) -> Commander:
        kind = message_class(controller.interface.message_type)
        publisher = self._node.create_publisher(kind, controller.topic, COMMAND_QOS)
        self._command_publishers.append(publisher)
        return publishing_commander(controller, self.configuration, publisher)

    def _subscribe(self, worker: InferenceWorker) -> None:
        wanted = [(JointState, self.configuration.state_topic, self._on_state)]
        for camera in self.configuration.cameras:
            callback = functools.partial(self._on_image, worker, camera.name)
            wanted.append((message_class(TRANSPORTS[camera.transport]), camera.topic, callback))
        if self._client.spec.environment_state_dim is not None:
            topic = self.configuration.environment_state_topic
            wanted.append((Float64MultiArray, topic, self._on_environment_state))
        self._subscriptions = [self._node.create_subscription(*each, SENSOR_QOS) for each in wanted]

    def _on_image(self, worker: InferenceWorker, camera: str, message: Any) -> None:
        with self._lock:
            self._inputs.add_image(camera, message, self._now())
        worker.notify()

    def _on_state(self, message: JointState) -> None:
        with self._lock:
            now = self._now()
            self._supervisor.measure(message.name, message.position, now)
            if self._client.spec.state_dim is not None:
                self._inputs.add_state(message, now)

    def _on_environment_state(self, message: Float64MultiArray) -> None:
        with self._lock:
            self._inputs.add_environment_state(message, self._now())

    def _tick(self) -> None:
        with self._lock:
            self._supervisor.tick(self._now())
            holding, detail = self._supervisor.holding, self._supervisor.detail
        if holding == self._told:
            return
        self._told = holding
        if holding is None:
            self._node.get_logger().info("commanding")
        else:
            self._node.get_logger().warning(f"holding: {holding} {detail}".rstrip(), throttle_duration_sec=1.0)

    def _publish_chunk(self, chunk: Chunk, t_obs: float) -> None:
        message = JointTrajectory(joint_names=list(self.configuration.action.names))
        message.header.stamp = stamp(make_message, t_obs)
        message.points = [
            JointTrajectoryPoint(positions=row, time_from_start=duration(make_message, i / self.configuration.fps))
            for i, row in enumerate(chunk.astype(float).tolist())
        ]
        self._chunk_publisher.publish(message)

    def _on_worker_fault(self, fault: Exception) -> None:
        """Nothing unforeseen may leave the arm moving on an old plan."""
        self._node.get_logger().error(f"inference thread: {''.join(traceback.format_exception(fault))}")
        with self._lock:
            self._statistics.failed(fault)
            self._supervisor.hold(self._now(), "internal fault", f"{type(fault).__name__}: {fault}")
