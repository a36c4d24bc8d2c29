"""sim_robot: the demo arm in MuJoCo, seen from ROS 2 like a ros2_control robot with a camera."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import rclpy
from rcl_interfaces.msg import SetParametersResult
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from std_srvs.srv import Trigger

from act_inference_ros.errors import ActInferenceError, ConfigurationError, MissingDependencyError
from act_inference_ros.program.exit_status import FAULT, MISTAKE, OK
from act_inference_ros.program.signals import StopSignals
from act_inference_ros.ros.command_line import initialise, readable_ros_errors
from act_inference_ros.ros.sim.command_topics import CommandTopics
from act_inference_ros.ros.sim.settings import PARAMETERS, read_settings
from act_inference_ros.ros.sim.topics import SimTopics
from act_inference_ros.simulation.command_inputs import ALL_JOINTS
from act_inference_ros.simulation.episode_rules import SETTLE_S, STALE_MARGIN_S, EpisodeClock, Outcome, Phase
from act_inference_ros.simulation.scene import DemoArm
from act_inference_ros.simulation.success import success_line
from act_inference_ros.simulation.tick_clock import TickClock

NODE_NAME = "sim_robot"
POLICY_RESET_TIMEOUT_S = 2.0
RESET_REPLY_TIMEOUT_S = 5.0

_LONGEST_SLEEP_S = 0.05
_NANOSECONDS = 1_000_000_000

_DESCRIPTION = """\
A simulated robot for policy_node: a small arm (pan, shoulder, elbow, wrist, roll, grip) in front of a cube.

publishes   /front/image_raw (rgb8), /front/image_raw/compressed, /joint_states, ~/episode (JSON), /clock if asked
listens to  joint_trajectory:  /arm_controller/joint_trajectory, /gripper_controller/joint_trajectory
            position_stream:   /arm_controller/commands, /gripper_controller/commands
            joint_state:       /arm_controller/joint_commands, /gripper_controller/joint_commands
offers      ~/reset (std_srvs/Trigger): arm home, the cube at its next place
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
        self._commands = CommandTopics(
            node,
            settings.interface,
            lambda: self._clock.now_ns,
            from_last_command=settings.interpolate_from_desired_state,
        )
        self._camera_due_s = self._joint_states_due_s = self._clock.now_s
        self._episode = EpisodeClock(settings.episode_time_s)
        self._outcomes: list[Outcome] = []
        self._refused_before = 0
        self._phase = Phase.WAITING
        self._phase_since_s = self._clock.now_s
        self._wall_since_s = time.monotonic()
        self._forgetting: Any = None
        self._reset_wanted = threading.Event()
        self._reset_done = threading.Event()
        name = settings.policy_reset_service
        self._policy_reset = node.create_client(Trigger, name) if name else None
        node.create_service(Trigger, "~/reset", self._on_reset)
        node.add_on_set_parameters_callback(self._on_parameters)
        self._commands.close(self._arm.positions)
        self._commands.open(accept_after_ns=0)
        node.get_logger().info(
            f"listening to {', '.join(self._commands.topics)}; {'simulated' if settings.publish_clock else 'wall'} time"
        )

    @property
    def episodes(self) -> int:
        """Episodes that are over."""
        return len(self._outcomes)

    @property
    def successes(self) -> int:
        """Episodes in which the cube was lifted."""
        return sum(outcome.success for outcome in self._outcomes)

    @property
    def _all_episodes_over(self) -> bool:
        return 0 < self._settings.episodes <= len(self._outcomes)

    def run(self, is_stopped: Callable[[], bool]) -> bool:
        """Run until all episodes are over (True) or `is_stopped` (False). Raises ActInferenceError if none begins."""
        while not is_stopped():
            wait_s = self._clock.wait_s
            if wait_s > 0.0:
                # Short ones: nothing cuts a sleep short when it is time to stop.
                time.sleep(min(wait_s, _LONGEST_SLEEP_S))
                continue
            self._tick()
            # Not before the policy has forgotten the last episode's plan: it then stops commanding an arm that is gone.
            if self._all_episodes_over and self._phase is Phase.WAITING:
                self._topics.flush(timeout_s=1.0)
                return True
        return False

    def close(self) -> None:
        """Free the renderer; from the thread of `run`."""
        self._arm.close()

    def _tick(self) -> None:
        self._clock.tick()
        now_s, now_ns = self._clock.now_s, self._clock.now_ns
        if self._reset_wanted.is_set():
            self._start_over()
            self._reset_wanted.clear()
            self._reset_done.set()
        accepted = self._commands.apply(now_s, self._arm.positions, self._arm.velocities)
        self._arm.step(self._commands.target(now_s), self._clock.period_s)
        self._topics.publish_clock(now_ns)
        if now_s >= self._joint_states_due_s:
            self._joint_states_due_s = max(self._joint_states_due_s + 1.0 / self._settings.joint_state_rate, now_s)
            self._topics.publish_joint_states(now_ns, self._arm.positions, self._arm.velocities)
        if now_s >= self._camera_due_s:
            self._camera_due_s = max(self._camera_due_s + 1.0 / self._settings.camera_rate, now_s)
            self._topics.publish_image(now_ns, self._arm.render)
        self._advance_phase(now_s, accepted)

    def _advance_phase(self, now_s: float, accepted: int) -> None:
        if self._phase is Phase.SETTLING and now_s - self._phase_since_s >= SETTLE_S:
            self._forgetting = self._call_policy_reset()
            self._enter(Phase.FORGETTING)
        if self._phase is Phase.FORGETTING and self._policy_has_forgotten():
            self._commands.open(self._clock.now_ns + round(STALE_MARGIN_S * _NANOSECONDS))
            self._enter(Phase.WAITING)
        if not self._settings.episodes or self._all_episodes_over:
            return
        if self._phase is Phase.WAITING:
            if accepted:
                self._episode.start(now_s)
                self._refused_before = self._commands.refused_count
                self._enter(Phase.RUNNING)
            elif time.monotonic() - self._wall_since_s > self._settings.first_command_timeout_s:
                raise ActInferenceError(
                    f"no command came on {', '.join(self._commands.topics)} for "
                    f"{self._settings.first_command_timeout_s:g} s ({self._commands.refused_count} refused, "
                    f"{self._commands.stale_count} from before the reset); "
                    "is policy_node running and active, and does it use the same ROS_DOMAIN_ID and interface?"
                )
        elif self._phase is Phase.RUNNING:
            verdict = self._episode.verdict(now_s, self._arm.cube_lifted)
            if verdict is not None:
                self._finish_episode(*verdict)

    def _finish_episode(self, success: bool, duration_s: float) -> None:
        refused = self._commands.refused_count - self._refused_before
        outcome = Outcome(len(self._outcomes) + 1, success, duration_s, refused)
        self._outcomes.append(outcome)
        self._topics.publish_outcome(outcome)
        print(outcome.line(self._settings.episodes), flush=True)
        self._start_over()

    def _start_over(self) -> None:
        self._arm.reset()
        self._commands.close(self._arm.positions)
        self._enter(Phase.SETTLING)

    def _enter(self, phase: Phase) -> None:
        self._phase = phase
        self._phase_since_s = self._clock.now_s
        self._wall_since_s = time.monotonic()

    def _call_policy_reset(self) -> Any:
        if self._policy_reset is None or not self._policy_reset.service_is_ready():
            return None
        # Never awaited here: the answer is looked for at each tick, so that time and physics go on meanwhile.
        return self._policy_reset.call_async(Trigger.Request())

    def _policy_has_forgotten(self) -> bool:
        if self._forgetting is None or self._forgetting.done():
            return True
        if time.monotonic() - self._wall_since_s < POLICY_RESET_TIMEOUT_S:
            return False
        self._node.get_logger().warning(
            f"{self._settings.policy_reset_service} did not answer within {POLICY_RESET_TIMEOUT_S:g} s; going on"
        )
        return True

    def _on_reset(self, _: Any, response: Any) -> Any:
        self._reset_done.clear()
        self._reset_wanted.set()
        response.success = self._reset_done.wait(RESET_REPLY_TIMEOUT_S)
        response.message = "" if response.success else "the simulation did not take its next step"
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
        return MISTAKE if isinstance(error, (ConfigurationError, MissingDependencyError)) else FAULT
    finally:
        rclpy.try_shutdown()


def _run(node: Node, is_stopped: Callable[[], bool]) -> int:
    robot = SimRobot(node)
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    failures: list[BaseException] = []

    def spin() -> None:
        try:
            executor.spin()
        except ExternalShutdownException:
            pass
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=spin, name="executor", daemon=True)
    thread.start()
    try:
        all_over = robot.run(lambda: is_stopped() or bool(failures))
    finally:
        robot.close()
        executor.shutdown(timeout_sec=1.0)
        thread.join(timeout=1.0)
    if failures:
        raise failures[0]
    if all_over:
        print(success_line(robot.successes, robot.episodes), flush=True)
    return OK


if __name__ == "__main__":
    sys.exit(main())
