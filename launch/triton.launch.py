"""Starts Triton: `ros2 launch act_inference_ros triton.launch.py model_repository:=DIR`.

Flags for tritonserver itself go into `flags`, for example flags:="--model-control-mode=poll --log-verbose=1".
"""

import shlex

from launch import LaunchContext, LaunchDescription
from launch.action import Action
from launch.actions import DeclareLaunchArgument, ExecuteProcess, OpaqueFunction, Shutdown
from launch.events.process import ProcessExited
from launch.substitutions import LaunchConfiguration
from launch_ros.substitutions import ExecutableInPackage

from act_inference_ros.program.launch_arguments import existing_directory, refuse_misspelt, whole_number

PACKAGE = "act_inference_ros"

ARGUMENTS = (
    DeclareLaunchArgument("model_repository", description="directory of models, see export_policy"),
    DeclareLaunchArgument("grpc_port", default_value="8001", description="port that robots connect to"),
    DeclareLaunchArgument("http_port", default_value="8000", description="port for health; 0: any free one"),
    DeclareLaunchArgument("host", default_value="127.0.0.1", description="0.0.0.0 lets other machines in"),
    DeclareLaunchArgument("flags", default_value="", description="for tritonserver, as they are"),
)


def generate_launch_description() -> LaunchDescription:
    return LaunchDescription([*ARGUMENTS, OpaqueFunction(function=_start)])


def _start(context: LaunchContext) -> list[Action]:
    refuse_misspelt(context.launch_configurations, [argument.name for argument in ARGUMENTS])
    given = {argument.name: LaunchConfiguration(argument.name).perform(context) for argument in ARGUMENTS}
    for name in ("grpc_port", "http_port"):
        whole_number(name, given[name], highest=65535)
    repository = existing_directory("model_repository", given["model_repository"])
    server = ExecuteProcess(
        cmd=[
            ExecutableInPackage(package=PACKAGE, executable="triton_server"),
            f"--model-repository={repository}",
            f"--grpc-port={given['grpc_port']}",
            f"--http-port={given['http_port']}",
            f"--host={given['host']}",
            *shlex.split(given["flags"]),
        ],
        name="triton_server",
        output="screen",
        sigterm_timeout="10",  # it finishes its running inferences, and needs 2 to 3 s for that
        on_exit=_end,
    )
    return [server]


def _end(event: ProcessExited, _context: LaunchContext) -> list[Action]:
    """End with the server, and fail if it failed: launch itself ignores the exit status of its processes."""
    if event.returncode != 0:
        raise RuntimeError(f"triton_server ended with exit status {event.returncode}; its last line says why")
    return [Shutdown(reason="triton_server has ended")]
