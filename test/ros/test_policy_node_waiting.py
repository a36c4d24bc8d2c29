"""While the node is being configured it answers, says what it waits for, and ends at once if told to."""

import re
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from diagnostic_msgs.msg import DiagnosticStatus
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rcl_interfaces.srv import GetParameters
from rclpy.qos import DurabilityPolicy, QoSProfile

from test.inference.triton_process import free_port
from test.ros.policy_node_stand import Stand, robot_parameters, running_policy_node
from test.ros.policy_stand_in import Options
from test.ros.ros_helpers import wait_until

LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
LONG_S = 60.0
SOON_S = 15.0
"""A deadline, s: far less than LONG_S, and enough for a busy machine."""


def test_a_server_that_is_not_there_is_said_everywhere_while_the_node_answers(tmp_path: Path) -> None:
    address = f"127.0.0.1:{free_port()}"
    parameters = robot_parameters(mode="triton", server=address, server_timeout=LONG_S)
    with running_policy_node(tmp_path, parameters, tmp_path, wait=None) as stand:
        status = stand.participant.collect(DiagnosticStatus, "/policy_node/status", LATCHED)
        what = rf"no server is ready yet: {re.escape(address)}: not reachable"
        stand.node.wait_for_line(rf"configuring for \d+ s: {what}")
        diagnosis = stand.robot.wait_for_diagnosis("configuring")
        assert re.search(what, diagnosis.message)
        assert diagnosis.level == DiagnosticStatus.WARN
        wait_until(lambda: status and re.search(what, values_of(status[-1])["detail"]), SOON_S, "no word in ~/status")
        assert status[-1].message == "inactive"
        assert values_of(status[-1])["reason"] == "configuring"
        answered_soon(stand)
        began = time.monotonic()
        assert stand.node.stop(signal.SIGINT, SOON_S) == 0
        assert time.monotonic() - began < SOON_S
        assert "Traceback" not in stand.node.text
        assert "ERROR" not in stand.node.text


def test_a_policy_that_takes_long_to_load_is_said_while_the_node_answers(tmp_path: Path) -> None:
    with running_policy_node(tmp_path, policy=Options(load_s=LONG_S), wait=None) as stand:
        stand.node.wait_for_line(r"configuring for \d+ s: loading the policy")
        stand.robot.wait_for_diagnosis("configuring: loading the policy")
        answered_soon(stand)
        answer = stand.ask("pause")
        assert not answer.success
        assert "configuring" in answer.message
        refused = stand.set_parameters(fps=10.0)
        assert not refused.successful
        assert "the node is being configured" in refused.reason


def test_a_manager_that_configures_the_node_can_see_it_configuring(tmp_path: Path) -> None:
    policy = Options(load_s=3.0)
    with running_policy_node(tmp_path, robot_parameters(autostart=False), policy, wait=None) as stand:
        client = stand.participant.node.create_client(ChangeState, "/policy_node/change_state")
        wait_until(client.service_is_ready, 20.0)
        request = ChangeState.Request(transition=Transition(id=Transition.TRANSITION_CONFIGURE))
        future = client.call_async(request)
        wait_until(lambda: stand.state() == "configuring", SOON_S, "it does not say that it is being configured")
        assert not future.done()
        assert not stand.transition("configure"), "a second one at the same time"
        wait_until(future.done, 20.0, "the transition does not end")
        assert future.result().success
        assert stand.state() == "inactive"
        assert stand.transition("activate")
        stand.robot.wait_for_command("arm", time.time())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_managed_node_while_it_is_configured(tmp_path: Path, number: int) -> None:
    policy = Options(load_s=LONG_S)
    with running_policy_node(tmp_path, robot_parameters(autostart=False), policy, wait=None) as stand:
        client = stand.participant.node.create_client(ChangeState, "/policy_node/change_state")
        wait_until(client.service_is_ready, 20.0)
        client.call_async(ChangeState.Request(transition=Transition(id=Transition.TRANSITION_CONFIGURE)))
        wait_until(lambda: stand.state() == "configuring", SOON_S)
        assert stand.node.stop(number, SOON_S) == 0
        assert "Traceback" not in stand.node.text


def answered_soon(stand: Stand) -> None:
    began = time.monotonic()
    assert stand.state() == "configuring"
    request = GetParameters.Request(names=["server_timeout"])
    assert stand.participant.call(GetParameters, "/policy_node/get_parameters", request).values
    assert time.monotonic() - began < SOON_S


def values_of(status: Any) -> dict[str, str]:
    return {pair.key: pair.value for pair in status.values}
