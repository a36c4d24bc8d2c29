"""The robot, and a person at it who does the same things again and again: one process, started by `benchmarks.soak`.

`python -m benchmarks.soak.day CAMERAS CYCLE_S` prints lines of JSON: what the stream looked like in the last seconds,
and what the person did. For each request the person comes with a node of their own and leaves again, as `ros2 service
call` does.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import rclpy
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rcl_interfaces.srv import SetParametersAtomically
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.parameter import Parameter
from rclpy.signals import SignalHandlerOptions
from std_srvs.srv import Trigger

from act_inference_ros.program.signals import StopSignals
from act_inference_ros.ros.sim.controller_nodes import ControllerNodes
from benchmarks.soak.robot import Robot
from test.ros.ros_helpers import Participant

SAMPLE_S = 5.0
SILENT_S = 2.0
"""Longer than max_age and than the hold after which the black box writes by itself."""
PATIENCE_S = 20.0
"""How long the person waits for the arm to be commanded again before they help."""
LOOK_S = 0.05
TRANSITIONS = {"deactivate": Transition.TRANSITION_DEACTIVATE, "activate": Transition.TRANSITION_ACTIVATE}
ACTIVATE_EVERY = 5
"""Cycles between two activations: each begins a new timer, whose drift is to be seen over some time."""
LIVE = ("blend_time", 0.2, 0.25)
"""A live parameter, and the two values that it gets in turn."""


class Day:
    """What the person does; each of `steps` ends with the arm being commanded again."""

    def __init__(self, robot: Robot, over: StopSignals, cycle_s: float) -> None:
        self._robot = robot
        self._over = over
        self._cycle_s = cycle_s
        self._cycles = 0
        self.steps: tuple[Callable[[], None], ...] = (
            self._pause,
            self._reset,
            lambda: self._silence(0),
            lambda: self._silence("state"),
            self._stop,
            lambda: self._ask("dump"),
            self._start_pose,
            self._change_a_parameter,
        )

    def live(self) -> None:
        """Repeat the steps, spread over `cycle_s`, until told to end."""
        due = time.monotonic()
        while True:
            for step in self.steps:
                due = max(due + self._cycle_s / len(self.steps), time.monotonic())
                if self._over.wait(due - time.monotonic()):
                    return
                try:
                    step()
                except AssertionError as error:  # no answer, on a machine that is too busy
                    tell(event="no answer", detail=str(error))
                self._see_it_commanded()
            if self._cycles % ACTIVATE_EVERY == 0:
                self._activate_anew()
            self._cycles += 1

    def _see_it_commanded(self) -> None:
        if self._wait_for("commanding"):
            return
        tell(event="helped", detail=f"{self._robot.state}: {self._robot.reason}")
        with contextlib.suppress(AssertionError):
            if self._robot.state == "inactive":
                self._transition("activate")
            self._ask("clear_stop")
            self._ask("resume")

    def _pause(self) -> None:
        self._ask("pause")
        self._wait_for("paused")
        self._ask("resume")

    def _reset(self) -> None:
        self._ask("reset")

    def _silence(self, name: str | int) -> None:
        tell(event=f"silent: {name}")
        self._robot.silent.add(name)
        self._over.wait(SILENT_S)
        self._robot.silent.remove(name)

    def _stop(self) -> None:
        self._ask("stop")
        self._wait_for("stopped")
        self._ask("clear_stop")
        self._ask("resume")

    def _start_pose(self) -> None:
        self._ask("go_to_start")
        self._wait_for("paused")
        self._ask("resume")

    def _change_a_parameter(self) -> None:
        name, *values = LIVE
        change = Parameter(name, value=values[self._cycles % 2]).to_parameter_msg()
        request = SetParametersAtomically.Request(parameters=[change])
        with visitor() as person:
            answer = person.call(SetParametersAtomically, "/policy_node/set_parameters_atomically", request)
        tell(event=f"set {name}", detail=answer.result.reason)

    def _activate_anew(self) -> None:
        with contextlib.suppress(AssertionError):
            self._transition("deactivate")
            self._transition("activate")
        self._see_it_commanded()

    def _transition(self, name: str) -> None:
        request = ChangeState.Request(transition=Transition(id=TRANSITIONS[name]))
        with visitor() as person:
            person.call(ChangeState, "/policy_node/change_state", request)
        tell(event=name)

    def _ask(self, request: str) -> None:
        with visitor() as person:
            answer = person.call(Trigger, f"/policy_node/{request}")
        tell(event=request, detail=answer.message)

    def _wait_for(self, state: str) -> bool:
        until = time.monotonic() + PATIENCE_S
        while self._robot.state != state and time.monotonic() < until and not self._over.given:
            self._over.wait(LOOK_S)
        return self._robot.state == state or self._over.given


def visitor() -> Participant:
    """A node that comes and goes."""
    return Participant(int(os.environ["ROS_DOMAIN_ID"]), "person")


def tell(**what: Any) -> None:
    print(json.dumps({"at": time.time(), **what}), flush=True)


def main() -> int:
    cameras, cycle_s = sys.argv[1:]
    over = StopSignals()
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    node = rclpy.create_node("robot")
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    robot = Robot(node, int(cameras))

    def sample() -> None:
        with robot.lock:
            found = robot.watch.take()
        tell(sample=found, state=robot.state)

    node.create_timer(SAMPLE_S, sample)

    def spin() -> None:
        with contextlib.suppress(ExternalShutdownException):
            executor.spin()

    with ControllerNodes({"right": robot.trajectory.controller}, use_sim_time=False) as controllers:
        controllers.add_to(executor)
        spinning = threading.Thread(target=spin)
        spinning.start()
        try:
            day = Day(robot, over, float(cycle_s))
            while robot.state != "commanding" and not over.wait(LOOK_S):
                pass
            if not over.given:
                tell(event="first command")
                day.live()
        finally:
            robot.close()
            executor.shutdown(timeout_sec=5.0)
            spinning.join(5.0)
    rclpy.try_shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())
