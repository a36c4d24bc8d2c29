"""Starts the demo: policy_node and the simulated robot as two processes; first trains the policy if there is none.

`ros2 launch act_inference_ros demo.launch.py episodes:=20`. Outside a ROS 2 installation `make demo` does the same.
"""

import atexit
import contextlib
import os
import sys
from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch import LaunchContext, LaunchDescription
from launch.action import Action
from launch.actions import (
    DeclareLaunchArgument,
    ExecuteProcess,
    IncludeLaunchDescription,
    LogInfo,
    OpaqueFunction,
    RegisterEventHandler,
    SetEnvironmentVariable,
    Shutdown,
)
from launch.event_handlers import OnProcessExit
from launch.events.process import ProcessExited
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from act_inference_ros.demo.domain import isolated
from act_inference_ros.interfaces import ENGINES, MODES
from act_inference_ros.program.launch_arguments import boolean, one_of, refuse_misspelt, whole_number

PACKAGE = "act_inference_ros"

ARGUMENTS = (
    DeclareLaunchArgument("mode", default_value="local", description="local or triton"),
    DeclareLaunchArgument("server", default_value="", description="host:port of the Triton server (triton mode)"),
    DeclareLaunchArgument("checkpoint", default_value=".demo/checkpoint", description="trained there if not there yet"),
    DeclareLaunchArgument("engine", default_value="", description="torch, onnxruntime or auto (local mode)"),
    DeclareLaunchArgument("episodes", default_value="20", description="cubes to pick; 0: go on until stopped"),
    DeclareLaunchArgument("cover_camera", default_value="false", description="true: the policy sees black images"),
)


def generate_launch_description() -> LaunchDescription:
    return LaunchDescription([*ARGUMENTS, OpaqueFunction(function=_start)])


def _start(context: LaunchContext) -> list[Action]:
    refuse_misspelt(context.launch_configurations, [argument.name for argument in ARGUMENTS])
    given = {argument.name: LaunchConfiguration(argument.name).perform(context) for argument in ARGUMENTS}
    checkpoint = Path(given["checkpoint"]).absolute()
    mode = one_of("mode", given["mode"], MODES)
    one_of("engine", given["engine"], ("", *ENGINES))
    robot = {
        # On a busy machine simulated time runs slower, so that the demo does not depend on the machine's speed.
        "publish_clock": True,
        "clear_stops": True,
        "episodes": whole_number("episodes", given["episodes"]),
        "cover_camera": boolean("cover_camera", given["cover_camera"]),
    }
    demo = _robot_and_policy(checkpoint, robot)
    isolation = _isolation()
    if checkpoint.is_dir() or mode != "local":
        return [*isolation, *demo]
    trainer = ExecuteProcess(
        cmd=[sys.executable, "-m", "act_inference_ros.simulation.trainer", "--out", str(checkpoint)], output="screen"
    )
    return [*isolation, trainer, RegisterEventHandler(OnProcessExit(target_action=trainer, on_exit=_then(demo)))]


def _isolation() -> list[Action]:
    """Give the demo its own ROS domain, on this machine only, so that it cannot command a robot nearby."""
    stack = contextlib.ExitStack()
    atexit.register(stack.close)
    own = stack.enter_context(isolated(os.environ))
    shown = " ".join(f"{name}={value}" for name, value in own.items())
    told = [LogInfo(msg=f"to watch the demo from another terminal: export {shown}")] if own else []
    return [*(SetEnvironmentVariable(name, value) for name, value in own.items()), *told]


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
            "engine": LaunchConfiguration("engine"),
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
