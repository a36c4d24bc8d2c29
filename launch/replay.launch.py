"""Replays a recorded bag to policy_node, on the bag's time and without a robot.

    ros2 launch act_inference_ros replay.launch.py bag:=recorded params_file:=robot.yaml checkpoint:=DIR

Only the bag's sensor topics are published, and policy_node runs with `shadow: true`: its commands go to
`~/shadow/<controller>` and to no controller.
"""

from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch import LaunchContext, LaunchDescription
from launch.action import Action
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription, OpaqueFunction, Shutdown
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from act_inference_ros.interfaces import MODES
from act_inference_ros.program.launch_arguments import boolean, existing_path, number, one_of, refuse_misspelt

PACKAGE = "act_inference_ros"
WAIT_S = "120"
"""Time for the node to load the policy and to subscribe to its topics."""

ARGUMENTS = (
    DeclareLaunchArgument("bag", description="the recording: its directory, or its one file"),
    DeclareLaunchArgument("params_file", default_value="", description="the robot's; empty: the demo robot's"),
    DeclareLaunchArgument("mode", default_value="", description="local or triton"),
    DeclareLaunchArgument(
        "checkpoint", default_value="", description="LeRobot checkpoint or exported repository (local)"
    ),
    DeclareLaunchArgument("server", default_value="", description="host:port of the Triton server (triton mode)"),
    DeclareLaunchArgument("rate", default_value="1.0", description="speed, 1 is as recorded"),
    DeclareLaunchArgument("loop", default_value="false", description="true: begin again at the end"),
)


def generate_launch_description() -> LaunchDescription:
    return LaunchDescription([*ARGUMENTS, OpaqueFunction(function=_start)])


def _start(context: LaunchContext) -> list[Action]:
    def given(name: str) -> str:
        return LaunchConfiguration(name).perform(context)

    refuse_misspelt(context.launch_configurations, [argument.name for argument in ARGUMENTS])
    one_of("mode", given("mode"), ("", *MODES))
    bag = existing_path("bag", given("bag"))
    number("rate", given("rate"), 0.01, 100.0)
    loop = boolean("loop", given("loop"))
    share = Path(get_package_share_directory(PACKAGE))
    policy = IncludeLaunchDescription(
        PythonLaunchDescriptionSource(str(share / "launch" / "policy.launch.py")),
        launch_arguments={
            "mode": given("mode"),
            "checkpoint": given("checkpoint"),
            "server": given("server"),
            "params_file": given("params_file") or str(share / "config" / "sim_arm.yaml"),
            "use_sim_time": "true",
            "shadow": "true",
        }.items(),
    )
    replay = Node(
        package=PACKAGE,
        executable="replay_bag",
        arguments=["--bag", bag, "--clock", "--rate", given("rate")]
        + ["--wait", WAIT_S]
        + (["--loop"] if loop else []),
        output="screen",
        on_exit=Shutdown(reason="the bag is over"),
    )
    # The policy first: its launch file sets the transport profile for both.
    return [policy, replay]
