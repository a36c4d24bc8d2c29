"""Starts policy_node: `ros2 launch act_inference_ros policy.launch.py params_file:=robot.yaml checkpoint:=DIR`.

An argument overrides the parameter file only when it is given.
"""

import os

from ament_index_python.packages import get_package_share_directory
from launch import LaunchContext, LaunchDescription
from launch.action import Action
from launch.actions import (
    DeclareLaunchArgument,
    IncludeLaunchDescription,
    OpaqueFunction,
    SetEnvironmentVariable,
    Shutdown,
)
from launch.events.process import ProcessExited
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from act_inference_ros.errors import ConfigurationError
from act_inference_ros.program.launch_arguments import MODES, boolean, one_of

PACKAGE = "act_inference_ros"
DEFAULT_SERVER = "localhost:8001"
SERVER_START_S = 60.0
"""How long the node waits for a server that starts with it, unless the parameter file says otherwise."""
PROFILE_VARIABLE = "FASTDDS_DEFAULT_PROFILES_FILE"
PROFILE_VARIABLE_HUMBLE = "FASTRTPS_DEFAULT_PROFILES_FILE"

# Launch argument -> how its text becomes the parameter's value.
PARAMETERS = {
    "mode": lambda text: one_of("mode", text, MODES),
    "checkpoint": str,
    "server": str,
    "model": str,
    "autostart": lambda text: boolean("autostart", text),
    "use_sim_time": lambda text: boolean("use_sim_time", text),
    "shadow": lambda text: boolean("shadow", text),
    "start_paused": lambda text: boolean("start_paused", text),
}

ARGUMENTS = (
    DeclareLaunchArgument("mode", default_value="", description="local or triton"),
    DeclareLaunchArgument("checkpoint", default_value="", description="LeRobot checkpoint directory (local mode)"),
    DeclareLaunchArgument("server", default_value="", description="host:port of the Triton server (triton mode)"),
    DeclareLaunchArgument("model", default_value="", description="the model's name on the server (triton mode)"),
    DeclareLaunchArgument("start_server", default_value="false", description="true: start Triton here, too"),
    DeclareLaunchArgument("model_repository", default_value="", description="what it serves, see export_policy"),
    DeclareLaunchArgument("params_file", default_value="", description="the robot's parameter file"),
    DeclareLaunchArgument("namespace", default_value="", description="namespace of the node"),
    DeclareLaunchArgument("autostart", default_value="", description="false: wait for lifecycle transitions"),
    DeclareLaunchArgument("use_sim_time", default_value="", description="true: go by /clock"),
    DeclareLaunchArgument("shadow", default_value="", description="true: rehearse, and command no controller"),
    DeclareLaunchArgument("start_paused", default_value="", description="true: wait for ~/resume"),
    DeclareLaunchArgument("log_level", default_value="info", description="debug, info, warn, error or fatal"),
)


def generate_launch_description() -> LaunchDescription:
    return LaunchDescription([*ARGUMENTS, OpaqueFunction(function=_start)])


def _start(context: LaunchContext) -> list[Action]:
    given = {name: LaunchConfiguration(name).perform(context) for name in PARAMETERS}
    params_file = LaunchConfiguration("params_file").perform(context)
    overrides = {name: PARAMETERS[name](text) for name, text in given.items() if text}
    parameters: list = [os.path.abspath(os.path.expanduser(params_file))] if params_file else []
    server: list[Action] = []
    if boolean("start_server", LaunchConfiguration("start_server").perform(context)):
        server = [_server(context, given["server"] or DEFAULT_SERVER)]
        overrides = {"mode": "triton", "server": DEFAULT_SERVER} | overrides
        parameters.insert(0, {"server_timeout": SERVER_START_S})
    node = Node(
        package=PACKAGE,
        executable="policy_node",
        name="policy_node",
        namespace=LaunchConfiguration("namespace"),
        parameters=[*parameters, overrides],
        arguments=["--ros-args", "--log-level", LaunchConfiguration("log_level")],
        output="screen",
        emulate_tty=True,
        on_exit=_end,
    )
    return [*_transport_profile(), *server, node]


def _server(context: LaunchContext, address: str) -> Action:
    """Triton on this machine, at the port that the node will ask."""
    repository = LaunchConfiguration("model_repository").perform(context)
    _, _, port = address.rpartition(":")
    if not repository or not port.isdecimal():
        raise ConfigurationError(
            "start_server: expected model_repository:=DIR and one server:=localhost:PORT, "
            f"got {repository!r} and {address!r}"
        )
    return IncludeLaunchDescription(
        PythonLaunchDescriptionSource(os.path.join(os.path.dirname(__file__), "triton.launch.py")),
        launch_arguments={"model_repository": repository, "grpc_port": port, "http_port": "0"}.items(),
    )


def _end(event: ProcessExited, _context: LaunchContext) -> list[Action]:
    """End with the node, and with an exit status: launch itself succeeds whatever a node's is."""
    if event.returncode != 0:
        raise RuntimeError(f"policy_node ended with exit status {event.returncode}; its last line says why")
    return [Shutdown(reason="policy_node has ended")]


def _transport_profile() -> list[Action]:
    """With Fast DDS's defaults most best-effort images between processes are lost; a profile of the user's own wins."""
    if {PROFILE_VARIABLE, PROFILE_VARIABLE_HUMBLE} & set(os.environ):
        return []
    profile = os.path.join(get_package_share_directory(PACKAGE), "config", "fastdds.xml")
    humble = os.environ.get("ROS_DISTRO") == "humble"
    return [SetEnvironmentVariable(PROFILE_VARIABLE_HUMBLE if humble else PROFILE_VARIABLE, profile)]
