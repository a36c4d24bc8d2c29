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
    TimerAction,
)
from launch.events.process import ProcessExited
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from act_inference_ros.errors import ConfigurationError
from act_inference_ros.interfaces import ENGINES, ISOLATIONS, MODES, PRECISIONS
from act_inference_ros.program.exit_status import MISTAKE, OK
from act_inference_ros.program.launch_arguments import boolean, existing_file, one_of, refuse_misspelt

PACKAGE = "act_inference_ros"
NODE_NAME = "policy_node"
LOG_LEVELS = ("debug", "info", "warn", "error", "fatal")
RESPAWN_S = 2.0
"""Delay between the node's end and its restart."""
DEFAULT_SERVER = "localhost:8001"
SERVER_START_S = 60.0
"""How long the node waits for a server that starts with it, unless the parameter file says otherwise."""
PROFILE_VARIABLE = "FASTDDS_DEFAULT_PROFILES_FILE"
PROFILE_VARIABLE_HUMBLE = "FASTRTPS_DEFAULT_PROFILES_FILE"

# Launch argument -> how its text becomes the parameter's value.
PARAMETERS = {
    "mode": lambda text: one_of("mode", text, MODES),
    "checkpoint": str,
    "engine": lambda text: one_of("engine", text, ENGINES),
    "precision": lambda text: one_of("precision", text, PRECISIONS),
    "isolation": lambda text: one_of("isolation", text, ISOLATIONS),
    "server": str,
    "model": str,
    "autostart": lambda text: boolean("autostart", text),
    "use_sim_time": lambda text: boolean("use_sim_time", text),
    "shadow": lambda text: boolean("shadow", text),
    "start_paused": lambda text: boolean("start_paused", text),
    "black_box": str,
}

ARGUMENTS = (
    DeclareLaunchArgument("mode", default_value="", description="local or triton"),
    DeclareLaunchArgument(
        "checkpoint", default_value="", description="LeRobot checkpoint or exported repository (local mode)"
    ),
    DeclareLaunchArgument("engine", default_value="", description="torch, onnxruntime or auto (local mode)"),
    DeclareLaunchArgument("precision", default_value="", description="float32, bfloat16 or float16 (local mode)"),
    DeclareLaunchArgument("isolation", default_value="", description="process or thread (local mode)"),
    DeclareLaunchArgument("server", default_value="", description="host:port of the Triton server (triton mode)"),
    DeclareLaunchArgument("model", default_value="", description="the model's name on the server (triton mode)"),
    DeclareLaunchArgument("start_server", default_value="false", description="true: start Triton here, too"),
    DeclareLaunchArgument("model_repository", default_value="", description="what it serves, see export_policy"),
    DeclareLaunchArgument("params_file", default_value="", description="the robot's parameter file"),
    DeclareLaunchArgument("namespace", default_value="", description="of the node, and of its relative topics"),
    DeclareLaunchArgument("name", default_value=NODE_NAME, description="of the node; the file's key must fit it"),
    DeclareLaunchArgument("respawn", default_value="false", description="true: start it again, paused, if it dies"),
    DeclareLaunchArgument("autostart", default_value="", description="false: wait for lifecycle transitions"),
    DeclareLaunchArgument("use_sim_time", default_value="", description="true: go by /clock"),
    DeclareLaunchArgument("shadow", default_value="", description="true: rehearse, and command no controller"),
    DeclareLaunchArgument("start_paused", default_value="", description="true: wait for ~/resume"),
    DeclareLaunchArgument(
        "black_box", default_value="", description="directory that the last minute is written into after a stop or hold"
    ),
    DeclareLaunchArgument("log_level", default_value="info", description="debug, info, warn, error or fatal"),
)


def generate_launch_description() -> LaunchDescription:
    return LaunchDescription([*ARGUMENTS, OpaqueFunction(function=_start)])


def _start(context: LaunchContext) -> list[Action]:
    refuse_misspelt(context.launch_configurations, [argument.name for argument in ARGUMENTS])
    given = {name: LaunchConfiguration(name).perform(context) for name in PARAMETERS}
    params_file = existing_file("params_file", LaunchConfiguration("params_file").perform(context))
    respawn = boolean("respawn", LaunchConfiguration("respawn").perform(context))
    log_level = one_of("log_level", LaunchConfiguration("log_level").perform(context), LOG_LEVELS)
    overrides = {name: PARAMETERS[name](text) for name, text in given.items() if text}
    parameters: list = [params_file] if params_file else []
    server: list[Action] = []
    if boolean("start_server", LaunchConfiguration("start_server").perform(context)):
        server = [_server(context, given["server"] or DEFAULT_SERVER)]
        overrides = {"mode": "triton", "server": DEFAULT_SERVER} | overrides
        parameters.insert(0, {"server_timeout": SERVER_START_S})

    def node(overrides: dict) -> Action:
        return Node(
            package=PACKAGE,
            executable="policy_node",
            name=LaunchConfiguration("name"),
            namespace=LaunchConfiguration("namespace"),
            parameters=[*parameters, overrides],
            arguments=["--ros-args", "--log-level", log_level],
            output="screen",
            emulate_tty=True,
            on_exit=on_exit,
        )

    def on_exit(event: ProcessExited, context: LaunchContext) -> list[Action]:
        if not respawn or event.returncode in (OK, MISTAKE) or context.is_shutdown:
            return _end(event)
        # The cause of its death is unknown, so it commands nothing until a person resumes it.
        return [TimerAction(period=RESPAWN_S, actions=[node(overrides | {"start_paused": True})])]

    return [*_transport_profile(), *server, node(overrides)]


def _server(context: LaunchContext, address: str) -> Action:
    """Start Triton on this machine, at the port that the node will use."""
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


def _end(event: ProcessExited) -> list[Action]:
    """End with the node, and fail if it failed: launch itself ignores the exit status of its processes."""
    if event.returncode != 0:
        raise RuntimeError(f"policy_node ended with exit status {event.returncode}; its last line says why")
    return [Shutdown(reason="policy_node has ended")]


def _transport_profile() -> list[Action]:
    """Set this package's DDS profile, unless the user has set one: with Fast DDS's defaults most images are lost."""
    if {PROFILE_VARIABLE, PROFILE_VARIABLE_HUMBLE} & set(os.environ):
        return []
    profile = os.path.join(get_package_share_directory(PACKAGE), "config", "fastdds.xml")
    humble = os.environ.get("ROS_DISTRO") == "humble"
    return [SetEnvironmentVariable(PROFILE_VARIABLE_HUMBLE if humble else PROFILE_VARIABLE, profile)]
