"""Runs a policy node in this process: from its start to the end of all its threads."""

from __future__ import annotations

import os
import sys
import threading
import time
import traceback
from typing import TYPE_CHECKING

import rclpy
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor

from act_inference_ros.program import exit_status
from act_inference_ros.program.exit_status import FAULT, OK
from act_inference_ros.program.signals import StopSignals

if TYPE_CHECKING:
    from act_inference_ros.ros.policy.policy_node import PolicyNode

LOOK_S = 0.2
"""Period at which the main thread checks whether the executor has ended by itself."""
EXIT_S = 1.0
"""How long all threads of the node together may take to end; slower ones end with the process."""


def run(node: PolicyNode, signals: StopSignals) -> int:
    """Spin a node until a signal comes or it ends by itself; return the exit status.

    It spins in another thread, so that the executor's work does not delay the reaction to a signal.
    """
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
            if not node.ending:  # else ROS was shut down meanwhile
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
        return exit_status.of_error(node.failure)
    return FAULT if faults or node.fault is not None else OK


def leave(node: PolicyNode, status: int) -> int:
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
