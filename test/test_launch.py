"""The launch files, with ROS's own launch: what they start, and that arguments override the file only when given."""

import importlib.util
import os
from pathlib import Path
from typing import Any

import pytest

LAUNCH = Path(__file__).parents[1] / "launch"
PROFILE_VARIABLE = "FASTDDS_DEFAULT_PROFILES_FILE"


def _missing() -> str | None:
    """Why launch files cannot be executed here; None where they can."""
    for module in ("launch.launch_description_sources", "launch_ros.actions", "ament_index_python.packages"):
        try:
            importlib.import_module(module)
        except ImportError as error:
            return f"launch files need a ROS 2 installation: not importable in this environment: {error}"
    return None


if _missing():
    pytest.skip(_missing() or "", allow_module_level=True)

from ament_index_python.packages import PackageNotFoundError, get_package_share_directory  # noqa: E402
from launch import LaunchContext  # noqa: E402
from launch.actions import ExecuteProcess, IncludeLaunchDescription, Shutdown  # noqa: E402
from launch.events.process import ProcessExited  # noqa: E402
from launch.utilities import normalize_to_list_of_substitutions, perform_substitutions  # noqa: E402
from launch_ros.actions import Node  # noqa: E402
from launch_ros.utilities import evaluate_parameters  # noqa: E402

from act_inference_ros.errors import ConfigurationError  # noqa: E402


@pytest.fixture(autouse=True)
def _installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(PROFILE_VARIABLE, raising=False)
    monkeypatch.delenv("FASTRTPS_DEFAULT_PROFILES_FILE", raising=False)
    try:
        get_package_share_directory("act_inference_ros")
    except PackageNotFoundError as error:
        pytest.skip(f"act_inference_ros is not installed with colcon: {error}")


def module_of(file: str) -> Any:
    specification = importlib.util.spec_from_file_location(file.partition(".")[0], LAUNCH / file)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def started(file: str, into: list[Any] | Any = None, **arguments: str) -> tuple[LaunchContext, list[Any]]:
    """The context after the launch file's description, and all actions in it (in `into`, too); nothing is started."""
    context = LaunchContext()
    context.launch_configurations.update(arguments)
    actions: list[Any] = [] if into is None else into
    waiting = list(module_of(file).generate_launch_description().entities)
    while waiting:
        action = waiting.pop(0)
        actions.append(action)
        if not isinstance(action, (ExecuteProcess, IncludeLaunchDescription)):  # these are looked at, not begun
            waiting += action.execute(context) or []
    return context, actions


def node_in(actions: list[Any]) -> Node:
    (node,) = [action for action in actions if isinstance(action, Node)]
    return node


def parameters_of(context: LaunchContext, node: Node) -> list[Any]:
    return list(evaluate_parameters(context, node._Node__parameters))


def test_without_arguments_nothing_overrides_the_parameter_file(tmp_path: Path) -> None:
    file = tmp_path / "robot.yaml"
    file.write_text("/**/policy_node: {ros__parameters: {checkpoint: mine}}\n")
    context, actions = started("policy.launch.py", params_file=str(file))
    (path, overrides) = parameters_of(context, node_in(actions))
    assert Path(path) == file
    assert dict(overrides) == {}


def test_an_argument_that_is_given_overrides_the_file() -> None:
    given = {"checkpoint": "/models/pick", "mode": "local", "autostart": "false", "use_sim_time": "True"}
    given |= {"shadow": "true", "start_paused": "true"}
    context, actions = started("policy.launch.py", **given)
    (overrides,) = parameters_of(context, node_in(actions))
    wanted = {"checkpoint": "/models/pick", "mode": "local", "autostart": False, "use_sim_time": True}
    assert dict(overrides) == wanted | {"shadow": True, "start_paused": True}


def test_a_server_that_starts_with_the_node_is_the_one_it_asks() -> None:
    context, actions = started(
        "policy.launch.py", start_server="true", model_repository="models", server="localhost:8123"
    )
    (server,) = [action for action in actions if isinstance(action, IncludeLaunchDescription)]
    assert dict(server.launch_arguments) == {"model_repository": "models", "grpc_port": "8123", "http_port": "0"}
    waits, overrides = parameters_of(context, node_in(actions))
    assert waits["server_timeout"] == 60.0
    assert overrides == {"mode": "triton", "server": "localhost:8123"}


def test_a_server_to_start_needs_a_model_repository() -> None:
    with pytest.raises(ConfigurationError, match="model_repository:=DIR"):
        started("policy.launch.py", start_server="true")


@pytest.mark.parametrize(
    ("file", "name", "text"),
    [
        ("policy.launch.py", "autostart", "maybe"),
        ("policy.launch.py", "use_sim_time", "maybe"),
        ("policy.launch.py", "shadow", "maybe"),
        ("policy.launch.py", "start_server", "maybe"),
        ("policy.launch.py", "mode", "remote"),
        ("demo.launch.py", "cover_camera", "maybe"),
        ("demo.launch.py", "episodes", "many"),
        ("demo.launch.py", "mode", "remote"),
        ("replay.launch.py", "loop", "maybe"),
        ("replay.launch.py", "rate", "fast"),
        ("triton.launch.py", "grpc_port", "any"),
    ],
)
def test_an_argument_that_cannot_be_used_is_refused_before_anything_starts(file: str, name: str, text: str) -> None:
    needed = {"replay.launch.py": {"bag": "recorded"}, "triton.launch.py": {"model_repository": "models"}}
    actions: list[Any] = []
    with pytest.raises(ConfigurationError, match=f"{name}: expected .* got '{text}'"):
        started(file, actions, **needed.get(file, {}), **{name: text})
    assert not any(isinstance(action, (ExecuteProcess, IncludeLaunchDescription)) for action in actions)


def test_the_transport_profile_is_the_packages_unless_the_user_has_one(monkeypatch: pytest.MonkeyPatch) -> None:
    started("policy.launch.py")
    assert os.path.isfile(os.environ[PROFILE_VARIABLE])
    monkeypatch.setenv(PROFILE_VARIABLE, "/my/profile.xml")
    started("policy.launch.py")
    assert os.environ[PROFILE_VARIABLE] == "/my/profile.xml"


def test_launch_ends_with_the_node_and_fails_if_that_failed() -> None:
    end = module_of("policy.launch.py")._end
    event: dict[str, Any] = {"action": None, "name": "policy_node", "cmd": [], "cwd": None, "env": None, "pid": 1}
    context = LaunchContext()
    (shutdown,) = end(ProcessExited(returncode=0, **event), context)
    assert isinstance(shutdown, Shutdown)
    with pytest.raises(RuntimeError, match="exit status 2"):
        end(ProcessExited(returncode=2, **event), context)


def test_the_demo_trains_only_a_policy_that_is_not_there_yet(tmp_path: Path) -> None:
    def trained(**arguments: str) -> list[str]:
        context, actions = started("demo.launch.py", **arguments)
        processes = [a for a in actions if isinstance(a, ExecuteProcess) and not isinstance(a, Node)]
        return [" ".join(perform_substitutions(context, part) for part in process.cmd) for process in processes]

    (training,) = trained(checkpoint=str(tmp_path / "new"))
    assert f"act_inference_ros.simulation.trainer --out {tmp_path / 'new'}" in training
    assert trained(checkpoint=str(tmp_path)) == []
    assert trained(checkpoint=str(tmp_path / "new"), mode="triton") == []


def test_the_demo_starts_policy_and_robot_with_the_demo_robots_file(tmp_path: Path) -> None:
    context, actions = started("demo.launch.py", checkpoint=str(tmp_path), episodes="3", cover_camera="true")
    (policy,) = [action for action in actions if isinstance(action, IncludeLaunchDescription)]
    given = {key: value for key, value in policy.launch_arguments}
    texts = {key: perform_substitutions(context, normalize_to_list_of_substitutions(v)) for key, v in given.items()}
    assert Path(texts["params_file"]).name == "sim_arm.yaml"
    assert (texts["use_sim_time"], texts["checkpoint"]) == ("true", str(tmp_path))
    robot = node_in(actions)
    (parameters,) = parameters_of(context, robot)
    assert dict(parameters) == {"publish_clock": True, "episodes": 3, "cover_camera": True}
