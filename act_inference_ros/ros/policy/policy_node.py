"""policy_node: camera images and joint states in, commands out, as a managed (lifecycle) node."""

from __future__ import annotations

import contextlib
import functools
import sys
import traceback
from collections.abc import Sequence
from typing import Any

import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rcl_interfaces.msg import SetParametersResult
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.clock import Clock, ClockType
from rclpy.lifecycle import LifecycleNodeMixin, State, TransitionCallbackReturn
from rclpy.node import Node
from rclpy.parameter import Parameter as RosParameter
from std_srvs.srv import Trigger

from act_inference_ros.errors import ActInferenceError
from act_inference_ros.execution.operator import REQUESTS as OPERATOR_REQUESTS
from act_inference_ros.execution.states import Answer
from act_inference_ros.program import exit_status
from act_inference_ros.program.memory import bound_heaps
from act_inference_ros.program.signals import StopSignals
from act_inference_ros.robot.parameters import PARAMETERS
from act_inference_ros.robot.topic_names import NODE_NAME
from act_inference_ros.ros import declared_parameters as parameters
from act_inference_ros.ros.command_line import initialise, parameter_files, readable_ros_errors
from act_inference_ros.ros.policy.black_box import ASKED, BlackBox
from act_inference_ros.ros.policy.configuring import REASON as CONFIGURING
from act_inference_ros.ros.policy.configuring import Configuring
from act_inference_ros.ros.policy.diagnostics import DiagnosticReport
from act_inference_ros.ros.policy.opening import SessionOpener
from act_inference_ros.ros.policy.parameter_changes import take_change
from act_inference_ros.ros.policy.parameter_mistakes import explained
from act_inference_ros.ros.policy.running import leave, run
from act_inference_ros.ros.policy.session import PolicySession
from act_inference_ros.ros.policy.status import NOT_ACTIVE, STATUS_QOS, status_message
from act_inference_ros.ros.policy.status import PERIOD_S as STATUS_PERIOD_S

DIAGNOSTICS_PERIOD_S = 1.0


class PolicyNode(LifecycleNodeMixin, Node):  # type: ignore[misc]  # rclpy is untyped
    """The managed node.

    `failure` is set when a transition is refused, to the error that says why. `ending` is true once `end` was called.
    """

    def __init__(self, **node_options: Any) -> None:
        Node.__init__(
            self,
            NODE_NAME,
            automatically_declare_parameters_from_overrides=True,
            # A camera's parameters may be set before a list names the camera; `_on_set_parameters` refuses other names.
            allow_undeclared_parameters=True,
            **node_options,
        )
        # As in rclpy's LifecycleNode, except that its services have their own callback group, so that they answer
        # questions about the state during a transition, too.
        LifecycleNodeMixin.__init__(self, callback_group=ReentrantCallbackGroup())
        self._configuring = Configuring(self.get_logger())
        self.failure: Exception | None = None
        self.parameter_files: Sequence[str] = ()
        """The parameter files that the command line names."""
        self._session: PolicySession | None = None
        self.ending = False
        self._opener = SessionOpener(self, self._configuring, lambda: self.ending, self._on_fault, self._tell_status)
        self.over = False
        """The node was shut down, and the shutdown request has been answered."""
        self._finalized = False
        self.fault: Exception | None = None
        """An unforeseen error: the node must end, because it cannot run with only some of its parts."""
        parameters.declare_all(self)
        self._report = DiagnosticReport(self.get_fully_qualified_name())
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        self._status = self.create_publisher(DiagnosticStatus, "~/status", STATUS_QOS)
        # Wall time, so that diagnostics also come while a simulation's clock stands still.
        wall = Clock(clock_type=ClockType.STEADY_TIME)
        self.create_timer(DIAGNOSTICS_PERIOD_S, self._diagnose, clock=wall)
        self.create_timer(STATUS_PERIOD_S, self._look_around, clock=wall)
        for request in OPERATOR_REQUESTS:
            self.create_service(Trigger, f"~/{request}", functools.partial(self._on_request, request))
        self.create_service(Trigger, "~/dump", self._on_dump)
        self._tell_status()
        self.add_on_set_parameters_callback(self._on_set_parameters)

    @property
    def starts_by_itself(self) -> bool:
        """Whether the node starts without a lifecycle manager."""
        return self.get_parameter("autostart").value is not False

    def start(self) -> bool:
        """Configure and activate; False if that was refused."""
        succeeded = TransitionCallbackReturn.SUCCESS
        return bool(self.trigger_configure() == succeeded and self.trigger_activate() == succeeded)

    def on_configure(self, state: State) -> TransitionCallbackReturn:
        """Read the parameters, create the client, check that parameters and policy fit each other."""
        self._configuring.begin()
        try:
            self._declare()
            self._session = self._opener.open(parameters.in_force(self))
        except Exception as problem:  # rclpy would swallow it
            name, given = self.get_fully_qualified_name(), parameters.given(self)
            return self._failed("configure", explained(problem, name, self.parameter_files, given))
        finally:
            self._configuring.end()
        self.failure = None
        return TransitionCallbackReturn.SUCCESS

    def on_activate(self, state: State) -> TransitionCallbackReturn:
        """Begin to subscribe, infer and command."""
        if self.ending or self._session is None:
            return TransitionCallbackReturn.FAILURE
        try:
            self._session.activate()
        except Exception as problem:
            self._session.deactivate()
            return self._failed("activate", problem)
        if self.ending:  # `end` was called meanwhile, perhaps before there was a session
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
        self._finalized, self.failure = True, None
        return self._release("shutdown")

    def end(self) -> None:
        """Hold, in any lifecycle state, and never become active again; safe from any thread."""
        self.ending = True
        if self._session is not None:
            self._session.stop("shutting down")
            with contextlib.suppress(Exception):  # ROS may be gone; the controllers have their last command
                self._tell_status()
            self._session.wait_until_taken()

    def close_client(self) -> None:
        """Release the policy's resources on this machine and on a server; may wait for a chunk being computed."""
        if self._session is not None:
            self._session.close_client()

    def close_black_box(self) -> None:
        """Wait a moment until the black box has written its pending dumps."""
        if self._session is not None:
            self._session.black_box.close()

    def leave_ros(self) -> None:
        """Release the DDS participant, after rclpy.shutdown; the node cannot be used any more.

        rclpy.shutdown destroys the node, but not the state machine of a lifecycle node, which keeps the participant
        until the interpreter ends.
        """
        self.destroy_node()
        self._state_machine.destroy_when_not_in_use()

    def _failed(self, transition: str, problem: Exception) -> TransitionCallbackReturn:
        """Log and remember the reason, with a traceback unless it is a user's mistake."""
        if self.ending:  # ROS was shut down meanwhile
            return TransitionCallbackReturn.FAILURE
        self.failure = problem
        if isinstance(problem, ActInferenceError):
            self.get_logger().error(f"{transition} refused: {problem}")
        else:
            self.get_logger().error(f"{transition} failed:\n{''.join(traceback.format_exception(problem))}")
        return TransitionCallbackReturn.FAILURE

    def _declare(self) -> None:
        # Without the callback: each of a hundred declarations would have all parameters checked again.
        self.remove_on_set_parameters_callback(self._on_set_parameters)
        try:
            parameters.declare_all(self)
        finally:
            self.add_on_set_parameters_callback(self._on_set_parameters)

    def _release(self, transition: str) -> TransitionCallbackReturn:
        session, self._session = self._session, None
        try:
            if session is not None:
                session.close()
        except Exception as problem:
            return self._end_with(transition, problem)
        return TransitionCallbackReturn.SUCCESS

    def _end_with(self, transition: str, problem: Exception) -> TransitionCallbackReturn:
        """Log an unforeseen error, and end: rclpy would swallow it, and the node would continue with missing parts."""
        if not self.ending:  # else ROS was shut down meanwhile
            self.fault = problem
            self.get_logger().error(f"{transition} failed:\n{''.join(traceback.format_exception(problem))}")
        return TransitionCallbackReturn.ERROR

    def _diagnose(self) -> None:
        stamp = self.get_clock().now().to_msg()
        awaited = self._configuring.detail
        if self._session is not None:
            report = self._session.diagnose(self._report, stamp, self.failure)
        elif awaited is not None:
            report = self._report.configuring(stamp, awaited)
        else:
            report = self._report.idle(stamp, "finalized" if self._finalized else "unconfigured", self.failure)
        self._diagnostics.publish(report)

    def _look_around(self) -> None:
        self._configuring.look()
        self._tell_status()
        if self._finalized and not self.over:  # by now the answer to the shutdown request has been sent
            self._diagnose()
            self.over = True

    def _tell_status(self) -> None:
        name = self.get_fully_qualified_name()
        if self._session is None:
            messages = [status_message(name, self._configuring.standing or NOT_ACTIVE, None)]
        else:
            messages = self._session.statuses(name)
        for message in messages:
            self._status.publish(message)

    def _on_fault(self, fault: Exception) -> None:
        self.fault = fault

    def _on_request(self, request: str, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        """Answer one of the operator's services."""
        answer = self._answer_without_session(request) if self._session is None else self._session.ask(request)
        response.success, response.message = answer.accepted, answer.message
        return response

    def _answer_without_session(self, request: str) -> Answer:
        if self._finalized:
            return Answer(False, "the node has been shut down; start it again")
        awaited = self._configuring.detail
        why = "the node is not configured" if awaited is None else f"{CONFIGURING}: {awaited}"
        return Answer(request == "reset", why)  # there is no plan to forget

    def _on_dump(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        black_box = BlackBox() if self._session is None else self._session.black_box
        answer = black_box.dump(ASKED)
        response.success, response.message = answer.accepted, answer.message
        return response

    def _on_set_parameters(self, changes: list[RosParameter]) -> SetParametersResult:
        new = {change.name: change.value for change in changes if not parameters.is_of_rclpy(change.name)}
        if new and self._configuring.detail is not None:
            reason = "the node is being configured with the values before; set it again when that is over"
            return SetParametersResult(successful=False, reason=reason)
        try:
            take_change(
                parameters.in_force(self), new, self._session, self._opener.description, self.get_fully_qualified_name()
            )
        except ActInferenceError as refusal:
            return SetParametersResult(successful=False, reason=str(refusal))
        return SetParametersResult(successful=True)


_DESCRIPTION = """\
Runs a trained ACT policy (LeRobot checkpoint) on a robot: camera images and joint states in, arm commands out.

listens to  each camera's topic, state.topic or state.topics, environment_state.topic, enable.topic,
            robot_description_topic, and the states of the controllers
publishes   each controller's topic, ~/action_chunk (JointTrajectory in the policy's units), ~/status, /diagnostics
asks        gripper actions (parallel_gripper_action, gripper_action) for goals
offers      std_srvs/Trigger: ~/pause ~/resume ~/stop ~/clear_stop ~/go_to_start, ~/reset (forget the plan, as between
            episodes), ~/dump (write the black box); lifecycle transitions
"""


def main(args: list[str] | None = None) -> int:
    """Run policy_node until it is told to stop; returns the exit status."""
    signals = StopSignals()
    bound_heaps()
    try:
        arguments = [NODE_NAME, *(sys.argv[1:] if args is None else args)]
        initialise(arguments, _DESCRIPTION, PARAMETERS)
        with readable_ros_errors():
            node = PolicyNode()
        node.parameter_files = parameter_files(arguments)
        return leave(node, run(node, signals))
    except ActInferenceError as error:
        print(f"{NODE_NAME}: {error}", file=sys.stderr)
        return exit_status.of_error(error)
    finally:
        rclpy.try_shutdown()


if __name__ == "__main__":
    sys.exit(main())
