"""SessionOpener: makes a node's session from its parameters, while the node continues to answer requests."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from rclpy.node import Node

from act_inference_ros.execution.plan_age import check_plan_age
from act_inference_ros.inference.client import InferenceClient
from act_inference_ros.program.scheduling import give_priority
from act_inference_ros.robot.configuration import RobotConfiguration
from act_inference_ros.robot.parameter_file import parameter_file_text
from act_inference_ros.ros import declared_parameters as parameters
from act_inference_ros.ros.policy.alongside import GivenUp, alongside
from act_inference_ros.ros.policy.black_box import BlackBox, RecordingBlackBox
from act_inference_ros.ros.policy.configuring import Configuring
from act_inference_ros.ros.policy.description import published_description
from act_inference_ros.ros.policy.session import PolicySession


class SessionOpener:
    """For the thread that executes the node's callbacks.

    `configuring` is told what is awaited; `is_ending` is true if nobody waits any more. `on_fault` and `on_change` are
    passed to the session.
    """

    def __init__(
        self,
        node: Node,
        configuring: Configuring,
        is_ending: Callable[[], bool],
        on_fault: Callable[[Exception], None],
        on_change: Callable[[], None],
    ) -> None:
        self.description = ""
        """The robot description that was published when the session was opened; empty if there was none."""
        self._node = node
        self._configuring = configuring
        self._is_ending = is_ending
        self._on_fault = on_fault
        self._on_change = on_change

    def open(self, given: Mapping[str, Any]) -> PolicySession:
        """Open the policy, check that it fits the given parameters, and create the session.

        Raises an ActInferenceError for what does not fit or is missing, GivenUp if nobody waits any more.
        """
        configuration = RobotConfiguration.from_parameters(given, node=self._node.get_fully_qualified_name())
        parameters.check_topics(self._node, configuration)
        give_priority(configuration.thread_priority)  # here, where a refusal comes before the policy is loaded
        client = alongside(self._node, lambda: self._open_client(configuration), self._is_ending)
        try:
            configuration.check_fits(client.spec)
            # After the policy was loaded: by then the graph is known.
            needed = bool(configuration.unlimited_joints) and not configuration.robot_description
            self.description = self._published_description(configuration.robot_description_topic, needed)
            configuration = RobotConfiguration.from_parameters(
                given, self.description, self._node.get_fully_qualified_name()
            )
            configuration.check_limits()
            check_plan_age(configuration, client.warm_up_s)
            for note in client.notes:
                self._node.get_logger().info(note)
            return self._make_session(configuration, client, given)
        except BaseException:
            client.close()
            raise

    def _open_client(self, configuration: RobotConfiguration) -> InferenceClient:
        """Load the policy or connect to it, outside the executor's thread."""
        client = InferenceClient.create(**configuration.client_arguments, progress=self._says)
        if self._is_ending():
            client.close()
        return client

    def _published_description(self, topic: str, needed: bool) -> str:
        self._says(f"waiting for the robot description on {topic}")
        return alongside(self._node, lambda: published_description(self._node, topic, needed), self._is_ending)

    def _says(self, what: str) -> None:
        """Note what is awaited; a `Progress`."""
        if self._is_ending():
            raise GivenUp
        self._configuring.says(what)

    def _make_session(
        self, configuration: RobotConfiguration, client: InferenceClient, given: Mapping[str, Any]
    ) -> PolicySession:
        black_box = BlackBox()
        if configuration.black_box:
            directory = Path(configuration.black_box)
            text = parameter_file_text(given)
            black_box = RecordingBlackBox(self._node, directory, client.spec, client.facts, text)
        try:
            return PolicySession(self._node, configuration, client, self._on_fault, self._on_change, black_box)
        except BaseException:
            black_box.close()
            raise
