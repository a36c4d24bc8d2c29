"""Starts the demo: policy_node and the simulated robot as two processes; trains the policy first if there is none.

`ros2 launch act_inference_ros demo.launch.py episodes:=20`. Outside a ROS 2 installation `make demo` does the same.
"""

import sys
from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch import LaunchContext, LaunchDescription
from launch.action import Action
from launch.actions import (
    DeclareLaunchArgument,
    ExecuteProcess,
    IncludeLaunchDescription,
    OpaqueFunction,
    RegisterEventHandler,
    Shutdown,
)
from launch.event_handlers import OnProcessExit
from launch.events.process import ProcessExited
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from act_inference_ros.program.launch_arguments import MODES, boolean, one_of, whole_number

PACKAGE = "act_inference_ros"

ARGUMENTS = (
    DeclareLaunchArgument("mode", default_value="local", description="local or triton"),
    DeclareLaunchArgument("server", default_value="", description="host:port of the Triton server (triton mode)"),
    DeclareLaunchArgument("checkpoint", default_value=".demo/checkpoint", description="trained there if not there yet"),
    DeclareLaunchArgument("episodes", default_value="20", description="cubes to pick; 0: go on until stopped"),
    DeclareLaunchArgument("cover_camera", default_value="false", description="true: the policy sees black images"),
)


def generate_launch_description() -> LaunchDescription:
    return LaunchDescription([*ARGUMENTS, OpaqueFunction(function=_start)])


def _start(context: LaunchContext) -> list[Action]:
    given = {argument.name: LaunchConfiguration(argument.name).perform(context) for argument in ARGUMENTS}
    checkpoint = Path(given["checkpoint"]).absolute()
    mode = one_of("mode", given["mode"], MODES)
    robot = {
        # Time slows down with a busy machine, so that the demo does not depend on its speed.
        "publish_clock": True,
        "clear_stops": True,
        "episodes": whole_number("episodes", given["episodes"]),
        "cover_camera": boolean("cover_camera", given["cover_camera"]),
    }
    demo = _robot_and_policy(checkpoint, robot)
    if checkpoint.is_dir() or mode != "local":
        return demo
    trainer = ExecuteProcess(
        cmd=[sys.executable, "-m", "act_inference_ros.simulation.trainer", "--out", str(checkpoint)], output="screen"
    )
    return [trainer, RegisterEventHandler(OnProcessExit(target_action=trainer, on_exit=_then(demo)))]


def _then(demo: list[Action]):
    def on_exit(event: ProcessExited, _context: LaunchContext) -> list[Action]:
        if event.returncode != 0:
            raise RuntimeError("the demo's policy could not be trained; the trainer's last line says why")
        return demo

    return on_exit


def _robot_and_policy(checkpoint: Path, robot_parameters: dict) -> list[Action]:
    share = Path(get_package_share_directory(PACKAGE))
    policy = IncludeLaunchDescription(
        PythonLaunchDescriptionSource(str(share / "launch" / "policy.launch.py")),
        launch_arguments={
            "mode": LaunchConfiguration("mode"),
            "server": LaunchConfiguration("server"),
            "checkpoint": str(checkpoint),
            "params_file": str(share / "config" / "sim_arm.yaml"),
            "use_sim_time": "true",
        }.items(),
    )
    robot = Node(
        package=PACKAGE,
        executable="sim_robot",
        name="sim_robot",
        parameters=[robot_parameters],
        output="screen",
        on_exit=Shutdown(reason="the demo is over"),
    )
    # The policy first: its launch file sets the transport profile for both.
    return [policy, robot]
