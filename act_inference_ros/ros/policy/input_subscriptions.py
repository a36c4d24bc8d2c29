"""InputSubscriptions: the subscriptions to cameras, joint states, environment state and the enabling topic."""

from __future__ import annotations

import functools
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, TypeAlias

from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import JointState
from std_msgs.msg import Bool, Float64MultiArray

from act_inference_ros.execution.pipeline import Pipeline
from act_inference_ros.interfaces import TRANSPORTS
from act_inference_ros.robot.configuration import RobotConfiguration
from act_inference_ros.ros.messages import message_class
from act_inference_ros.ros.policy.black_box import BlackBox
from act_inference_ros.ros.policy.waiting_time import with_waiting_time

SENSOR_QOS = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
ENABLING_QOS = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE)

Callback: TypeAlias = Callable[[Any, float], None]
"""Is called with a message, and with how long it has waited, s."""


class InputSubscriptions:
    """Gives every message to the black box and to the pipeline, until `close`.

    `deciding` gives the time and holds the lock that guards the pipeline. `on_image` is called after each image.
    `environment`: the policy reads an environment state. What has no stamp is as old as its arrival, also if its
    callback comes later.
    """

    def __init__(
        self,
        node: Node,
        configuration: RobotConfiguration,
        pipeline: Pipeline,
        deciding: Callable[[], AbstractContextManager[float]],
        on_image: Callable[[], None],
        black_box: BlackBox,
        environment: bool,
    ) -> None:
        self._node = node
        self._pipeline = pipeline
        self._deciding = deciding
        self._notify = on_image
        self._black_box = black_box
        wanted: list[tuple[Any, str, Callback]] = [
            self._noted(JointState, topic, functools.partial(self._on_state, topic))
            for topic in configuration.state_topics
        ]
        for camera in configuration.cameras:
            on_image = functools.partial(self._on_image, camera.name)
            wanted.append((message_class(TRANSPORTS[camera.transport]), camera.topic, on_image))
        if environment:
            topic = configuration.environment_state_topic
            wanted.append(self._noted(Float64MultiArray, topic, self._on_environment_state))
        self._subscriptions = [
            node.create_subscription(kind, topic, with_waiting_time(node, callback), SENSOR_QOS)
            for kind, topic, callback in wanted
        ]
        if configuration.enable_topic:
            kind, topic, callback = self._noted(Bool, configuration.enable_topic, self._on_enable)
            enabling = node.create_subscription(kind, topic, with_waiting_time(node, callback), ENABLING_QOS)
            self._subscriptions.append(enabling)

    @property
    def topics(self) -> list[str]:
        """The full names of the topics."""
        return [subscription.topic_name for subscription in self._subscriptions]

    def close(self) -> None:
        """End the subscriptions."""
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)
        self._subscriptions = []

    def _noted(self, kind: Any, topic: str, callback: Callback) -> tuple[Any, str, Callback]:
        """Return the subscription with a callback that first passes each message to the black box."""
        name = self._black_box.resolved(topic)

        def told(message: Any, waited_s: float) -> None:
            self._black_box.message(name, message)
            callback(message, waited_s)

        return kind, topic, told

    def _on_image(self, camera: str, message: Any, waited_s: float) -> None:
        self._black_box.arrival(camera, message.header)
        with self._deciding() as now:
            self._pipeline.image(camera, message, now, waited_s)
        self._notify()

    def _on_state(self, topic: str, message: JointState, waited_s: float) -> None:
        with self._deciding() as now:
            self._pipeline.state(message, now, topic, waited_s)

    def _on_environment_state(self, message: Float64MultiArray, waited_s: float) -> None:
        with self._deciding() as now:
            self._pipeline.environment_state(message, now, waited_s)

    def _on_enable(self, message: Bool, waited_s: float) -> None:
        with self._deciding() as now:
            self._pipeline.supervisor.enable(message.data, now, waited_s)
