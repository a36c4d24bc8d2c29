"""policy_node: camera images and joint states in, commands out, as a managed (lifecycle) node."""

from __future__ import annotations

import contextlib
import functools
import os
import sys
import threading
import time
import traceback
from typing import Any

import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rcl_interfaces.msg import SetParametersResult
from rclpy.clock import Clock, ClockType
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.lifecycle import LifecycleNode, State, TransitionCallbackReturn
from rclpy.parameter import Parameter as RosParameter
from std_srvs.srv import Trigger

from act_inference_ros.errors import ActInferenceError
from act_inference_ros.execution.operator import REQUESTS as OPERATOR_REQUESTS
from act_inference_ros.execution.plan_age import check_plan_age
from act_inference_ros.execution.states import Answer
from act_inference_ros.inference.client import InferenceClient
from act_inference_ros.program.exit_status import FAULT, MISTAKE, OK
from act_inference_ros.program.signals import StopSignals
from act_inference_ros.robot.configuration import RobotConfiguration
from act_inference_ros.robot.parameters import PARAMETERS
from act_inference_ros.ros import declared_parameters as parameters
from act_inference_ros.ros.command_line import initialise, readable_ros_errors
from act_inference_ros.ros.policy.description import published_description
from act_inference_ros.ros.policy.diagnostics import DiagnosticReport
from act_inference_ros.ros.policy.session import PolicySession
from act_inference_ros.ros.policy.status import PERIOD_S as STATUS_PERIOD_S
from act_inference_ros.ros.policy.status import STATUS_QOS, status_message

NODE_NAME = "policy_node"
DIAGNOSTICS_PERIOD_S = 1.0

LOOK_S = 0.2
"""How often the main thread looks whether the executor has ended by itself."""
EXIT_S = 1.0
"""How long the threads of the node may take to end, all together; what takes longer ends with the process."""


class PolicyNode(LifecycleNode):  # type: ignore[misc]  # rclpy is untyped
    """The managed node.

    `failure` is set when a transition is refused: the one error that says why. `ending`: told to end by `end`.
    """

    def __init__(self, **node_options: Any) -> None:
        super().__init__(NODE_NAME, automatically_declare_parameters_from_overrides=True, **node_options)
        self.failure: Exception | None = None
        self._session: PolicySession | None = None
        self.ending = False
        self.fault: Exception | None = None
        """What nobody foresaw: the node must not go on half."""
        self._description = ""
        parameters.declare_all(self)
        self._report = DiagnosticReport(self.get_fully_qualified_name())
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        self._status = self.create_publisher(DiagnosticStatus, "~/status", STATUS_QOS)
        # Wall time: a simulation's clock that stands still is worth a diagnosis, too.
        wall = Clock(clock_type=ClockType.STEADY_TIME)
        self.create_timer(DIAGNOSTICS_PERIOD_S, self._diagnose, clock=wall)
        self.create_timer(STATUS_PERIOD_S, self._tell_status, clock=wall)
        for request in OPERATOR_REQUESTS:
            self.create_service(Trigger, f"~/{request}", functools.partial(self._on_request, request))
        self._tell_status()
        self.add_on_set_parameters_callback(self._on_set_parameters)

    @property
    def starts_by_itself(self) -> bool:
        """Nobody else manages this node's lifecycle."""
        return self.get_parameter("autostart").value is not False

    def start(self) -> bool:
        """Configure and activate; False if that was refused."""
        succeeded = TransitionCallbackReturn.SUCCESS
        return bool(self.trigger_configure() == succeeded and self.trigger_activate() == succeeded)

    def on_configure(self, state: State) -> TransitionCallbackReturn:
        """Read the parameters, make the client, check that parameters and policy fit each other."""
        try:
            self._session = self._configure()
        except Exception as problem:  # rclpy would swallow it
            return self._failed("configure", problem)
        self.failure = None
        return TransitionCallbackReturn.SUCCESS

    def on_activate(self, state: State) -> TransitionCallbackReturn:
        """Subscribe, infer, command."""
        if self.ending or self._session is None:
            return TransitionCallbackReturn.FAILURE
        try:
            self._session.activate()
        except Exception as problem:
            self._session.deactivate()
            return self._failed("activate", problem)
        if self.ending:  # told so meanwhile, perhaps before there was anything to stop
            self._session.stop("shutting down")
            return TransitionCallbackReturn.FAILURE
        self._tell_status()
        return super().on_activate(state)

    def on_deactivate(self, state: State) -> TransitionCallbackReturn:
        """Stop commanding at once and hold."""
        try:
            if self._session is not None:
                self._session.deactivate()
        except Exception as problem:
            return self._end_with("deactivate", problem)
        self._tell_status()
        return super().on_deactivate(state)

    def on_cleanup(self, state: State) -> TransitionCallbackReturn:
        """Release the client and the topics."""
        return self._release("cleanup")

    def on_shutdown(self, state: State) -> TransitionCallbackReturn:
        """Hold, then release everything."""
        return self._release("shutdown")

    def end(self) -> None:
        """Hold, in whatever state, and become active no more; safe from any thread."""
        self.ending = True
        if self._session is not None:
            self._session.stop("shutting down")
            with contextlib.suppress(Exception):  # ROS may be gone; what matters was told to the controllers
                self._tell_status()

    def close_client(self) -> None:
        """Release what the policy holds of this machine and of a server; may wait for a chunk being computed."""
        if self._session is not None:
            self._session.close_client()

    def leave_ros(self) -> None:
        """Let go of the DDS participant, after rclpy.shutdown; the node cannot be used any more.

        rclpy destroys the node then, but forgets the state machine of a lifecycle node, which keeps the participant
        until the interpreter ends.
        """
        self.destroy_node()
        self._state_machine.destroy_when_not_in_use()

    def _failed(self, transition: str, problem: Exception) -> TransitionCallbackReturn:
        """Say and remember why; a traceback is for what is not a user's mistake."""
        if self.ending:  # ROS was shut down under us
            return TransitionCallbackReturn.FAILURE
        self.failure = problem
        if isinstance(problem, ActInferenceError):
            self.get_logger().error(f"{transition} refused: {problem}")
        else:
            self.get_logger().error(f"{transition} failed:\n{''.join(traceback.format_exception(problem))}")
        return TransitionCallbackReturn.FAILURE

    def _configure(self) -> PolicySession:
        parameters.declare_all(self)
        given = parameters.given(self)
        configuration = RobotConfiguration.from_parameters(given)
        parameters.check_topics(self, configuration)
        client = InferenceClient.create(**configuration.client_arguments)
        try:
            configuration.check_fits(client.spec)
            # After the policy was loaded: by then the graph is known.
            needed = bool(configuration.unlimited_joints) and not configuration.robot_description
            self._description = published_description(self, configuration.robot_description_topic, needed)
            configuration = RobotConfiguration.from_parameters(given, self._description)
            configuration.check_limits()
            check_plan_age(configuration, client.warm_up_s)
            return PolicySession(self, configuration, client, self._on_fault, self._tell_status)
        except BaseException:
            client.close()
            raise

    def _release(self, transition: str) -> TransitionCallbackReturn:
        session, self._session = self._session, None
        try:
            if session is not None:
                session.close()
        except Exception as problem:
            return self._end_with(transition, problem)
        return TransitionCallbackReturn.SUCCESS

    def _end_with(self, transition: str, problem: Exception) -> TransitionCallbackReturn:
        """Say what nobody foresaw, and end: rclpy would swallow it, and the node go on half."""
        if not self.ending:  # else ROS was shut down under us
            self.fault = problem
            self.get_logger().error(f"{transition} failed:\n{''.join(traceback.format_exception(problem))}")
        return TransitionCallbackReturn.ERROR

    def _diagnose(self) -> None:
        stamp = self.get_clock().now().to_msg()
        if self._session is not None and self._session.active:
            report = self._session.diagnose(self._report, stamp, DIAGNOSTICS_PERIOD_S)
        else:
            report = self._report.idle(stamp, "inactive" if self._session else "unconfigured", self.failure)
        self._diagnostics.publish(report)

    def _tell_status(self) -> None:
        name = self.get_fully_qualified_name()
        self._status.publish(status_message(name, None) if self._session is None else self._session.status(name))

    def _on_fault(self, fault: Exception) -> None:
        self.fault = fault

    def _on_request(self, request: str, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        """Answer one of the operator's services."""
        if self._session is None:
            answer = Answer(request == "reset", "the node is not configured")
        else:
            answer = self._session.ask(request)
        response.success, response.message = answer.accepted, answer.message
        return response

    def _on_set_parameters(self, changes: list[RosParameter]) -> SetParametersResult:
        if self._session is None:
            return SetParametersResult(successful=True)  # configure will check everything together
        before = parameters.given(self)
        values = before | {change.name: change.value for change in changes if not parameters.is_of_rclpy(change.name)}
        fixed = {change.name for change in changes if change.name in before} - parameters.live_names(values)
        if fixed:
            reason = f"{', '.join(sorted(fixed))}: read at configure; deactivate and clean up first"
            return SetParametersResult(successful=False, reason=reason)
        try:
            configuration = RobotConfiguration.from_parameters(values, self._description)
            configuration.check_limits()
            self._session.apply(configuration)
        except ActInferenceError as refusal:
            return SetParametersResult(successful=False, reason=str(refusal))
        return SetParametersResult(successful=True)


_DESCRIPTION = """\
Runs a trained ACT policy (LeRobot checkpoint) on a robot: camera images and joint states in, arm commands out.

listens to  each camera's topic, state.topic
publishes   each controller's topic, ~/action_chunk (JointTrajectory in the policy's units), ~/status, /diagnostics
asks        gripper actions (parallel_gripper_action, gripper_action) for goals
offers      std_srvs/Trigger: ~/pause ~/resume ~/stop ~/clear_stop ~/go_to_start, ~/reset (forget the plan, as between
            episodes); lifecycle transitions
"""


def main(args: list[str] | None = None) -> int:
    """Run policy_node until it is told to stop; returns the exit status."""
    signals = StopSignals()
    try:
        initialise([NODE_NAME, *(sys.argv[1:] if args is None else args)], _DESCRIPTION, PARAMETERS)
        with readable_ros_errors():
            node = PolicyNode()
        return _leave(node, _run(node, signals))
    except ActInferenceError as mistake:
        print(f"{NODE_NAME}: {mistake}", file=sys.stderr)
        return MISTAKE
    finally:
        rclpy.try_shutdown()


def _run(node: PolicyNode, signals: StopSignals) -> int:
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
            if not node.ending:  # else ROS was shut down under us
                faults.append(fault)
                traceback.print_exception(fault)
        finally:
            over.set()

    thread = threading.Thread(target=spin, name="executor", daemon=True)
    thread.start()
    told = False
    while not told and not over.is_set() and node.fault is None:
        told = signals.wait(LOOK_S)
    node.end()
    rclpy.try_shutdown()
    threading.Thread(target=node.close_client, name="closing", daemon=True).start()
    # A request to a server ends when the client is closed; only then its shared memory can be given back.
    end = time.monotonic() + EXIT_S
    for each in _daemons():
        each.join(max(0.0, end - time.monotonic()))
    if told:
        return OK
    if node.failure is not None and node.starts_by_itself:
        return MISTAKE if isinstance(node.failure, ActInferenceError) else FAULT
    return FAULT if faults or node.fault is not None else OK


def _leave(node: PolicyNode, status: int) -> int:
    """Return the status; or end right here if a thread is still computing a chunk or loading a policy.

    A thread that comes back from torch while the interpreter is torn down ends in std::terminate. But nothing that the
    interpreter's end would do is then done: so the DDS participant goes first, which would leave megabytes of shared
    memory behind.
    """
    if _daemons():
        sys.stdout.flush()
        sys.stderr.flush()
        node.leave_ros()
        os._exit(status)
    return status


def _daemons() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.daemon]


if __name__ == "__main__":
    sys.exit(main())
