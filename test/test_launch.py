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
from launch.actions import ExecuteProcess, IncludeLaunchDescription, Shutdown, TimerAction  # noqa: E402
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
    given |= {"shadow": "true", "start_paused": "true", "engine": "onnxruntime", "isolation": "thread"}
    given |= {"black_box": "/var/log/robot"}
    context, actions = started("policy.launch.py", **given)
    (overrides,) = parameters_of(context, node_in(actions))
    wanted = {"checkpoint": "/models/pick", "mode": "local", "autostart": False, "use_sim_time": True}
    wanted |= {"shadow": True, "start_paused": True, "engine": "onnxruntime", "isolation": "thread"}
    wanted |= {"black_box": "/var/log/robot"}
    assert dict(overrides) == wanted


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
        ("policy.launch.py", "engine", "tensorflow"),
        ("policy.launch.py", "precision", "int8"),
        ("policy.launch.py", "isolation", "container"),
        ("policy.launch.py", "respawn", "maybe"),
        ("policy.launch.py", "log_level", "silly"),
        ("demo.launch.py", "engine", "tensorflow"),
        ("demo.launch.py", "cover_camera", "maybe"),
        ("demo.launch.py", "episodes", "many"),
        ("demo.launch.py", "mode", "remote"),
        ("replay.launch.py", "loop", "maybe"),
        ("replay.launch.py", "rate", "fast"),
        ("triton.launch.py", "grpc_port", "any"),
    ],
)
def test_an_argument_that_cannot_be_used_is_refused_before_anything_starts(file: str, name: str, text: str) -> None:
    here = str(Path(__file__).parent)
    needed = {"replay.launch.py": {"bag": here}, "triton.launch.py": {"model_repository": here}}
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


@pytest.mark.parametrize(
    ("file", "name", "why"),
    [
        ("policy.launch.py", "params_file", "no such file"),
        ("replay.launch.py", "bag", "no such file or directory"),
        ("triton.launch.py", "model_repository", "no such directory"),
    ],
)
def test_what_is_not_there_is_named_before_anything_starts(tmp_path: Path, file: str, name: str, why: str) -> None:
    actions: list[Any] = []
    with pytest.raises(ConfigurationError, match=f"{name}: {tmp_path / 'no'}: {why}"):
        started(file, actions, **{name: str(tmp_path / "no")})
    assert not any(isinstance(action, (ExecuteProcess, IncludeLaunchDescription)) for action in actions)


@pytest.mark.parametrize("file", ["policy.launch.py", "demo.launch.py", "replay.launch.py", "triton.launch.py"])
def test_a_misspelt_argument_starts_nothing(file: str) -> None:
    name = module_of(file).ARGUMENTS[-1].name
    needed = {"bag": "recorded", "model_repository": "models"}
    actions: list[Any] = []
    with pytest.raises(ConfigurationError, match=f"{name}s: there is no such launch argument; did you mean {name}"):
        started(file, actions, **needed, **{f"{name}s": "x"})
    assert not any(isinstance(action, (ExecuteProcess, IncludeLaunchDescription)) for action in actions)


def ended(returncode: int, **arguments: str) -> list[Any]:
    """What the launch file does when its node ends with this exit status."""
    context, actions = started("policy.launch.py", **arguments)
    event: dict[str, Any] = {"action": None, "name": "policy_node", "cmd": [], "cwd": None, "env": None, "pid": 1}
    on_exit = node_in(actions)._ExecuteLocal__on_exit
    return list(on_exit(ProcessExited(returncode=returncode, **event), context))


def test_launch_ends_with_the_node_and_fails_if_that_failed() -> None:
    (shutdown,) = ended(0)
    assert isinstance(shutdown, Shutdown)
    with pytest.raises(RuntimeError, match="exit status 2"):
        ended(2)
    with pytest.raises(RuntimeError, match="exit status -9"):
        ended(-9)


def test_a_node_that_died_is_started_again_paused_but_not_after_a_mistake() -> None:
    (again,) = ended(-9, respawn="true", mode="local")
    assert isinstance(again, TimerAction)
    (node,) = again.actions
    (overrides,) = parameters_of(LaunchContext(), node)
    assert dict(overrides) == {"mode": "local", "start_paused": True}
    with pytest.raises(RuntimeError, match="exit status 2"):
        ended(2, respawn="true")
    (shutdown,) = ended(0, respawn="true")
    assert isinstance(shutdown, Shutdown)


def test_the_demo_is_alone_on_its_machine_and_domain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ROS_DOMAIN_ID", "ROS_AUTOMATIC_DISCOVERY_RANGE"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    started("demo.launch.py", checkpoint=str(tmp_path))
    assert 1 <= int(os.environ["ROS_DOMAIN_ID"]) <= 100
    assert os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] == "LOCALHOST"
    monkeypatch.setenv("ROS_DOMAIN_ID", "42")
    started("demo.launch.py", checkpoint=str(tmp_path))
    assert os.environ["ROS_DOMAIN_ID"] == "42"


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
    wanted = {"publish_clock": True, "clear_stops": True, "episodes": 3, "cover_camera": True}
    assert dict(parameters) == wanted
