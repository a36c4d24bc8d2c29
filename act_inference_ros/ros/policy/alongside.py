"""alongside: runs long work in a thread, while the thread that waits for it executes the node's callbacks."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node

POLL_S = 0.05
"""Period of the check whether the work is done."""

Result = TypeVar("Result")


class GivenUp(BaseException):
    """Nobody waits for the work any more; its thread continues until the work is done.

    It is not derived from Exception: rclpy would swallow that, and try to complete a transition of an ending node.
    """


def alongside(node: Node, work: Callable[[], Result], given_up: Callable[[], bool]) -> Result:
    """Return what `work` returns, or raise what it raises; raise GivenUp if `given_up` is true or ROS ends first.

    Call it in the thread that executes the node's callbacks, inside a callback or before the first one. So two
    callbacks never run at the same time. While a callback of a mutually exclusive group waits here, the group's other
    callbacks wait, too.
    """
    before = node.executor
    meanwhile = SingleThreadedExecutor(context=node.context)
    done: Future[Result] = Future()
    threading.Thread(target=_do, args=(work, done), name="loading", daemon=True).start()
    try:
        meanwhile.add_node(node)
        while not done.done():
            if given_up():
                raise GivenUp
            meanwhile.spin_once(POLL_S)
    except ExternalShutdownException:
        raise GivenUp from None
    finally:
        meanwhile.remove_node(node)
        meanwhile.shutdown()
        if before is not None:
            before.add_node(node)
    return done.result()


def _do(work: Callable[[], Result], done: Future[Result]) -> None:
    try:
        done.set_result(work())
    except BaseException as error:
        done.set_exception(error)
