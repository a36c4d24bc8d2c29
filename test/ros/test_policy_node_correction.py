"""After a refused configure the parameters can be corrected by `ros2 param set`, in any order, and configured again."""

from collections.abc import Iterator
from typing import Any

import pytest

from test.ros.policy_node_stand import Stand, robot_parameters, running_policy_node


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    parameters = robot_parameters(autostart=False)
    with running_policy_node(tmp_path_factory.mktemp("node"), parameters, wait=None) as stand:
        yield stand


@pytest.fixture
def unconfigured(shared: Stand) -> Stand:
    if shared.state() == "inactive":
        shared.transition("cleanup")
    assert shared.set_parameters(cameras=["front"], controllers=["arm", "gripper"]).successful
    assert shared.state() == "unconfigured"
    return shared


def test_a_camera_named_by_mistake_is_taken_back(unconfigured: Stand) -> None:
    assert unconfigured.transition("configure")
    assert unconfigured.transition("cleanup")
    assert unconfigured.set_parameters(cameras=["front", "wrist"]).successful
    assert not unconfigured.transition("configure")
    assert unconfigured.set_parameters(cameras=["front"]).successful
    assert unconfigured.transition("configure")


@pytest.mark.parametrize("topic_first", [True, False])
def test_a_cameras_topic_is_set_before_or_after_it_is_named(unconfigured: Stand, topic_first: bool) -> None:
    steps: list[dict[str, Any]] = [{"camera__wrist__topic": "/wrist/image"}, {"cameras": ["front", "wrist"]}]
    for changes in steps if topic_first else reversed(steps):
        result = unconfigured.set_parameters(**changes)
        assert result.successful, result.reason
    assert not unconfigured.transition("configure")
    status = unconfigured.robot.wait_for_diagnosis("cameras: the policy reads")
    assert "the parameters give ['front', 'wrist']" in status.message
    assert unconfigured.set_parameters(cameras=["front"]).successful
    assert unconfigured.transition("configure")


def test_what_was_said_of_a_camera_holds_again_when_it_is_named_again(unconfigured: Stand) -> None:
    assert unconfigured.set_parameters(cameras=[]).successful
    assert not unconfigured.transition("configure")
    assert unconfigured.set_parameters(cameras=["front"]).successful
    assert unconfigured.transition("configure")


def test_a_name_that_no_parameter_has_is_refused_where_it_is_set(unconfigured: Stand) -> None:
    result = unconfigured.set_parameters(max_aeg=0.3)
    assert not result.successful
    assert "max_aeg: no such parameter; did you mean max_age?" in result.reason
    result = unconfigured.set_parameters(camera__top__topics="/top")
    assert not result.successful
    assert "camera.top.topics: no such parameter; did you mean camera.top.topic?" in result.reason


def test_a_value_of_the_wrong_type_is_refused_where_it_is_set(unconfigured: Stand) -> None:
    result = unconfigured.set_parameters(camera__top__transport="thermal")
    assert not result.successful
    assert "camera.top.transport: expected one of raw, compressed" in result.reason


def test_an_unknown_name_in_the_parameter_file_can_be_deleted(unconfigured: Stand) -> None:
    assert unconfigured.set_parameters(camera__side__topic="/side").successful
    assert not unconfigured.transition("configure")
    unconfigured.robot.wait_for_diagnosis("camera names come from cameras, where side is missing")
    assert unconfigured.set_parameters(camera__side__topic=None).successful  # as `ros2 param delete`
    assert unconfigured.transition("configure")
