"""A parameter file is checked as a whole, and against the policy; every message shows what to do or both sides."""

import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from act_inference_ros.errors import ConfigurationError
from act_inference_ros.robot.configuration import RobotConfiguration
from act_inference_ros.spec import ImageSpec, PolicySpec

GIVEN = {
    "state.topic": "/joint_states",
    "state.joints": ["a", "b", "c"],
    "cameras": ["top", "wrist"],
    "camera.top.topic": "/top",
    "camera.wrist.topic": "/wrist",
    "camera.wrist.transport": "compressed",
    "controllers": ["arm", "hand"],
    "controller.arm.topic": "/arm",
    "controller.arm.joints": ["b", "a"],
    "controller.hand.topic": "/hand",
    "controller.hand.joints": ["c"],
    "controller.hand.interface": "position_stream",
}
IMAGES = tuple(ImageSpec(f"observation.images.{name}", 4, 4) for name in ("top", "wrist"))
SPEC = PolicySpec(10, 3, images=IMAGES, state_dim=3)


def configured(**changes: object) -> RobotConfiguration:
    given = GIVEN | {name.replace("__", "."): value for name, value in changes.items()}
    return RobotConfiguration.from_parameters({name: value for name, value in given.items() if value is not None})


def problem_with(**changes: object) -> str:
    with pytest.raises(ConfigurationError) as refusal:
        configured(**changes)
    return str(refusal.value)


def misfit(spec: PolicySpec, **changes: object) -> str:
    with pytest.raises(ConfigurationError) as refusal:
        configured(**changes).check_fits(spec)
    return str(refusal.value)


def test_a_good_file_becomes_typed_data() -> None:
    configuration = configured(checkpoint="/models/pick", joint__b__min=-1.0)
    assert configuration.checkpoint == "/models/pick"
    assert (configuration.mode, configuration.server) == (None, None)  # the environment decides
    assert [camera.transport for camera in configuration.cameras] == ["raw", "compressed"]
    assert [controller.joints for controller in configuration.controllers] == [("b", "a"), ("c",)]
    assert configuration.action.names == ("a", "b", "c")
    assert (configuration.action.joints[1].minimum, configuration.action.joints[1].maximum) == (-1.0, None)
    configuration.check_fits(SPEC)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"state__topic": None}, "state.topic: empty, and so is state.topics"),
        ({"state__topics": ["/x", "/y"]}, "state.topic and state.topics are both given (/joint_states and /x, /y)"),
        ({"state__topic": None, "state__topics": ["/x", ""]}, "state.topics: expected the names of topics, got an"),
        ({"state__topic": None, "state__topics": ["/x", "/x"]}, "state.topics: /x named more than once"),
        ({"state__joints": ["a", "b/position", "c"]}, "b/position: an entry without a field is a position; write b"),
        ({"state__joints": ["a", "b/velocity", "b/velocity"]}, "state.joints: b/velocity named more than once"),
        ({"action__joints": ["a", "b/velocity", "c"]}, "action.joints: b/velocity: a policy commands positions"),
        ({"state__joints": ["a/velocity"]}, "action.joints: empty, and state.joints has no positions"),
        ({"camera__top__topic": None}, "camera.top.topic: empty; name the image topic"),
        ({"cameras": ["top", "wrist", "top"]}, "cameras: top named more than once"),
        ({"state__joints": ["a", "b", "c", "a"]}, "state.joints: a named more than once"),
        ({"state__joints": []}, "action.joints: empty, and so is state.joints"),
        ({"controller__arm__topic": None}, "controller.arm.topic: empty; name the command topic"),
        ({"controller__arm__joints": None}, "controller.arm.joints: empty"),
        ({"controller__arm__joints": ["a"]}, "joint b of the action is moved by none of them; exactly one must"),
        ({"controller__hand__joints": ["c", "a"]}, "joint a of the action is moved by ['arm', 'hand']"),
        ({"controller__hand__joints": ["c", "d"]}, "controller.hand.joints: d is not in the action ['a', 'b', 'c']"),
        ({"joint__a__unit": "deg", "joint__a__scale": 2.0}, "joint.a: unit and scale are both given"),
        ({"joint__a__scale": 0.0}, "joint a: scale must not be 0"),
        ({"joint__a__min": 1.0, "joint__a__max": -1.0}, "joint a: minimum must be below maximum, got 1.0 and -1.0"),
        ({"joint__a__offset": math.nan}, "joint.a.offset: expected a number, got nan"),
        ({"joint__a__offset": math.inf}, "joint a: offset must be a finite number"),
        ({"thread_priority": 20, "isolation": "thread"}, "thread_priority: with isolation: thread inference would"),
        ({"thread_priority": 100}, "thread_priority: expected a number from 0 to 99, got 100"),
    ],
)
def test_a_mistake_is_named(changes: dict[str, object], message: str) -> None:
    assert message in problem_with(**changes)


def test_no_controller_is_one_problem_not_one_per_joint() -> None:
    given = {name: value for name, value in GIVEN.items() if not name.startswith("controller.")} | {"controllers": []}
    with pytest.raises(ConfigurationError, match=r"^parameters: controllers: empty; name at least one"):
        RobotConfiguration.from_parameters(given)


def test_all_mistakes_are_listed_at_once() -> None:
    text = problem_with(state__topic=None, controller__arm__joints=["a"], joint__c__scale=0.0)
    assert "3 problems" in text
    assert all(word in text for word in ("state.topic", "joint b of the action", "joint c: scale"))


def test_joint_states_may_come_on_several_topics_and_have_velocities_and_efforts() -> None:
    entries = ["a", "c/effort", "b", "a/velocity", "c"]
    configuration = configured(
        state__topic=None, state__topics=["/arm_states", "/hand_states"], state__joints=entries, joint__a__unit="deg"
    )
    assert configuration.state_topics == ("/arm_states", "/hand_states")
    assert configuration.state is not None
    assert configuration.state.names == tuple(entries)
    assert [entry.joint.name for entry in configuration.state.entries] == ["a", "c", "b", "a", "c"]
    assert configuration.state.entries[3].joint.scale == pytest.approx(180.0 / math.pi)
    assert configuration.action.names == ("a", "b", "c")
    configuration.check_fits(replace(SPEC, state_dim=5))
    assert configured().state_topics == ("/joint_states",)


@pytest.mark.parametrize(
    ("spec", "parts"),
    [
        (replace(SPEC, images=IMAGES[:1]), ("policy reads ['top']", "parameters give ['top', 'wrist']")),
        (replace(SPEC, state_dim=4), ("policy reads 4 numbers", "state.joints has 3: ['a', 'b', 'c']")),
        (replace(SPEC, action_dim=2), ("policy commands 2 numbers", "action.joints has 3: ['a', 'b', 'c']")),
        (replace(SPEC, environment_state_dim=7), ("policy reads 7 numbers", "environment_state.topic is empty")),
    ],
)
def test_a_policy_that_does_not_fit_is_refused_with_both_sides(spec: PolicySpec, parts: tuple[str, str]) -> None:
    text = misfit(spec)
    assert text.startswith("the parameters do not fit the policy: ")
    assert all(part in text for part in parts)


def test_a_policy_without_state_still_needs_to_know_where_the_arm_is() -> None:
    configured().check_fits(replace(SPEC, state_dim=None))
    assert "state.topic: empty" in problem_with(state__topic=None, action__joints=["a", "b", "c"])


def test_everything_that_does_not_fit_is_listed_at_once() -> None:
    assert "3 problems" in misfit(replace(SPEC, images=IMAGES[:1], state_dim=1, action_dim=1))


@pytest.mark.parametrize(("unit", "policy"), [("", 0.5), ("rad", 0.5), ("deg", math.degrees(0.5)), ("mm", 500.0)])
def test_units_and_offsets_say_how_the_policy_counts(unit: str, policy: float) -> None:
    binding = configured(joint__b__unit=unit, joint__b__offset=3.0).state
    assert binding is not None
    measured = SimpleNamespace(name=["c", "b", "a"], position=[0.0, 0.5, 0.0])
    np.testing.assert_allclose(binding.to_policy(measured), [0.0, policy + 3.0, 0.0], rtol=1e-6)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"controller__hand__topic": "/arm"}, "controller.arm.topic and controller.hand.topic: one topic, /arm"),
        ({"controller__arm__topic": "/joint_states"}, "controller.arm.topic and state.topic: one topic, /joint_states"),
        (
            {"state__topic": None, "state__topics": ["/joint_states", "/hand"]},
            "controller.hand.topic and state.topics: one topic, /hand",
        ),
        (
            {"state__topic": None, "state__topics": ["/top", "/joint_states"]},
            "camera.top.topic and state.topics: one topic, /top",
        ),
        ({"camera__wrist__topic": "/top"}, "camera.top.topic and camera.wrist.topic: one topic, /top"),
        ({"enable__topic": "/hand"}, "controller.hand.topic and enable.topic: one topic, /hand"),
    ],
)
def test_one_topic_for_two_things_is_refused_by_the_names_of_both(changes: dict[str, object], message: str) -> None:
    assert message in problem_with(**changes)


def test_a_joint_without_limits_is_refused_unless_it_is_said_that_there_are_none() -> None:
    limited = {f"joint__{joint}__{end}": value for joint in "ab" for end, value in (("min", -1.0), ("max", 1.0))}
    with pytest.raises(ConfigurationError, match=r"joint\.c: no position limits.*write -\.inf and \.inf"):
        configured(**limited).check_limits()
    configured(**limited, joint__c__min=-math.inf, joint__c__max=math.inf).check_limits()
    configured(**limited, joint__c__continuous=True).check_limits()
    urdf = (
        '<robot name="r"><joint name="c" type="prismatic"><parent link="x"/><child link="y"/>'
        '<limit lower="0" upper="0.04" effort="1" velocity="0.1"/></joint></robot>'
    )
    described = configured(**limited, robot_description=urdf)
    described.check_limits()
    joint = described.action.joints[2]
    assert (joint.minimum, joint.maximum, joint.max_velocity, joint.max_deviation) == (0.0, 0.04, 0.1, 0.05)


@pytest.mark.parametrize(
    ("changes", "wider"),
    [
        ({"joint__a__max": 0.9}, []),
        ({"joint__a__max": 1.1}, ["joint.a.max"]),
        ({"joint__a__min": -1.1, "joint__a__max_velocity": 3.0}, ["joint.a.min", "joint.a.max_velocity"]),
        ({"joint__a__max": math.inf}, ["joint.a.max"]),
    ],
)
def test_limits_that_are_wider_are_named(changes: dict[str, object], wider: list[str]) -> None:
    before = {"joint__a__min": -1.0, "joint__a__max": 1.0}
    assert configured(**before).wider_limits(configured(**(before | changes))) == wider


def test_a_start_pose_must_fit_the_joints_and_their_limits() -> None:
    assert "start_pose: expected 3 numbers" in problem_with(start_pose=[0.0])
    assert "start_pose: 2.0 of joint a lies outside" in problem_with(start_pose=[2.0, 0.0, 0.0], joint__a__max=1.0)
    assert "start_pose: nan of joint b" in problem_with(start_pose=[0.0, math.nan, 0.0])
    one = problem_with(start_pose=[0.0, 0.0, 0.0], joint__a__max_deviation=-1.0)
    assert "start_pose" not in one, "the joint is wrong, and only that"
    assert configured(start_pose=[0, 1, 2]).start_pose == (0.0, 1.0, 2.0)
