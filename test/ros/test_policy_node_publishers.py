"""An input that does not come is told with what the ROS graph knows: no publisher, another type, another QoS."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy, qos_profile_sensor_data
from sensor_msgs.msg import CompressedImage
from std_msgs.msg import Bool

from test.ros.policy_node_stand import Stand, robot_parameters, running_policy_node
from test.ros.policy_stand_in import Options
from test.ros.ros_helpers import wait_until

LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)


@pytest.fixture
def detail(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Stand, list[str]]]:
    parameters = robot_parameters(**request.param)
    with running_policy_node(tmp_path, parameters, Options(cameras=tuple(parameters["cameras"]))) as stand:
        details: list[str] = []
        stand.participant.node.create_subscription(
            DiagnosticStatus, "/policy_node/status", lambda m: details.append(told(m)), LATCHED
        )
        yield stand, details


@pytest.mark.parametrize("detail", [{"camera__front__topic": "/front/picture"}], indirect=True)
def test_a_camera_without_a_publisher(detail: tuple[Stand, list[str]]) -> None:
    stand, details = detail
    expected = "missing: front (nothing yet; /front/picture has no publisher)"
    wait_until(lambda: expected in details, 20.0, f"not told; {details[-1:]}")
    stand.robot.wait_for_diagnosis(f"waiting: {expected}")
    stand.node.wait_for_line("missing: front .*has no publisher")


@pytest.mark.parametrize("detail", [{"camera__front__topic": "/front/color"}], indirect=True)
def test_a_camera_whose_images_are_on_the_topic_of_another_transport(detail: tuple[Stand, list[str]]) -> None:
    stand, details = detail
    stand.participant.node.create_publisher(CompressedImage, "/front/color/compressed", qos_profile_sensor_data)
    expected = "/front/color has no publisher, but /front/color/compressed has: camera.front.transport compressed?"
    wait_until(lambda: any(expected in each for each in details), 20.0, f"not told; {details[-1:]}")


@pytest.mark.parametrize("detail", [{"camera__front__topic": "/front/other"}], indirect=True)
def test_a_camera_that_publishes_another_type(detail: tuple[Stand, list[str]]) -> None:
    stand, details = detail
    stand.participant.node.create_publisher(CompressedImage, "/front/other", qos_profile_sensor_data)
    expected = (
        "/front/other carries sensor_msgs/CompressedImage from /test_participant, "
        "sensor_msgs/Image is expected: camera.front.transport is raw"
    )
    wait_until(lambda: any(expected in each for each in details), 20.0, f"not told; {details[-1:]}")


@pytest.mark.parametrize("detail", [{"state__topic": "/states"}], indirect=True)
def test_joint_states_without_a_publisher(detail: tuple[Stand, list[str]]) -> None:
    _, details = detail
    expected = "missing: state (nothing yet; /states has no publisher)"
    wait_until(lambda: expected in details, 20.0, f"not told; {details[-1:]}")


@pytest.mark.parametrize("detail", [{"enable__topic": "/enabled"}], indirect=True)
def test_an_enabling_word_that_is_published_with_another_reliability(detail: tuple[Stand, list[str]]) -> None:
    stand, details = detail
    wait_until(lambda: any("/enabled has no publisher" in each for each in details), 20.0, f"not told; {details[-1:]}")
    best_effort = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
    stand.participant.node.create_publisher(Bool, "/enabled", best_effort)
    expected = "/test_participant publishes /enabled best-effort, reliable is asked for"
    wait_until(lambda: any(expected in each for each in details), 20.0, f"not told; {details[-1:]}")


def test_a_publisher_that_has_gone_is_told_of_a_stale_input(tmp_path: Path) -> None:
    with running_policy_node(tmp_path, robot_parameters({"front": "raw"})) as stand:
        details: list[str] = []
        stand.participant.node.create_subscription(
            DiagnosticStatus, "/policy_node/status", lambda m: details.append(told(m)), LATCHED
        )
        stand.robot.wait_for_command("arm", 0.0)
        stand.robot.unplug("front")
        wait_until(
            lambda: details and "stale: front" in details[-1] and "/front/image has no publisher" in details[-1],
            20.0,
            "it does not say that the publisher is gone",
        )


def told(status: DiagnosticStatus) -> str:
    """The reason and the detail, as one text."""
    values = {pair.key: pair.value for pair in status.values}
    return f"{values['reason']} ({values['detail']})"
