"""InputSubscriptions: the subscriptions to cameras, joint states, environment state and the enabling topic."""

from __future__ import annotations

import functools
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import JointState
from std_msgs.msg import Bool, Float64MultiArray

from act_inference_ros.execution.pipeline import Pipeline
from act_inference_ros.interfaces import TRANSPORTS
from act_inference_ros.robot.configuration import RobotConfiguration
from act_inference_ros.ros.messages import message_class
from act_inference_ros.ros.policy.black_box import BlackBox
from act_inference_ros.ros.policy.waiting_time import Callback, with_waiting_time

SENSOR_QOS = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
ENABLING_QOS = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE)


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
        self._subscriptions: list[Any] = []
        for topic in configuration.state_topics:
            self._subscribe(JointState, topic, self._noted(topic, functools.partial(self._on_state, topic)))
        for camera in configuration.cameras:
            kind = message_class(TRANSPORTS[camera.transport])
            self._subscribe(kind, camera.topic, functools.partial(self._on_image, camera.name))
        if environment:
            topic = configuration.environment_state_topic
            self._subscribe(Float64MultiArray, topic, self._noted(topic, self._on_environment_state))
        if configuration.enable_topic:
            topic = configuration.enable_topic
            self._subscribe(Bool, topic, self._noted(topic, self._on_enable), ENABLING_QOS)

    @property
    def topics(self) -> list[str]:
        """The full names of the topics."""
        return [subscription.topic_name for subscription in self._subscriptions]

    def close(self) -> None:
        """End the subscriptions."""
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)
        self._subscriptions = []

    def _subscribe(self, kind: Any, topic: str, callback: Callback, qos: QoSProfile = SENSOR_QOS) -> None:
        told = with_waiting_time(self._node, callback)
        self._subscriptions.append(self._node.create_subscription(kind, topic, told, qos))

    def _noted(self, topic: str, callback: Callback) -> Callback:
        """Return a callback that first passes each message to the black box."""
        name = self._black_box.resolved(topic)

        def told(message: Any, waited_s: float) -> None:
            self._black_box.message(name, message)
            callback(message, waited_s)

        return told

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
