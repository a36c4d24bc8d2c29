"""The program policy_node: a PolicyNode, from the command line to the exit status."""

from __future__ import annotations

import os
import sys
import threading
import time
import traceback

import rclpy
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor

from act_inference_ros.errors import ActInferenceError
from act_inference_ros.program.exit_status import FAULT, MISTAKE, OK
from act_inference_ros.program.signals import StopSignals
from act_inference_ros.robot.parameters import PARAMETERS
from act_inference_ros.robot.topic_names import NODE_NAME
from act_inference_ros.ros.command_line import initialise, parameter_files, readable_ros_errors
from act_inference_ros.ros.policy.node import PolicyNode

LOOK_S = 0.2
"""Period at which the main thread checks whether the executor has ended by itself."""
EXIT_S = 1.0
"""How long all threads of the node together may take to end; slower ones end with the process."""

_DESCRIPTION = """\
Runs a trained ACT policy (LeRobot checkpoint) on a robot: camera images and joint states in, arm commands out.

listens to  each camera's topic, state.topic
publishes   each controller's topic, ~/action_chunk (JointTrajectory in the policy's units), ~/status, /diagnostics
asks        gripper actions (parallel_gripper_action, gripper_action) for goals
offers      std_srvs/Trigger: ~/pause ~/resume ~/stop ~/clear_stop ~/go_to_start, ~/reset (forget the plan, as between
            episodes), ~/dump (write the black box); lifecycle transitions
"""


def main(args: list[str] | None = None) -> int:
    """Run policy_node until it is told to stop; returns the exit status."""
    signals = StopSignals()
    try:
        arguments = [NODE_NAME, *(sys.argv[1:] if args is None else args)]
        initialise(arguments, _DESCRIPTION, PARAMETERS)
        with readable_ros_errors():
            node = PolicyNode()
        node.parameter_files = parameter_files(arguments)
        return _leave(node, _run(node, signals))
    except ActInferenceError as mistake:
        print(f"{NODE_NAME}: {mistake}", file=sys.stderr)
        return MISTAKE
    finally:
        rclpy.try_shutdown()


def _run(node: PolicyNode, signals: StopSignals) -> int:
    """Spin in another thread, so that the executor's work does not delay the reaction to a signal."""
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
    while not told and not over.is_set() and node.fault is None and not node.over:
        told = signals.wait(LOOK_S)
    node.end()
    rclpy.try_shutdown()
    node.close_black_box()
    threading.Thread(target=node.close_client, name="closing", daemon=True).start()
    # A request to a server ends when the client is closed; only then can its shared memory be released.
    end = time.monotonic() + EXIT_S
    for each in _daemons():
        each.join(max(0.0, end - time.monotonic()))
    if told:
        return OK
    if node.failure is not None and node.starts_by_itself:
        return MISTAKE if isinstance(node.failure, ActInferenceError) else FAULT
    return FAULT if faults or node.fault is not None else OK


def _leave(node: PolicyNode, status: int) -> int:
    """Return the status, or end the process here if a thread is still computing a chunk or loading a policy.

    A thread that returns from torch during the interpreter's shutdown ends in std::terminate. Ending here skips that
    shutdown, so the DDS participant is released before: otherwise it would leave megabytes of shared memory behind.
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
