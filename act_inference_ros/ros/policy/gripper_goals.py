"""GoalOutlet: turns a commander's commands into goals on a gripper's action server; the newest wins."""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

from rclpy.node import Node

from act_inference_ros.execution.late_command import LateCommand
from act_inference_ros.interfaces import Command, GoalAction, GoalResult
from act_inference_ros.robot.devices import Controller
from act_inference_ros.ros.messages import make_message

PATIENCE_S = 1.0
"""How long a server may take to accept a goal, or to report a replaced goal's end."""

_ENDINGS = {5: "canceled", 6: "aborted"}
"""Status of an action_msgs/GoalStatus -> its name, for goals that were not reached."""


class GoalClient(Protocol):
    """The part of rclpy's ActionClient that an outlet uses."""

    def server_is_ready(self) -> bool:
        """Whether the action server is there."""

    def send_goal_async(self, goal: Any) -> Any:
        """Send a goal; the future gives a handle with `accepted` and `get_result_async()`."""

    def destroy(self) -> None:
        """Destroy the client."""


class GoalOutlet:
    """Keeps the newest command until the server has answered the goal before it, and never waits for the server.

    At most one goal waits for an answer, and one for its result, so no queue can grow. A command
    for a server that is not there is dropped, as on a topic without a listener. No goal is ever cancelled: a gripper
    keeps its last goal until it gets a new one. `make_goal` is the action's class for goals; `clock` gives s.
    """

    topic_name: str | None = None

    def __init__(
        self,
        controller: Controller,
        action: GoalAction,
        client: GoalClient,
        make_goal: Callable[..., Any],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._controller = controller
        self._action = action
        self._client = client
        self._make_goal = make_goal
        self._clock = clock
        # A deque's append and popleft are atomic; the newer of two commands stays.
        self._waiting: deque[Command] = deque(maxlen=1)
        self._lock = threading.RLock()
        """Guards the attributes below: the session's two threads flush, answers come in the executor's thread.
        It is reentrant because a client may answer within its own call."""
        self._goal = "no goal yet"
        self._ending = ""
        self._asked: Any = None  # the future of the goal that has no answer yet
        self._asked_at = 0.0
        self._accepted: Any = None  # the handle of the newest goal, until its result is requested
        self._result: Any = None  # the future of the requested result
        self._replaced_at = 0.0

    def send(self, command: Command) -> None:
        """Keep a command; a commander's `Send`."""
        self._waiting.append(command)

    def flush(self) -> None:
        """Send the newest goal, if there is one and the goal before it has been answered or has timed out."""
        with self._lock:
            self._watch()
            overdue = self._clock() - self._asked_at > PATIENCE_S
            if self._asked is None or overdue:
                self._ask()

    is_late = False

    def take_late(self) -> LateCommand | None:
        """Return None: a gripper moves to its goal at its own speed, whenever the goal comes."""
        return None

    @property
    def listeners(self) -> int:
        """Return 1 if the action server is there, else 0."""
        return int(self._client.server_is_ready())

    @property
    def outcome(self) -> str | None:
        """The last goal and its result, and whether there is a server."""
        with self._lock:
            overdue = self._asked is not None and self._clock() - self._asked_at > PATIENCE_S
            ending = f"no answer for {self._clock() - self._asked_at:.1f} s" if overdue else self._ending
            said = ", ".join(part for part in (self._goal, ending) if part)
        return said if self._client.server_is_ready() else f"no action server on {self._controller.topic}; {said}"

    def settle(self, timeout_s: float) -> bool:
        """Send the newest goal even if the one before has no answer yet, because no later flush will come."""
        with self._lock:
            self._ask()
        return True

    def destroy(self, node: Node) -> None:
        """Destroy the client."""
        self._client.destroy()

    def _ask(self) -> None:
        if not self._waiting:
            return
        command = self._waiting.popleft()
        if not self._client.server_is_ready():
            return
        given_up, self._asked = self._asked, None
        if given_up is not None:
            given_up.cancel()  # else rclpy would keep the request for ever
        message = self._controller.interface.write(make_message, self._controller.joints, command)
        self._goal, self._ending = f"goal {float(command.positions[0, 0]):.4g}", "not answered yet"
        self._asked_at = self._clock()
        self._asked = asked = self._client.send_goal_async(self._make_goal(command=message))
        asked.add_done_callback(self._on_answer)

    def _on_answer(self, answer: Any) -> None:
        with self._lock:
            if answer is not self._asked:
                return  # it was given up
            self._asked = None
            handle = answer.result()
            if not handle.accepted:
                self._ending = "rejected by the server"
                return
            self._ending = "under way"
            self._accepted, self._replaced_at = handle, self._clock()
            self._watch()

    def _watch(self) -> None:
        """Request the newest goal's result, after the requested one has come or its goal was replaced too long ago."""
        if self._accepted is None:
            return
        if self._result is not None:
            if self._clock() - self._replaced_at <= PATIENCE_S:
                return
            given_up, self._result = self._result, None
            given_up.cancel()
        handle, self._accepted = self._accepted, None
        self._result = result = handle.get_result_async()
        result.add_done_callback(self._on_result)

    def _on_result(self, result: Any) -> None:
        with self._lock:
            if result is not self._result:
                return  # it was given up
            self._result = None
            if self._accepted is None and self._asked is None:  # else this is the result of a replaced goal
                ended = result.result()
                self._ending = _in_words(self._action.read_result(ended.result), ended.status)
            self._watch()


def _in_words(result: GoalResult, status: int) -> str:
    """Return the result as text, such as `stalled: position 0.031, effort 12`."""
    ending = "reached" if result.reached_goal else "stalled" if result.stalled else _ENDINGS.get(status, "not reached")
    numbers = {"position": result.position, "effort": result.effort}
    said = ", ".join(f"{name} {value:.4g}" for name, value in numbers.items() if not math.isnan(value))
    return f"{ending}: {said}" if said else ending
