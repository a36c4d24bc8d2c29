"""policy_node: camera images and joint states in, commands out, as a managed (lifecycle) node."""

from __future__ import annotations

import functools
import signal
import sys
import threading
import traceback
from typing import Any

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rcl_interfaces.msg import SetParametersResult
from rclpy.clock import Clock, ClockType
from rclpy.duration import Duration
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.lifecycle import LifecycleNode, State, TransitionCallbackReturn
from rclpy.parameter import Parameter as RosParameter
from rclpy.publisher import Publisher
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CompressedImage, Image, JointState
from std_msgs.msg import Float64MultiArray
from std_srvs.srv import Trigger
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from act_inference_ros.configuration import RobotConfiguration
from act_inference_ros.control.limits import TargetLimiter
from act_inference_ros.errors import ActInferenceError
from act_inference_ros.inference.client import InferenceClient
from act_inference_ros.observation.inputs import CameraOptions, ObservationInputs
from act_inference_ros.parameters import PARAMETERS
from act_inference_ros.ros import parameters
from act_inference_ros.ros.arm import Arm
from act_inference_ros.ros.command_line import FAULT, MISTAKE, initialise, readable_ros_errors, table
from act_inference_ros.ros.commands import MESSAGE_TYPES, duration_message, make_commander, stamp_message
from act_inference_ros.ros.diagnostics import DiagnosticReport
from act_inference_ros.ros.statistics import Statistics
from act_inference_ros.ros.worker import InferenceWorker
from act_inference_ros.spec import Chunk

NODE_NAME = "policy_node"
SENSOR_QOS = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
COMMAND_QOS = QoSProfile(depth=10, reliability=ReliabilityPolicy.RELIABLE)
DIAGNOSTICS_PERIOD_S = 1.0
WATCH_PERIOD_S = 0.02
"""How often a node without streaming controllers looks whether the arm must hold."""
ACKNOWLEDGE_S = 0.1
"""How long the last command may take to be acknowledged when commanding ends."""

STOP_SIGNALS = {signal.SIGINT, signal.SIGTERM}
LOOK_S = 0.2
"""How often the main thread looks whether the executor has ended by itself."""
EXIT_S = 1.0
"""How long the executor may take to end; a policy being loaded takes longer and is left behind."""

IMAGE_TYPES = {"raw": Image, "compressed": CompressedImage}


class PolicyNode(LifecycleNode):
    """The node; what it may command is decided by `Arm`, which one lock guards.

    `failure` is set when configure refuses: the one message that says why.
    """

    def __init__(self, **node_options: Any) -> None:
        super().__init__(NODE_NAME, automatically_declare_parameters_from_overrides=True, **node_options)
        self.failure: Exception | None = None
        self._arm: Arm | None = None
        self._worker: InferenceWorker | None = None
        self._told = ""
        parameters.declare(self)
        self._report = DiagnosticReport(self.get_fully_qualified_name())
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        # Wall time: a simulation's clock that stands still is worth a diagnosis, too.
        self.create_timer(DIAGNOSTICS_PERIOD_S, self._diagnose, clock=Clock(clock_type=ClockType.STEADY_TIME))
        self.create_service(Trigger, "~/reset", self._reset)
        self.add_on_set_parameters_callback(self._on_set_parameters)

    def now(self) -> float:
        """ROS time (simulated where use_sim_time says so), s."""
        return float(self.get_clock().now().nanoseconds) * 1e-9

    # Lifecycle

    def on_configure(self, state: State) -> TransitionCallbackReturn:
        """Read the parameters, make the client, check that parameters and policy fit each other."""
        try:
            self._configure()
        except ActInferenceError as refusal:
            self.failure = refusal
            self.get_logger().error(f"configure refused: {refusal}")
            return TransitionCallbackReturn.FAILURE
        except Exception as fault:  # rclpy would swallow it
            self.failure = fault
            self.get_logger().error(f"configure failed:\n{traceback.format_exc()}")
            return TransitionCallbackReturn.FAILURE
        return TransitionCallbackReturn.SUCCESS

    def on_activate(self, state: State) -> TransitionCallbackReturn:
        """Subscribe, infer, command."""
        assert self._arm is not None
        with self._arm.lock:
            self._arm.activate()
        self._worker = InferenceWorker(
            self._arm, self._client, self._statistics, self.now, self._publish_chunk, self._on_worker_fault
        )
        self._worker.inference_rate = self._configuration.inference_rate
        self._subscribe(self._worker)
        self._tick_timer = self.create_timer(self._tick_period(), self._tick)
        self._worker.start()
        self.get_logger().info(f"active: waiting for {', '.join(self._arm.inputs.ages(self.now()))}")
        return super().on_activate(state)

    def on_deactivate(self, state: State) -> TransitionCallbackReturn:
        """Stop commanding at once and hold."""
        self.stop_commanding("inactive")
        self.destroy_timer(self._tick_timer)
        for subscription in self._inputs_subscribed:
            self.destroy_subscription(subscription)
        return super().on_deactivate(state)

    def on_cleanup(self, state: State) -> TransitionCallbackReturn:
        """Release the client and the command topics."""
        self._release()
        return TransitionCallbackReturn.SUCCESS

    def on_shutdown(self, state: State) -> TransitionCallbackReturn:
        """Hold, then release everything."""
        self.stop_commanding("shutting down")
        self._release()
        return TransitionCallbackReturn.SUCCESS

    def stop_commanding(self, reason: str) -> None:
        """Hold and command no more; returns when the controllers have the last command (or after ACKNOWLEDGE_S).

        Safe from any thread, and in any state.
        """
        if self._arm is None:
            return
        with self._arm.lock:
            self._arm.hold(self.now(), reason)
            self._arm.forget(reason)
        if self._worker is not None:
            # An inference in flight may take seconds; its chunk is of an old generation and will be dropped.
            self._worker.stop(timeout=0.0)
            self._worker = None
        for publisher in self._command_publishers:
            publisher.wait_for_all_acked(Duration(seconds=ACKNOWLEDGE_S))

    @property
    def starts_by_itself(self) -> bool:
        """Nobody else manages this node's lifecycle."""
        return bool(self.get_parameter("autostart").value)

    def start(self) -> bool:
        """Configure and activate; False if that was refused."""
        succeeded = TransitionCallbackReturn.SUCCESS
        return bool(self.trigger_configure() == succeeded and self.trigger_activate() == succeeded)

    # Configure

    def _configure(self) -> None:
        parameters.declare(self)
        configuration = RobotConfiguration.from_parameters(parameters.given(self))
        client = InferenceClient.create(
            mode=configuration.mode,
            checkpoint=configuration.checkpoint,
            device=configuration.device,
            precision=configuration.precision,
            compile=configuration.compile,
            server=configuration.server,
            model=configuration.model,
        )
        try:
            configuration.check_fits(client.spec)
        except ActInferenceError:
            client.close()
            raise
        self._configuration, self._client = configuration, client
        self._statistics = Statistics()
        self._command_publishers: list[Publisher] = []
        self._arm = Arm(
            configuration, self._make_inputs(), [self._make_commander(c) for c in configuration.controllers]
        )
        self._chunk_publisher = self.create_publisher(JointTrajectory, "~/action_chunk", 10)
        unlimited = TargetLimiter(configuration.action.joints).unlimited_joints
        if unlimited:
            self.get_logger().warning(f"no position limits for {', '.join(unlimited)}: give joint.<joint>.min and .max")
        self.failure = None

    def _make_inputs(self) -> ObservationInputs:
        configuration = self._configuration
        return ObservationInputs(
            spec=self._client.spec,
            state=configuration.state,
            cameras={camera.name: CameraOptions(camera.transport) for camera in configuration.cameras},
            max_age=configuration.max_age,
            max_skew=configuration.max_skew,
            stamps=configuration.stamps,
            resize=configuration.resize,
        )

    def _make_commander(self, controller: Any) -> Any:
        publisher = self.create_publisher(MESSAGE_TYPES[controller.interface], controller.topic, COMMAND_QOS)
        self._command_publishers.append(publisher)
        return make_commander(controller, self._configuration, publisher)

    def _release(self) -> None:
        if self._arm is None:
            return
        self._arm = None
        self._client.close()
        for publisher in (*self._command_publishers, self._chunk_publisher):
            self.destroy_publisher(publisher)
        self._command_publishers = []

    # Inputs

    def _subscribe(self, worker: InferenceWorker) -> None:
        configuration = self._configuration
        self._inputs_subscribed = [
            self.create_subscription(JointState, configuration.state_topic, self._on_state, SENSOR_QOS)
        ]
        for camera in configuration.cameras:
            callback = functools.partial(self._on_image, worker, camera.name)
            self._inputs_subscribed.append(
                self.create_subscription(IMAGE_TYPES[camera.transport], camera.topic, callback, SENSOR_QOS)
            )
        if self._client.spec.environment_state_dim is not None:
            self._inputs_subscribed.append(
                self.create_subscription(
                    Float64MultiArray, configuration.environment_state_topic, self._on_environment_state, SENSOR_QOS
                )
            )

    def _on_image(self, worker: InferenceWorker, camera: str, message: Any) -> None:
        assert self._arm is not None
        with self._arm.lock:
            self._arm.inputs.add_image(camera, message, self.now())
        worker.notify()

    def _on_state(self, message: JointState) -> None:
        assert self._arm is not None
        with self._arm.lock:
            self._arm.measure(message.name, message.position)
            self._arm.inputs.add_state(message, self.now())

    def _on_environment_state(self, message: Float64MultiArray) -> None:
        assert self._arm is not None
        with self._arm.lock:
            self._arm.inputs.add_environment_state(message, self.now())

    # Outputs

    def _tick_period(self) -> float:
        assert self._arm is not None
        return 1.0 / self._configuration.command_rate if self._arm.streams else WATCH_PERIOD_S

    def _tick(self) -> None:
        assert self._arm is not None
        with self._arm.lock:
            self._arm.tick(self.now())
            holding, detail = self._arm.holding, self._arm.detail
        if holding == self._told:
            return
        self._told = holding or ""
        if holding is None:
            self.get_logger().info("commanding")
        else:
            self.get_logger().warning(f"holding: {holding} {detail}", throttle_duration_sec=1.0)

    def _publish_chunk(self, chunk: Chunk, t_obs: float) -> None:
        step = 1.0 / self._configuration.fps
        message = JointTrajectory(joint_names=list(self._configuration.action.names))
        message.header.stamp = stamp_message(t_obs)
        message.points = [
            JointTrajectoryPoint(positions=row.tolist(), time_from_start=duration_message(i * step))
            for i, row in enumerate(chunk.astype(float))
        ]
        self._chunk_publisher.publish(message)

    def _on_worker_fault(self, fault: Exception) -> None:
        """Nothing unforeseen may leave the arm moving on an old plan."""
        self.get_logger().error(f"inference thread: {''.join(traceback.format_exception(fault))}")
        if self._arm is not None:
            with self._arm.lock:
                self._statistics.failed(fault)
                self._arm.hold(self.now(), "internal fault", f"{type(fault).__name__}: {fault}")

    def _diagnose(self) -> None:
        stamp = self.get_clock().now().to_msg()
        arm = self._arm
        if arm is None or self._worker is None:
            state = "unconfigured" if arm is None else "inactive"
            self._diagnostics.publish(self._report.idle(stamp, state))
            return
        with arm.lock:
            report = self._report.active(
                stamp, DIAGNOSTICS_PERIOD_S, self._configuration, arm, self._statistics, self.now()
            )
        self._diagnostics.publish(report)

    # Services and parameters

    def _reset(self, _request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        """Forget the plan between episodes."""
        if self._arm is not None and self._worker is not None:
            with self._arm.lock:
                self._arm.hold(self.now(), "reset")
                self._arm.forget("reset")
        response.success, response.message = True, "the plan is forgotten"
        return response

    def _on_set_parameters(self, changes: list[RosParameter]) -> SetParametersResult:
        values = parameters.given(self) | {change.name: change.value for change in changes}
        if self._arm is None:
            return SetParametersResult(successful=True)  # configure will check everything together
        fixed = {change.name for change in changes} & set(parameters.given(self)) - parameters.live_names(values)
        if fixed:
            reason = f"{', '.join(sorted(fixed))}: read at configure; deactivate and clean up first"
            return SetParametersResult(successful=False, reason=reason)
        try:
            self._configuration = RobotConfiguration.from_parameters(values)
        except ActInferenceError as refusal:
            return SetParametersResult(successful=False, reason=str(refusal))
        with self._arm.lock:
            self._arm.configure(self._configuration)
        if self._worker is not None:
            self._worker.inference_rate = self._configuration.inference_rate
            self._tick_timer.timer_period_ns = round(self._tick_period() * 1e9)
        return SetParametersResult(successful=True)


_DESCRIPTION = """\
Runs a trained ACT policy (LeRobot checkpoint) on a robot: camera images and joint states in, arm commands out.

listens to  each camera's topic, state.topic
publishes   each controller's topic, ~/action_chunk (JointTrajectory in the policy's units), /diagnostics
offers      ~/reset (std_srvs/Trigger): forget the plan, as between episodes; lifecycle transitions
"""


def main(args: list[str] | None = None) -> int:
    """Run policy_node until it is told to stop; returns the exit status."""
    # Blocked here, before any thread exists, so that sigtimedwait gets them whatever the executor is doing.
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    try:
        initialise([NODE_NAME, *(sys.argv[1:] if args is None else args)], _DESCRIPTION, _parameters_help())
        with readable_ros_errors():
            node = PolicyNode()
        return _run(node)
    except ActInferenceError as mistake:
        print(f"{NODE_NAME}: {mistake}", file=sys.stderr)
        return MISTAKE
    finally:
        rclpy.try_shutdown()


def _run(node: PolicyNode) -> int:
    """Spin in another thread, so that nothing the executor does delays the answer to a signal."""
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    faults: list[BaseException] = []
    over = threading.Event()

    def spin() -> None:
        try:
            if node.starts_by_itself and not node.start():
                return
            executor.spin()
        except ExternalShutdownException:
            pass
        except BaseException as fault:
            faults.append(fault)
            traceback.print_exception(fault)
        finally:
            over.set()

    thread = threading.Thread(target=spin, name="executor", daemon=True)
    thread.start()
    while not over.is_set() and signal.sigtimedwait(STOP_SIGNALS, LOOK_S) is None:
        pass
    node.stop_commanding("shutting down")
    executor.shutdown(timeout_sec=0.0)
    thread.join(EXIT_S)
    if node.failure is not None and node.starts_by_itself:
        if isinstance(node.failure, ActInferenceError):
            raise node.failure
        return FAULT
    return FAULT if faults else 0


def _parameters_help() -> str:
    return table([(f"{p.name}:={_yaml(p.default)}", p.description) for p in PARAMETERS])


def _yaml(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


if __name__ == "__main__":
    sys.exit(main())
