"""PolicySession: everything between configure and cleanup: client, pipeline, topics, timers, inference thread."""

from __future__ import annotations

import contextlib
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from typing import Any

from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.node import Node
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from act_inference_ros.control.limiter.braking import LONGEST_BRAKING_S
from act_inference_ros.errors import ConfigurationError
from act_inference_ros.execution.controller_state import ControllerState
from act_inference_ros.execution.pipeline import Pipeline
from act_inference_ros.execution.states import Answer, Standing, State
from act_inference_ros.inference.client import InferenceClient
from act_inference_ros.interfaces import duration, stamp
from act_inference_ros.observation import optional
from act_inference_ros.observation.binding import bind_inputs
from act_inference_ros.program.scheduling import give_priority
from act_inference_ros.robot.configuration import RobotConfiguration
from act_inference_ros.ros.messages import make_message
from act_inference_ros.ros.policy.black_box import BlackBox
from act_inference_ros.ros.policy.clock_watch import ClockWatch
from act_inference_ros.ros.policy.command_graph import CommandGraph
from act_inference_ros.ros.policy.controller_check import ControllerCheck
from act_inference_ros.ros.policy.controller_states import ControllerStates
from act_inference_ros.ros.policy.diagnostics import DiagnosticReport, policy_values
from act_inference_ros.ros.policy.input_graph import InputGraph, expected_inputs
from act_inference_ros.ros.policy.input_subscriptions import ENABLING_QOS, SENSOR_QOS, InputSubscriptions
from act_inference_ros.ros.policy.outgoing import Outgoing
from act_inference_ros.ros.policy.state_log import StateLog
from act_inference_ros.ros.policy.status import status_message
from act_inference_ros.ros.policy.worker import InferenceWorker
from act_inference_ros.spec import Chunk, shown_id

REST_S = 0.5
"""When commanding ends, the braking is waited for; but only so long (wall time) while the clock stands still."""
FLUSHES = 3
"""Commands that replace late ones are published at once, at most this often in a row; after that, at the next event."""


class PolicySession:
    """A configured policy on `node`; the pipeline's supervisor decides what it may command.

    `on_fault` is called with an unforeseen error, from the thread in which it happened, after every controller was told
    to hold. `on_change` is called whenever the state has changed.
    """

    def __init__(
        self,
        node: Node,
        configuration: RobotConfiguration,
        client: InferenceClient,
        on_fault: Callable[[Exception], None],
        on_change: Callable[[], None],
        black_box: BlackBox | None = None,
    ) -> None:
        self.configuration = configuration
        self._node = node
        self._client = client
        self._on_fault = on_fault
        self._on_change = on_change
        self.black_box = black_box or BlackBox()
        self._log = StateLog(node.get_logger())
        self._worker: InferenceWorker | None = None
        self._check: ControllerCheck | None = None
        self._states: ControllerStates | None = None
        self._subscriptions: InputSubscriptions | None = None
        self._timer: Any = None
        self._clock = ClockWatch(node)
        # Tried now: the test whether cv_bridge works takes most of a second, too long once images come.
        optional.cv_bridge()
        self._inputs = bind_inputs(configuration, client.spec, client.takes_jpeg)
        self._chunk_publisher = node.create_publisher(JointTrajectory, "~/action_chunk", 10)
        try:
            self._outgoing = Outgoing(node, configuration, self.black_box, self._now)
        except BaseException:
            node.destroy_publisher(self._chunk_publisher)
            raise
        self._lock = threading.Lock()
        """Guards the pipeline: the executor fills and ticks it, the worker takes from it and adds chunks."""
        self._pipeline = Pipeline(
            configuration,
            self._inputs,
            self._outgoing.commanders,
            closed_loop=not configuration.shadow,
            warm_up_s=client.warm_up_s,
        )
        self._graph = CommandGraph(node, self._outgoing.outlets)
        self._input_graph = InputGraph(node, expected_inputs(configuration, SENSOR_QOS, ENABLING_QOS))

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
            self.black_box,
        )
        self._worker = worker
        self._clock.ticked()
        self._subscriptions = InputSubscriptions(
            self._node,
            self.configuration,
            self._pipeline,
            self._deciding,
            worker.notify,
            self.black_box,
            environment=self._client.spec.environment_state_dim is not None,
        )
        if not self.configuration.shadow:
            note = self.black_box.message
            self._states = ControllerStates(self._node, self.configuration, self._on_controller_state, note)
            self._check = ControllerCheck(self._node, self.configuration, self._on_shown)
        self._timer = self._node.create_timer(self.configuration.tick_period_s, self._tick)
        with self._deciding() as now:  # before the first chunk: the known listeners may be out of date
            for heard in self._graph.look():
                self._pipeline.supervisor.heard(*heard, now)
        worker.start()
        give_priority(self.configuration.thread_priority)  # to the new threads
        self._node.get_logger().info(f"active: waiting for {', '.join(self._subscriptions.topics)}")

    def stop(self, reason: str) -> None:
        """Hold and stop commanding; returns when the controllers have the last command, or after ACKNOWLEDGE_S.

        Safe from any thread. ACKNOWLEDGE_S is that of `outgoing`.
        """
        try:
            self._come_to_rest(reason)
            with self._deciding() as now:
                self._pipeline.supervisor.deactivate(now, reason)
                standing = self._pipeline.supervisor.standing
            self._log.tell(standing, at_once=True)
        finally:
            worker, self._worker = self._worker, None
            if worker is not None:
                # An inference in progress may take seconds; its chunk is of an old generation and will be dropped.
                worker.stop(timeout=0.0)
        self._outgoing.settle()

    def wait_until_taken(self) -> None:
        """Give the controllers' programs a moment to take the last command, before its publishers are destroyed."""
        self._outgoing.wait_until_taken()

    def _come_to_rest(self, reason: str) -> None:
        """End the motion; this method sends the braking targets of streams, since no further tick may come."""
        with self._deciding() as now:
            self._pipeline.supervisor.brake(now, reason)
        end = time.monotonic() + LONGEST_BRAKING_S
        newest, until = now, time.monotonic() + REST_S
        while self._pipeline.supervisor.unfinished and time.monotonic() < min(until, end):
            time.sleep(self.configuration.tick_period_s)
            with self._deciding() as now:
                self._pipeline.supervisor.finish(now)
            if now > newest:
                newest, until = now, time.monotonic() + REST_S

    def deactivate(self) -> None:
        """Stop, and release the inputs even if stopping fails."""
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
        if self._subscriptions is not None:
            self._subscriptions.close()

    def close_client(self) -> None:
        """Release the client; may wait for a chunk that is being computed."""
        self._client.close()

    def close(self) -> None:
        """Release everything."""
        try:
            self.deactivate()
        finally:
            self.close_client()
            self.wait_until_taken()
            self._outgoing.destroy()
            self._node.destroy_publisher(self._chunk_publisher)
            self.black_box.close()

    def ask(self, request: str) -> Answer:
        """Carry out the operator's `request` (the name of a method of `execution.operator.Operator`)."""
        with self._deciding() as now:
            operator = self._pipeline.operator
            if request == "go_to_start":
                answer = operator.go_to_start(self.configuration.start_pose, now)
            else:
                answer = getattr(operator, request)(now)
        self._on_change()
        return answer

    def apply(self, configuration: RobotConfiguration) -> None:
        """Apply the live parameters of a changed configuration.

        Raises ConfigurationError for a limit that would become wider while the arm moves.
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

    def diagnose(self, report: DiagnosticReport, stamp: Time, failure: Exception | None = None) -> DiagnosticArray:
        """Report what happened since the last report; `failure` is why the node could not be activated."""
        if not self.active:
            policy = policy_values(self.configuration, self._client)
            return report.idle(stamp, State.INACTIVE.value, failure, policy)
        with self._lock:
            findings = {} if self._check is None else self._check.findings
            states = {} if self._states is None else self._states.report()
            return report.active(
                stamp,
                self.configuration,
                self._client,
                self._standing,
                self._pipeline,
                self._inputs,
                findings,
                states,
                self._outgoing.outcomes(),
                self._now(),
            )

    def statuses(self, name: str) -> list[Any]:
        """Return the messages for `~/status`: of the states that have ended since the last time, and of this one."""
        self._input_graph.look(self._pipeline.supervisor.standing)  # not under the lock
        with self._lock:
            standing = self._standing
            still_s = self._clock.still_s if self.active else 0.0
            policy_id, shadow = shown_id(self._client.policy_id), self.configuration.shadow
            supervisor = self._pipeline.supervisor
            told = [*supervisor.passed(), standing]
            messages = [status_message(name, each, supervisor, policy_id, still_s, shadow) for each in told]
        self._log.tell(standing)  # there are no ticks while the clock stands still
        for message in messages:
            self.black_box.message(f"{name}/status", message)
        return messages

    @property
    def _standing(self) -> Standing:
        standing = self._pipeline.supervisor.standing
        return self._clock.told(self._input_graph.told(standing)) if self.active else standing

    @contextlib.contextmanager
    def _deciding(self) -> Iterator[float]:
        """Hold the lock and give the time; afterwards publish the commands, even after an error.

        Before an unforeseen error is raised again, every controller is told to hold, so that none follows an old plan.
        """
        try:
            with self._lock:
                now = self._now()
                try:
                    yield now
                except Exception as error:
                    self._pipeline.supervisor.fault(now, error)
                    self.black_box.stands(self._pipeline.supervisor.standing, now)
                    raise
        finally:
            self._flush()

    def _now(self) -> float:
        """Return the ROS time (simulated with use_sim_time), s."""
        return float(self._node.get_clock().now().nanoseconds) * 1e-9

    def _flush(self) -> None:
        """Publish the commands; those that are too late are given back to the supervisor, which makes others."""
        self._publish()
        for _ in range(FLUSHES):
            if not self._outgoing.is_late:
                return
            with self._lock:
                now = self._now()
                for controller, late in self._outgoing.take_late():
                    self._pipeline.supervisor.not_published(controller, late, now)
            self._publish()

    def _publish(self) -> None:
        try:
            self._outgoing.publish()
        except Exception as failed:
            with self._lock:
                self._pipeline.supervisor.fault(self._now(), failed, unsent=True)
                self.black_box.stands(self._pipeline.supervisor.standing, self._now())
            self._outgoing.publish_what_can_be()
            raise

    def _on_shown(self, controller: str, forbids: str | None, fills_speed: bool) -> None:
        if fills_speed and self._states is not None:
            self._states.fills_speed(controller)
        with self._lock:
            self._pipeline.supervisor.overlap.shown(controller, forbids)

    def _on_controller_state(self, controller: str, state: ControllerState) -> None:
        with self._deciding() as now:
            self._pipeline.controller_state(controller, state, now)

    def _tick(self) -> None:
        self._clock.ticked()
        around = list(self._graph.look())  # not under the lock: it takes a while
        offers = [] if self._states is None else list(self._states.look())
        with self._deciding() as now:
            for heard in around:
                self._pipeline.supervisor.heard(*heard, now)
            for controller, offered in offers:
                self._pipeline.supervisor.overlap.offers(controller, offered)
            self._pipeline.tick(now)
            standing = self._pipeline.supervisor.standing
        self._input_graph.look(standing, again=False)
        if self._log.tell(self._input_graph.told(standing)):
            self._on_change()
        self.black_box.stands(standing, now)
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
        self.black_box.message(self._chunk_publisher.topic_name, message)

    def _on_worker_fault(self, fault: Exception) -> None:
        """Stop the arm and report the unforeseen error, so that neither the arm nor the node continues."""
        with self._lock:
            self._pipeline.supervisor.fault(self._now(), fault)
            self._pipeline.statistics.failed(fault)
            self.black_box.stands(self._pipeline.supervisor.standing, self._now())
        with contextlib.suppress(Exception):
            self._flush()
        self._on_fault(fault)
        self._node.get_logger().error(f"inference thread: {''.join(traceback.format_exception(fault))}")
        self._on_change()
