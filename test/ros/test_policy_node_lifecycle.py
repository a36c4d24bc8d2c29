"""policy_node as others manage it: lifecycle transitions, parameters set while it runs, what it says about itself."""

import re
import time
from collections.abc import Iterator

import pytest
from diagnostic_msgs.msg import DiagnosticStatus
from rcl_interfaces.msg import ParameterType
from rcl_interfaces.srv import DescribeParameters, ListParameters

from act_inference_ros.execution.states import State
from act_inference_ros.robot.parameters import PARAMETERS
from test.ros.policy_node_stand import Stand, robot_parameters, running_policy_node
from test.ros.ros_helpers import wait_until


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    parameters = robot_parameters(autostart=False, coast_time=1)  # an integer will do for a number
    with running_policy_node(tmp_path_factory.mktemp("node"), parameters, wait=None) as stand:
        yield stand


@pytest.fixture
def unconfigured(shared: Stand) -> Stand:
    for transition in ("deactivate", "cleanup"):
        if shared.state() in ("active", "inactive"):
            shared.transition(transition)
    assert shared.state() == "unconfigured"
    return shared


@pytest.fixture
def active(shared: Stand) -> Stand:
    for transition in ("configure", "activate"):
        if shared.state() != "active":
            shared.transition(transition)
    shared.start_afresh()
    return shared


def test_without_autostart_it_waits_and_commands_nothing_until_it_is_activated(unconfigured: Stand) -> None:
    robot = unconfigured.robot
    began = time.time()
    status = robot.wait_for_diagnosis("unconfigured: not commanding")
    assert status.level == DiagnosticStatus.OK
    assert unconfigured.transition("configure")
    robot.wait_for_diagnosis("inactive: not commanding")
    assert robot.commanded("arm", began) == robot.commanded("gripper", began) == []
    assert unconfigured.transition("activate")
    robot.wait_for_command("arm", began)


def test_it_can_be_taken_down_and_brought_up_again(active: Stand) -> None:
    for transition in ("deactivate", "cleanup", "configure", "activate"):
        assert active.transition(transition), transition
    at = time.time()
    active.robot.wait_for_command("arm", at, count=3)
    active.robot.wait_for_command("gripper", at, count=3)
    assert "rror" not in active.node.text


def test_between_deactivate_and_activate_nothing_is_commanded(active: Stand) -> None:
    robot = active.robot
    assert active.transition("deactivate")
    robot.wait_for_frames(5)
    commands = {name: len(received) for name, received in robot.commands.items()}
    robot.wait_for_diagnosis("inactive")
    assert commands == {name: len(received) for name, received in robot.commands.items()}
    assert state_lines(active.node.text)[-1].startswith("inactive")
    at = time.time()
    assert active.transition("activate")
    robot.wait_for_command("arm", at)


def test_a_refused_configure_leaves_it_unconfigured_says_why_and_can_be_repeated(unconfigured: Stand) -> None:
    assert unconfigured.set_parameters(controller__gripper__joints=["pan"]).successful
    assert not unconfigured.transition("configure")
    assert unconfigured.state() == "unconfigured"
    status = unconfigured.robot.wait_for_diagnosis("joint grip of the action is moved by none of them")
    assert status.level == DiagnosticStatus.ERROR
    assert unconfigured.set_parameters(controller__gripper__joints=["grip"]).successful
    assert unconfigured.transition("configure")
    unconfigured.robot.wait_for_diagnosis("inactive: not commanding")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"fps": 10.0}, "fps: read at configure; deactivate and clean up first"),
        ({"cameras": ["front", "top"]}, "cameras: read at configure"),
        ({"max_age": "long"}, "Wrong parameter type"),
        ({"max_age": -1.0}, "out of range"),
        ({"merge": "newest"}, "expected one of blend, temporal_ensemble, latest"),
        ({"joint__pan__min": 3.0}, "minimum must be below maximum"),
    ],
)
def test_a_change_that_cannot_be_made_is_refused_with_the_reason(
    active: Stand, changes: dict[str, object], reason: str
) -> None:
    at = time.time()
    result = active.set_parameters(**changes)
    assert not result.successful
    assert reason in result.reason
    active.robot.wait_for_command("arm", at, count=2)


def test_a_new_inference_rate_takes_effect_at_once_even_after_a_very_slow_one(active: Stand) -> None:
    robot = active.robot
    assert active.set_parameters(inference_rate=0.01).successful
    robot.wait_for_diagnosis("plan ran out")
    at = time.time()
    assert active.set_parameters(inference_rate=10.0).successful
    robot.wait_for_command("arm", at, count=5, deadline_s=5.0)


def test_new_limits_bind_the_next_commands(active: Stand) -> None:
    active.start_afresh()
    changes = {"joint__pan__max": 0.05, "joint__grip__max": 0.05, "merge": "latest"}
    assert active.set_parameters(**changes).successful
    # The policy goes on and on; the arm comes to where the limits are, however slow the machine.
    wait_until(lambda: active.robot.commanded("gripper")[-1].data[0] == pytest.approx(0.05), 20.0)
    at = time.time()
    arm = active.robot.wait_for_command("arm", at, count=2)[-1]
    assert arm.points[-1].positions[arm.joint_names.index("pan")] == pytest.approx(0.05)
    assert max(message.data[0] for message in active.robot.commanded("gripper", at)) == pytest.approx(0.05)


def test_while_commanding_limits_only_tighten(active: Stand) -> None:
    wider = {"joint__pan__max": 2.5, "joint__grip__max": 2.5, "merge": "blend"}
    refused = active.set_parameters(**wider)
    assert not refused.successful
    assert "joint.pan.max, joint.grip.max" in refused.reason
    assert active.ask("pause").success
    assert active.set_parameters(**wider).successful
    active.start_afresh()


def test_a_shorter_max_age_makes_slow_inputs_stale(active: Stand) -> None:
    assert active.set_parameters(max_age=0.002).successful
    active.robot.wait_for_diagnosis("holding: stale")
    assert active.set_parameters(max_age=0.4).successful
    active.robot.wait_for_command("arm", time.time())


def test_parameters_describe_themselves(unconfigured: Stand) -> None:
    names = ["max_age", "joint.pan.max_velocity", "cameras", "merge", "controller.arm.lead"]
    request = DescribeParameters.Request(names=names)
    found = unconfigured.participant.call(DescribeParameters, "/policy_node/describe_parameters", request).descriptors
    age, velocity, cameras, merge, lead = found
    (limits,) = age.floating_point_range
    assert (age.type, limits.from_value, limits.to_value) == (ParameterType.PARAMETER_DOUBLE, 0.001, 60.0)
    assert velocity.description == next(p.description for p in PARAMETERS if p.name.endswith("max_velocity"))
    assert cameras.type == ParameterType.PARAMETER_STRING_ARRAY
    assert "One of: blend, temporal_ensemble, latest." in merge.description
    assert lead.floating_point_range


def state_lines(text: str) -> list[str]:
    """What the log says of the state, one after the other."""
    words = "|".join(state.value for state in State)
    return re.findall(rf"\]: ((?:{words})(?:[:;] .*)?)$", text, re.MULTILINE)


def test_every_parameter_is_declared(unconfigured: Stand) -> None:
    listed = unconfigured.participant.call(ListParameters, "/policy_node/list_parameters").result.names
    plain = {parameter.name for parameter in PARAMETERS if "<" not in parameter.name}
    assert plain <= set(listed)
