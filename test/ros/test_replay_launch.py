"""replay.launch.py, with ROS's own launch: the policy on the bag's time, the replay once it listens."""

import importlib.util
from pathlib import Path
from typing import Any

import pytest

from test.ros.ros_helpers import PROJECT

pytest.importorskip("launch.launch_description_sources", reason="launch files need a ROS 2 installation")
pytest.importorskip("launch_ros.actions", reason="launch files need a ROS 2 installation")


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> Any:
    specification = importlib.util.spec_from_file_location("replay", PROJECT / "launch" / "replay.launch.py")
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    monkeypatch.setattr(module, "get_package_share_directory", lambda _: str(PROJECT))
    return module


@pytest.mark.parametrize(("loop", "last"), [("false", "120"), ("true", "--loop")])
def test_the_policy_goes_by_the_bags_time_and_the_replay_waits_for_it(module: Any, loop: str, last: str) -> None:
    from launch import LaunchContext
    from launch.actions import DeclareLaunchArgument

    context = LaunchContext()
    context.launch_configurations.update(bag="recorded", checkpoint="ck", loop=loop)
    actions = list(module.generate_launch_description().entities)
    for argument in [action for action in actions if isinstance(action, DeclareLaunchArgument)]:
        argument.execute(context)
    policy, replay = actions[-1].execute(context)
    given = dict(policy.launch_arguments)
    assert given["use_sim_time"] == "true"
    assert given["shadow"] == "true"
    assert given["checkpoint"] == "ck"
    assert given["params_file"] == str(PROJECT / "config" / "sim_arm.yaml")
    arguments = [context.perform_substitution(part) for words in replay.cmd[1:] for part in words]
    assert arguments[:6] == ["--bag", str(Path("recorded").absolute()), "--clock", "--rate", "1.0", "--wait"]
    assert last in arguments
