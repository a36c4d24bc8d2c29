"""sim_robot: the demo arm in MuJoCo, which looks to ROS 2 like a ros2_control robot with a camera."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import rclpy
from rcl_interfaces.msg import SetParametersResult
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.executors import Executor, ExternalShutdownException, MultiThreadedExecutor, SingleThreadedExecutor
from rclpy.node import Node
from std_srvs.srv import Trigger

from act_inference_ros.errors import ActInferenceError, ConfigurationError
from act_inference_ros.program import exit_status
from act_inference_ros.program.exit_status import OK
from act_inference_ros.program.signals import StopSignals
from act_inference_ros.ros.command_line import initialise, readable_ros_errors
from act_inference_ros.ros.sim.command_topics import CommandTopics
from act_inference_ros.ros.sim.controller_nodes import ControllerNodes
from act_inference_ros.ros.sim.episodes import Episodes
from act_inference_ros.ros.sim.settings import PARAMETERS, read_settings
from act_inference_ros.ros.sim.topics import SimTopics
from act_inference_ros.simulation.command_inputs import ALL_JOINTS, ControllerOptions
from act_inference_ros.simulation.scene import DemoArm
from act_inference_ros.simulation.success import success_line
from act_inference_ros.simulation.tick_clock import TickClock
from act_inference_ros.simulation.trajectory_controller import distro_named

NODE_NAME = "sim_robot"
RESET_REPLY_TIMEOUT_S = 5.0

_LONGEST_SLEEP_S = 0.05
_THREADS = 2
"""Threads of the executor: one waits for the arm to be home, the other takes the policy's answers."""

_DESCRIPTION = """\
A simulated robot for policy_node: a small arm (pan, shoulder, elbow, wrist, roll, grip) in front of a cube.

publishes   /front/image_raw (rgb8), /front/image_raw/compressed, /joint_states, ~/episode (JSON), /clock if asked
            ~/setpoint (JointState: where the controllers want the joints) and ~/cube (PoseStamped), for who looks on
listens to  joint_trajectory:  /arm_controller/joint_trajectory, /gripper_controller/joint_trajectory
            position_stream:   /arm_controller/commands, /gripper_controller/commands
            joint_state:       /arm_controller/joint_commands, /gripper_controller/joint_commands
offers      ~/reset (std_srvs/Trigger): arm home, the cube at its next place
            the parameter services of /arm_controller and /gripper_controller (joint_trajectory)
calls       /policy_node/pause, /policy_node/reset and /policy_node/resume whenever it puts the arm home
"""


class SimRobot:
    """The robot: a loop of ticks in the caller's thread, which also renders, and an executor in another one."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._settings = read_settings(node)
        settings = self._settings
        self._arm = DemoArm(settings.seed, settings.image_height, settings.image_width)
        if self._arm.JOINTS != ALL_JOINTS:
            raise ConfigurationError(f"the scene's joints are {self._arm.JOINTS}, the controllers' {ALL_JOINTS}")
        self._arm.covered = settings.cover_camera
        self._clock = TickClock(
            settings.control_rate,
            follow_wall=not settings.publish_clock,
            real_time_factor=settings.real_time_factor,
        )
        self._topics = SimTopics(node, self._arm.JOINTS, settings.publish_clock)
        options = ControllerOptions(
            settings.interpolate_from_desired_state, distro_named(settings.distro), self._clock.period_s
        )
        self._commands = CommandTopics(node, settings.interface, lambda: self._clock.now_ns, options)
        self._camera_due_s = self._joint_states_due_s = self._clock.now_s
        self._episodes = Episodes(node, settings, self._arm, self._clock, self._commands, self._topics.publish_outcome)
        self._reset_wanted = threading.Event()
        self._reset_done = threading.Event()
        self._reset_is_due = False
        node.create_service(Trigger, "~/reset", self._on_reset, callback_group=MutuallyExclusiveCallbackGroup())
        node.add_on_set_parameters_callback(self._on_parameters)
        self._commands.close(self._arm.positions)
        self._commands.open(accept_after_ns=0)
        node.get_logger().info(
            f"listening to {', '.join(self._commands.topics)}; {'simulated' if settings.publish_clock else 'wall'} time"
        )

    @property
    def summary(self) -> str:
        """How the episodes went, in one line."""
        return success_line(self._episodes.successes, len(self._episodes.outcomes))

    def controller_nodes(self) -> ControllerNodes:
        """Make the nodes whose parameters describe the controllers."""
        return ControllerNodes(self._commands.controllers, use_sim_time=self._settings.publish_clock)

    def run(self, is_stopped: Callable[[], bool]) -> bool:
        """Run until all episodes are over (True) or `is_stopped` (False). Raises ActInferenceError if none begins."""
        while not is_stopped():
            wait_s = self._clock.wait_s
            if wait_s > 0.0:
                # Short sleeps, because nothing interrupts a sleep when it is time to stop.
                time.sleep(min(wait_s, _LONGEST_SLEEP_S))
                continue
            self._tick()
            if self._episodes.are_over:
                self._topics.flush(timeout_s=1.0)
                return True
        return False

    def close(self) -> None:
        """Free the renderer; call it from the thread of `run`."""
        self._arm.close()

    def _tick(self) -> None:
        self._clock.tick()
        now_s, now_ns = self._clock.now_s, self._clock.now_ns
        if self._reset_wanted.is_set():
            self._reset_wanted.clear()
            self._reset_is_due = True
            self._episodes.start_over()
        accepted = self._commands.apply(now_s, self._arm.positions, self._arm.velocities)
        target = self._commands.target(now_s, self._arm.positions, self._arm.velocities)
        self._arm.step(target, self._clock.period_s)
        self._topics.publish_clock(now_ns)
        self._topics.publish_setpoint(now_ns, target)
        if now_s >= self._joint_states_due_s:
            self._joint_states_due_s = max(self._joint_states_due_s + 1.0 / self._settings.joint_state_rate, now_s)
            self._topics.publish_joint_states(now_ns, self._arm.positions, self._arm.velocities)
            self._topics.publish_cube(now_ns, self._arm.cube_pose)
        if now_s >= self._camera_due_s:
            self._camera_due_s = max(self._camera_due_s + 1.0 / self._settings.camera_rate, now_s)
            self._topics.publish_image(now_ns, self._arm.render)
        self._episodes.advance(now_s, accepted)
        if self._reset_is_due and self._episodes.is_arm_home:
            self._reset_is_due = False
            self._reset_done.set()

    def _on_reset(self, _: Any, response: Any) -> Any:
        self._reset_done.clear()
        self._reset_wanted.set()
        response.success = self._reset_done.wait(RESET_REPLY_TIMEOUT_S)
        response.message = "" if response.success else "the arm is not home yet"
        return response

    def _on_parameters(self, parameters: list[Any]) -> Any:
        live = {parameter.name for parameter in PARAMETERS if parameter.live}
        fixed = sorted({parameter.name for parameter in parameters} - live)
        if fixed:
            return SetParametersResult(successful=False, reason=f"{', '.join(fixed)}: read at start")
        for parameter in parameters:
            if parameter.name == "cover_camera":
                self._arm.covered = bool(parameter.value)
        return SetParametersResult(successful=True)


def main(args: list[str] | None = None) -> int:
    """Run sim_robot; returns the exit status."""
    signals = StopSignals()
    try:
        initialise([NODE_NAME, *(sys.argv[1:] if args is None else args)], _DESCRIPTION, PARAMETERS)
        with readable_ros_errors():
            node = rclpy.create_node(NODE_NAME, automatically_declare_parameters_from_overrides=True)
        return _run(node, lambda: signals.given)
    except ActInferenceError as error:
        print(f"{NODE_NAME}: {error}", file=sys.stderr)
        return exit_status.of_error(error)
    finally:
        rclpy.try_shutdown()


def _run(node: Node, is_stopped: Callable[[], bool]) -> int:
    robot = SimRobot(node)
    executor = MultiThreadedExecutor(num_threads=_THREADS)
    executor.add_node(node)
    # The controllers' nodes listen to /clock, at the rate of the control. In an executor with several threads that
    # costs so much that the simulation has to wait for it.
    of_controllers = SingleThreadedExecutor()
    failures: list[BaseException] = []

    def spin(spun: Executor) -> None:
        try:
            spun.spin()
        except ExternalShutdownException:
            pass
        except BaseException as error:
            failures.append(error)

    executors: tuple[Executor, ...] = (executor, of_controllers)
    threads = [threading.Thread(target=spin, args=[each], name="executor", daemon=True) for each in executors]
    with robot.controller_nodes() as controllers:
        controllers.add_to(of_controllers)
        for thread in threads:
            thread.start()
        try:
            all_over = robot.run(lambda: is_stopped() or bool(failures))
        finally:
            robot.close()
            for each in executors:
                each.shutdown(timeout_sec=1.0)
            for thread in threads:
                thread.join(timeout=1.0)
    if failures:
        raise failures[0]
    if all_over:
        print(robot.summary, flush=True)
    return OK


if __name__ == "__main__":
    sys.exit(main())
