"""What /diagnostics says: in the form that diagnostic tools expect, no negative rates, no values of an earlier run."""

import socket
from collections.abc import Iterator
from typing import Any

import pytest
import rclpy
from diagnostic_msgs.msg import DiagnosticStatus
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rclpy.qos import DurabilityPolicy, QoSProfile
from std_srvs.srv import Trigger

from act_inference_ros.ros.policy.policy_node import PolicyNode
from test.ros.policy_node_stand import Stand, robot_parameters, running_policy_node
from test.ros.policy_stand_in import Behaviour
from test.ros.ros_helpers import wait_until

LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)


@pytest.fixture(scope="module")
def stand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    # The plan reaches 0.2 rad beyond where the arm is. For pan that is far beyond its limits.
    limits = {"joint__pan__min": -0.05, "joint__pan__max": 0.05}
    parameters = robot_parameters(checkpoint="/policies/pick_cube", autostart=False, max_still=3600.0, **limits)
    with running_policy_node(tmp_path_factory.mktemp("node"), parameters, wait=None) as stand:
        assert stand.transition("configure")
        yield stand


@pytest.fixture
def active(stand: Stand) -> Stand:
    if stand.state() == "inactive":
        assert stand.transition("activate")
    return stand


def test_it_has_the_name_and_the_hardware_id_that_aggregators_look_for(stand: Stand) -> None:
    status = stand.robot.wait_for_diagnosis("")
    assert status.name == "policy_node: policy"
    assert status.hardware_id == socket.gethostname()


def test_it_says_which_policy_there_is_in_whatever_state(stand: Stand) -> None:
    values = values_of(stand.robot.wait_for_diagnosis("inactive"))
    assert values["checkpoint"] == "/policies/pick_cube"
    assert "policy_id" in values
    assert stand.transition("activate")
    values = values_of(stand.robot.wait_for_diagnosis("commanding"))
    assert values["checkpoint"] == "/policies/pick_cube"
    assert "policy_id" in values


def test_a_plan_far_beyond_a_limit_is_a_warning_that_names_the_joint(active: Stand) -> None:
    active.start_afresh()
    status = active.robot.wait_for_diagnosis("commanding; the plan goes far beyond the limits of pan")
    assert status.level == DiagnosticStatus.WARN


def test_a_plan_a_little_beyond_a_limit_is_no_warning(active: Stand) -> None:
    home = dict.fromkeys(active.robot.positions, 0.0)
    assert active.ask("pause").success
    assert active.set_parameters(joint__pan__min=-2.5, joint__pan__max=2.5).successful
    active.start_afresh(home | {"lift": 2.4})
    wait_until(lambda: active.robot.positions["lift"] > 2.49, 20.0, "lift is not at its limit")
    before = int(values_of(active.robot.wait_for_diagnosis("commanding"))["plan beyond position limits"])
    status = active.robot.wait_for_diagnosis("commanding")
    assert int(values_of(status)["plan beyond position limits"]) > before
    assert (status.level, status.message) == (DiagnosticStatus.OK, "commanding")


def test_an_inference_error_says_how_long_ago_it_was(active: Stand) -> None:
    active.start_afresh()
    with active.robot.order("front", Behaviour.NOT_READY):
        active.robot.wait_for_diagnosis("inference failed")
    values = values_of(active.robot.wait_for_diagnosis("commanding"))
    assert values["detail"] == values["holding because"] == ""
    assert values["last inference error"].startswith("the server went away (")
    assert values["last inference error"].endswith(" s ago)")


def test_no_rate_is_negative_after_the_node_was_configured_anew(active: Stand) -> None:
    active.robot.wait_for_diagnosis("commanding")
    for transition in ("deactivate", "cleanup", "configure", "activate"):
        assert active.transition(transition)
    seen = len(active.robot.diagnostics)
    active.robot.wait_for_diagnosis("commanding")
    reports = [values_of(each.message.status[0]) for each in active.robot.diagnostics[seen:]]
    rates = [float(values["chunk rate [1/s]"]) for values in reports if "chunk rate [1/s]" in values]
    assert rates
    assert min(rates) >= 0.0


def test_a_node_that_was_shut_down_says_so_and_ends(active: Stand) -> None:
    status = active.participant.collect(DiagnosticStatus, "/policy_node/status", LATCHED)
    request = ChangeState.Request(transition=Transition(id=Transition.TRANSITION_ACTIVE_SHUTDOWN))
    assert active.participant.call(ChangeState, "/policy_node/change_state", request, once=True).success
    assert active.node.wait(20.0) == 0
    assert active.robot.diagnostics[-1].message.status[0].message == "finalized: not commanding"
    assert status[-1].message == "inactive"
    assert "Traceback" not in active.node.text


def test_nothing_can_be_asked_of_a_node_that_was_shut_down(environment: dict[str, str], domain: int) -> None:
    context = rclpy.Context()
    rclpy.init(context=context, domain_id=domain)
    try:
        node = PolicyNode(context=context)
        assert node._on_request("reset", Trigger.Request(), Trigger.Response()).success
        node.trigger_shutdown()
        answer = node._on_request("reset", Trigger.Request(), Trigger.Response())
        assert not answer.success
        assert answer.message == "the node has been shut down; start it again"
        node.destroy_node()
    finally:
        rclpy.shutdown(context=context)


def values_of(status: Any) -> dict[str, str]:
    return {pair.key: pair.value for pair in status.values}
