"""PolicySession: all that exists between configure and cleanup: client, pipeline, topics, timers, inference thread."""

from __future__ import annotations

import contextlib
import functools
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from typing import Any

from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import JointState
from std_msgs.msg import Bool, Float64MultiArray
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from act_inference_ros.control.commander import Commander
from act_inference_ros.control.commanders import make_commander
from act_inference_ros.errors import ConfigurationError
from act_inference_ros.execution.controller_state import ControllerState
from act_inference_ros.execution.pipeline import Pipeline
from act_inference_ros.execution.states import Answer, State
from act_inference_ros.inference.client import InferenceClient
from act_inference_ros.interfaces import TRANSPORTS, duration, stamp
from act_inference_ros.observation import optional
from act_inference_ros.observation.binding import bind_inputs
from act_inference_ros.robot.configuration import RobotConfiguration
from act_inference_ros.robot.devices import Controller
from act_inference_ros.ros.messages import make_message, message_class
from act_inference_ros.ros.policy.command_graph import CommandGraph
from act_inference_ros.ros.policy.commands import Outlet
from act_inference_ros.ros.policy.controller_check import ControllerCheck
from act_inference_ros.ros.policy.controller_states import ControllerStates
from act_inference_ros.ros.policy.diagnostics import DiagnosticReport
from act_inference_ros.ros.policy.outlets import make_outlet
from act_inference_ros.ros.policy.state_log import StateLog
from act_inference_ros.ros.policy.status import status_message
from act_inference_ros.ros.policy.worker import InferenceWorker
from act_inference_ros.spec import Chunk, shown_id

SENSOR_QOS = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
REST_S = 0.5
"""How long the way to rest may take when commanding ends; simulated time may stand still."""
ACKNOWLEDGE_S = 0.1
"""How long the last command may take to be acknowledged when commanding ends."""


class PolicySession:
    """A configured policy on `node`; what it may command is decided by the pipeline's supervisor.

    `on_fault` is called with what nobody foresaw, from whatever thread it happened in, after every controller was told
    to hold; `on_change` whenever the state has changed.
    """

    def __init__(
        self,
        node: Node,
        configuration: RobotConfiguration,
        client: InferenceClient,
        on_fault: Callable[[Exception], None],
        on_change: Callable[[], None],
    ) -> None:
        self.configuration = configuration
        self._node = node
        self._client = client
        self._on_fault = on_fault
        self._on_change = on_change
        self._log = StateLog(node.get_logger())
        self._worker: InferenceWorker | None = None
        self._check: ControllerCheck | None = None
        self._states: ControllerStates | None = None
        self._subscriptions: list[Any] = []
        self._timer: Any = None
        self._ticked = time.monotonic()
        self._outlets: dict[str, Outlet] = {}
        # Tried now: whether cv_bridge works takes most of a second to find out, too long once images come.
        optional.cv_bridge()
        self._inputs = bind_inputs(configuration, client.spec, client.takes_jpeg)
        self._chunk_publisher = node.create_publisher(JointTrajectory, "~/action_chunk", 10)
        try:
            commanders = [self._make_commander(controller) for controller in configuration.controllers]
        except BaseException:
            self._destroy_outlets()
            raise
        self._lock = threading.Lock()
        """Guards the pipeline: the executor fills and ticks it, the worker takes from it and adds chunks."""
        self._pipeline = Pipeline(
            configuration,
            self._inputs,
            commanders,
            closed_loop=not configuration.shadow,
            warm_up_s=client.warm_up_s,
        )
        self._graph = CommandGraph(node, self._outlets)

    @property
    def active(self) -> bool:
        """Between activate and stop."""
        return self._worker is not None

    def activate(self) -> None:
        """Subscribe, infer, command."""
        with self._lock:
            self._pipeline.supervisor.activate(self._now())
        worker = InferenceWorker(
            self._lock,
            self._pipeline,
            self._inputs,
            self._client,
            self._now,
            self._flush,
            self._publish_chunk,
            self._on_worker_fault,
        )
        self._worker = worker
        self._ticked = time.monotonic()
        self._subscribe(worker)
        if not self.configuration.shadow:
            self._states = ControllerStates(self._node, self.configuration, self._on_controller_state)
            self._check = ControllerCheck(self._node, self.configuration, self._on_shown)
        self._timer = self._node.create_timer(self.configuration.tick_period_s, self._tick)
        with self._deciding() as now:  # before the first chunk: what was known of listeners may be old
            for heard in self._graph.look():
                self._pipeline.supervisor.heard(*heard, now)
        worker.start()
        inputs = ", ".join(subscription.topic_name for subscription in self._subscriptions)
        self._node.get_logger().info(f"active: waiting for {inputs}")

    def stop(self, reason: str) -> None:
        """Hold and command no more; returns when the controllers have the last command (or after ACKNOWLEDGE_S).

        Safe from any thread.
        """
        try:
            self._come_to_rest(reason)
            with self._deciding() as now:
                self._pipeline.supervisor.deactivate(now, reason)
        finally:
            worker, self._worker = self._worker, None
            if worker is not None:
                # An inference in flight may take seconds; its chunk is of an old generation and will be dropped.
                worker.stop(timeout=0.0)
        for outlet in self._outlets.values():
            outlet.settle(ACKNOWLEDGE_S)

    def _come_to_rest(self, reason: str) -> None:
        """End the motion; what streams are told of the way to rest is sent from here, since no tick may come."""
        with self._deciding() as now:
            unfinished = self._pipeline.supervisor.brake(now, reason)
        until = time.monotonic() + REST_S
        while unfinished and time.monotonic() < until:
            time.sleep(self.configuration.tick_period_s)
            with self._deciding() as now:
                unfinished = self._pipeline.supervisor.finish(now)

    def deactivate(self) -> None:
        """Stop, and let go of the inputs, whatever goes wrong."""
        try:
            self.stop("")
        finally:
            self._let_go()

    def _let_go(self) -> None:
        if self._check is not None:
            self._check.close()
        if self._states is not None:
            self._states.close()
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
        try:
            self.deactivate()
        finally:
            self.close_client()
            self._destroy_outlets()

    def ask(self, request: str) -> Answer:
        """Ask the operator's `request` (the name of a method of `execution.operator.Operator`)."""
        with self._deciding() as now:
            operator = self._pipeline.operator
            if request == "go_to_start":
                answer = operator.go_to_start(self.configuration.start_pose, now)
            else:
                answer = getattr(operator, request)(now)
        self._on_change()
        return answer

    def apply(self, configuration: RobotConfiguration) -> None:
        """Take the live parameters of a changed configuration.

        Raises ConfigurationError for a limit that would be wider than the one that the arm is moving under.
        """
        with self._deciding() as now:
            moving = self._pipeline.supervisor.state is State.COMMANDING
            wider = self.configuration.wider_limits(configuration) if moving else []
            if not wider:
                self.configuration = configuration
                self._pipeline.configure(configuration, now)
        if wider:
            raise ConfigurationError(f"while commanding limits only tighten; ~/pause first: {', '.join(wider)}")
        if self._timer is not None:
            self._timer.timer_period_ns = round(self.configuration.tick_period_s * 1e9)

    def diagnose(self, report: DiagnosticReport, stamp: Time, period_s: float) -> DiagnosticArray:
        """Report what happened in the last `period_s`."""
        with self._lock:
            findings = {} if self._check is None else self._check.findings
            states = {} if self._states is None else self._states.report()
            return report.active(
                stamp,
                period_s,
                self.configuration,
                self._client,
                self._pipeline,
                self._inputs,
                findings,
                states,
                {name: outlet.outcome for name, outlet in self._outlets.items()},
                self._now(),
            )

    def status(self, name: str) -> Any:
        """Return the message for `~/status`."""
        with self._lock:
            still_s = time.monotonic() - self._ticked if self.active else 0.0
            return status_message(name, self._pipeline.supervisor, shown_id(self._client.policy_id), still_s)

    @contextlib.contextmanager
    def _deciding(self) -> Iterator[float]:
        """Hold the lock and give the time; afterwards what the controllers were told is published, come what may.

        What nobody foresaw goes on its way, but no controller is left moving on an old plan.
        """
        try:
            with self._lock:
                now = self._now()
                try:
                    yield now
                except Exception as error:
                    self._pipeline.supervisor.fault(now, error)
                    raise
        finally:
            self._flush()

    def _now(self) -> float:
        """ROS time (simulated where use_sim_time says so), s."""
        return float(self._node.get_clock().now().nanoseconds) * 1e-9

    def _make_commander(self, controller: Controller) -> Commander:
        outlet = make_outlet(self._node, controller, self.configuration.shadow)
        self._outlets[controller.name] = outlet
        return make_commander(controller, self.configuration, outlet.send)

    def _destroy_outlets(self) -> None:
        for outlet in self._outlets.values():
            outlet.destroy(self._node)
        self._node.destroy_publisher(self._chunk_publisher)

    def _flush(self) -> None:
        """Publish what the controllers were told. Raises what publishing one raised, after the others were told."""
        failed: Exception | None = None
        for outlet in self._outlets.values():
            try:
                outlet.flush()
            except Exception as error:
                failed = failed or error
        if failed is not None:
            with self._lock:
                self._pipeline.supervisor.fault(self._now(), failed, unsent=True)
            for outlet in self._outlets.values():
                with contextlib.suppress(Exception):
                    outlet.flush()
            raise failed

    def _subscribe(self, worker: InferenceWorker) -> None:
        wanted: list[tuple[Any, str, Any]] = [(JointState, self.configuration.state_topic, self._on_state)]
        for camera in self.configuration.cameras:
            callback = functools.partial(self._on_image, worker, camera.name)
            wanted.append((message_class(TRANSPORTS[camera.transport]), camera.topic, callback))
        if self._client.spec.environment_state_dim is not None:
            topic = self.configuration.environment_state_topic
            wanted.append((Float64MultiArray, topic, self._on_environment_state))
        self._subscriptions = [self._node.create_subscription(*each, SENSOR_QOS) for each in wanted]
        if self.configuration.enable_topic:
            reliable = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE)
            enabling = self._node.create_subscription(Bool, self.configuration.enable_topic, self._on_enable, reliable)
            self._subscriptions.append(enabling)

    def _on_image(self, worker: InferenceWorker, camera: str, message: Any) -> None:
        with self._deciding() as now:
            self._pipeline.image(camera, message, now)
        worker.notify()

    def _on_state(self, message: JointState) -> None:
        with self._deciding() as now:
            self._pipeline.state(message, now)

    def _on_environment_state(self, message: Float64MultiArray) -> None:
        with self._deciding() as now:
            self._pipeline.environment_state(message, now)

    def _on_shown(self, controller: str, forbids: str | None, fills_speed: bool) -> None:
        if fills_speed and self._states is not None:
            self._states.fills_speed(controller)
        with self._lock:
            self._pipeline.supervisor.overlap.shown(controller, forbids)

    def _on_controller_state(self, controller: str, state: ControllerState) -> None:
        with self._deciding() as now:
            self._pipeline.controller_state(controller, state, now)

    def _on_enable(self, message: Bool) -> None:
        with self._deciding() as now:
            self._pipeline.supervisor.enable(message.data, now)

    def _tick(self) -> None:
        self._ticked = time.monotonic()
        around = list(self._graph.look())  # not under the lock: it takes a while
        offers = [] if self._states is None else list(self._states.look())
        with self._deciding() as now:
            for heard in around:
                self._pipeline.supervisor.heard(*heard, now)
            for controller, offered in offers:
                self._pipeline.supervisor.overlap.offers(controller, offered)
            self._pipeline.tick(now)
            standing = self._pipeline.supervisor.standing
        if self._log.tell(standing):
            self._on_change()
        if self._check is not None:
            self._check.look()

    def _publish_chunk(self, chunk: Chunk, t_obs: float) -> None:
        message = JointTrajectory(joint_names=list(self.configuration.action.names))
        message.header.stamp = stamp(make_message, t_obs)
        message.points = [
            JointTrajectoryPoint(positions=row, time_from_start=duration(make_message, i / self.configuration.fps))
            for i, row in enumerate(chunk.astype(float).tolist())
        ]
        self._chunk_publisher.publish(message)

    def _on_worker_fault(self, fault: Exception) -> None:
        """Nothing unforeseen may leave the arm moving on an old plan, nor the node going on half."""
        with self._lock:
            self._pipeline.supervisor.fault(self._now(), fault)
            self._pipeline.statistics.failed(fault)
        with contextlib.suppress(Exception):
            self._flush()
        self._on_fault(fault)
        self._node.get_logger().error(f"inference thread: {''.join(traceback.format_exception(fault))}")
        self._on_change()
