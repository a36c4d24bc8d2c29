"""A draft is a parameter file: known values load as they are; each value that is left open is refused by its name."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from act_inference_ros.drafting.draft import draft_file
from act_inference_ros.drafting.facts import (
    CommandTopic,
    DataSetFacts,
    ImageTopic,
    PolicyFacts,
    Range,
    RobotFacts,
    StateTopic,
)
from act_inference_ros.errors import ConfigurationError
from act_inference_ros.robot.configuration import RobotConfiguration
from act_inference_ros.robot.parameter_file import read_configuration, read_parameters
from act_inference_ros.spec import ImageSpec, PolicySpec

JOINTS = ("pan", "lift", "grip")
LOWEST, HIGHEST = np.array([-0.5, 0.0, 0.01]), np.array([0.7, 0.0, 0.05])
"""The data set's positions: lift stands still at 0."""
KEYS = ("observation.state", "action")
SPEC = PolicySpec(20, 3, (ImageSpec("observation.images.top", 480, 640),), state_dim=3)
POLICY = PolicyFacts("checkpoint", SPEC, {key: Range(LOWEST, HIGHEST, f"the checkpoint's {key}") for key in KEYS})
STARTS = np.array([[-0.4, 0.0, 0.05], [-0.3, 0.0, 0.05], [-0.5, 0.0, 0.04]])
DATASET = DataSetFacts(
    "cubes", 25.0, dict.fromkeys(KEYS, JOINTS), dict(POLICY.ranges), {"observation.state": STARTS}, ""
)
STATE = StateTopic("/joint_states", ("grip", "pan", "lift", "wheel"), np.array([0.01, -0.5, 0.0, 0.0]),
                   np.array([0.05, 0.7, 0.0, 9.0]), 50.0)  # fmt: skip
ROBOT = RobotFacts(
    "the bag lab",
    (ImageTopic("/top/image", "raw", 480, 640, 30.0),),
    (STATE,),
    (
        CommandTopic("/arm_controller/joint_trajectory", "joint_trajectory", ("pan", "lift"), "its messages name them"),
        CommandTopic("/gripper_controller/commands", "position_stream", width=1),
    ),
)
URDF = """<robot name="lab">
  <joint name="pan" type="revolute"><limit lower="-1.5" upper="1.5" velocity="1.2" effort="1"/></joint>
  <joint name="lift" type="continuous"/>
  <joint name="grip" type="prismatic"><limit lower="0.0" upper="0.06" velocity="9" effort="1"/></joint>
</robot>"""


def values_of(tmp_path: Path, text: str) -> dict[str, Any]:
    file = tmp_path / "robot.yaml"
    file.write_text(text)
    return read_parameters(file)


def drafted(tmp_path: Path, robot: RobotFacts | None = ROBOT, dataset: DataSetFacts | None = DATASET) -> dict[str, Any]:
    return values_of(tmp_path, draft_file(POLICY, dataset, "nobody gave one", robot).text)


def test_what_bag_and_data_set_tell_is_written(tmp_path: Path) -> None:
    values = drafted(tmp_path)
    assert values["fps"] == 25.0
    assert (values["state.topic"], values["state.joints"]) == ("/joint_states", list(JOINTS))
    assert (values["camera.top.topic"], values["camera.top.transport"]) == ("/top/image", "raw")
    assert values["controllers"] == ["arm", "gripper"]
    assert values["controller.arm.joints"] == ["pan", "lift"]
    assert values["controller.gripper.interface"] == "position_stream"
    assert values["controller.gripper.joints"] == ["grip"]
    assert values["joint.pan.unit"] == "rad"
    assert "joint.grip.unit" not in values
    assert values["joint.grip.smooth"] is False
    assert values["merge"] == "blend"


def test_only_the_unit_of_the_joint_that_stood_still_is_left_and_then_it_loads(tmp_path: Path) -> None:
    draft = draft_file(POLICY, DATASET, "", ROBOT)
    assert draft.to_fill_in == 1
    with pytest.raises(ConfigurationError) as refusal:
        RobotConfiguration.from_parameters(values_of(tmp_path, draft.text))
    assert str(refusal.value).startswith("parameters: joint.lift.unit is ???: fill it in; candidates: rad, deg")
    (tmp_path / "robot.yaml").write_text(draft.text.replace('"???"', "deg"))
    configuration = read_configuration(tmp_path / "robot.yaml")
    configuration.check_fits(SPEC)
    configuration.check_limits()


def test_limits_are_the_data_sets_widened_and_it_is_said_by_how_much(tmp_path: Path) -> None:
    draft = draft_file(POLICY, DATASET, "", ROBOT)
    values = values_of(tmp_path, draft.text)
    assert (values["joint.pan.min"], values["joint.pan.max"]) == pytest.approx((-0.62, 0.82))
    assert (values["joint.lift.min"], values["joint.lift.max"]) == pytest.approx((-0.05, 0.05))
    assert (values["joint.grip.min"], values["joint.grip.max"]) == pytest.approx((0.005, 0.055))
    assert "widened by 0.12" in draft.text


def test_a_robot_that_was_outside_of_the_limits_is_said(tmp_path: Path) -> None:
    elsewhere = replace(STATE, highest=np.array([0.05, 2.5, 0.0, 9.0]))
    text = draft_file(POLICY, DATASET, "", replace(ROBOT, states=(elsewhere,))).text
    assert "In the bag lab it was at -0.5 to 2.5, outside of them" in " ".join(text.replace("#", " ").split())


def test_the_robot_description_wins(tmp_path: Path) -> None:
    robot = replace(ROBOT, description=URDF, description_source="/robot_description")
    values = drafted(tmp_path, robot)
    assert (values["joint.pan.min"], values["joint.pan.max"]) == (-1.5, 1.5)
    assert (values["joint.pan.max_velocity"], values["joint.grip.max_velocity"]) == (1.2, 2.0)
    assert values["joint.lift.continuous"] is True
    assert "joint.lift.min" not in values
    assert values["joint.grip.unit"] == "m"


def test_a_description_that_cannot_be_read_is_said_and_not_used(tmp_path: Path) -> None:
    draft = draft_file(
        POLICY, DATASET, "", replace(ROBOT, description="<robot", description_source="/robot_description")
    )
    assert "# not read: /robot_description: robot_description: expected a URDF" in draft.text
    assert values_of(tmp_path, draft.text)["joint.pan.min"] == pytest.approx(-0.62)


def test_the_start_pose_is_the_median_of_the_episodes_first_frames(tmp_path: Path) -> None:
    away = np.array([0.0, 0.2, 0.0])  # lift stands still elsewhere, where numbers tell its unit
    moved = replace(STATE, lowest=STATE.lowest + away[[2, 0, 1, 0]], highest=STATE.highest + away[[2, 0, 1, 0]])
    ranges = {key: Range(LOWEST + away, HIGHEST + away, key) for key in KEYS}
    dataset = replace(DATASET, ranges=ranges, starts={"observation.state": STARTS + away})
    draft = draft_file(POLICY, dataset, "", replace(ROBOT, states=(moved,)))
    assert draft.to_fill_in == 0
    configuration = RobotConfiguration.from_parameters(values_of(tmp_path, draft.text))
    assert configuration.start_pose == pytest.approx((-0.4, 0.2, 0.05))
    assert "first frames of 3 episodes, which differ by up to 0.2" in draft.text


def test_while_a_unit_is_open_the_start_pose_is_a_comment(tmp_path: Path) -> None:
    draft = draft_file(POLICY, DATASET, "", ROBOT)
    assert "start_pose" not in values_of(tmp_path, draft.text)
    assert "    # start_pose: [-0.4, 0.0, 0.05]\n" in draft.text


def test_degrees_become_radians(tmp_path: Path) -> None:
    factor = np.array([180.0 / np.pi, 180.0 / np.pi, 1.0])
    ranges = {key: Range(LOWEST * factor, HIGHEST * factor, key) for key in KEYS}
    values = drafted(tmp_path, dataset=replace(DATASET, ranges=ranges))
    assert values["joint.pan.unit"] == "deg"
    assert (values["joint.pan.min"], values["joint.pan.max"]) == pytest.approx((-0.62, 0.82), abs=1e-5)


def test_joints_of_other_names_are_left_with_candidates(tmp_path: Path) -> None:
    dataset = replace(DATASET, joints=dict.fromkeys(KEYS, ("j0", "j1", "grip")))
    draft = draft_file(POLICY, dataset, "", ROBOT)
    values = values_of(tmp_path, draft.text)
    assert values["state.joints"] == ["???j0", "???j1", "grip"]
    assert "pan went where it went in the data set; candidates: pan, lift, wheel" in draft.text
    assert values["controller.arm.joints"] == ["pan", "lift"]  # these the robot itself names
    filled = draft.text.replace("???j0", "pan").replace("???j1", "lift").replace('"???"', "rad")
    RobotConfiguration.from_parameters(values_of(tmp_path, filled)).check_fits(SPEC)


def test_names_that_the_user_gives_are_taken(tmp_path: Path) -> None:
    dataset = replace(DATASET, joints=dict.fromkeys(KEYS, ("j0", "j1", "gripper")))
    values = values_of(tmp_path, draft_file(POLICY, dataset, "", ROBOT, JOINTS).text)
    assert values["state.joints"] == list(JOINTS)
    assert values["joint.pan.unit"] == "rad"
    assert values["joint.grip.smooth"] is False
    with pytest.raises(ConfigurationError, match="expected 3 names"):
        draft_file(POLICY, dataset, "", ROBOT, ("pan", "lift"))


def test_a_renamed_state_is_found_by_its_statistics(tmp_path: Path) -> None:
    names = {"observation.qpos": JOINTS, "observation.qvel": JOINTS[::-1]}
    ranges = {"observation.qpos": POLICY.ranges["action"], "observation.qvel": Range(LOWEST - 1.0, HIGHEST, "qvel")}
    values = drafted(tmp_path, dataset=replace(DATASET, joints=names, ranges=ranges, starts={}))
    assert values["state.joints"] == list(JOINTS)


@pytest.mark.parametrize("dataset", [DATASET, None])
@pytest.mark.parametrize("robot", [ROBOT, None])
def test_every_place_that_is_left_is_counted_and_refused(
    tmp_path: Path, dataset: DataSetFacts | None, robot: RobotFacts | None
) -> None:
    draft = draft_file(POLICY, dataset, "nobody gave one", robot)
    assert draft.to_fill_in == sum(line.split("#")[0].count("???") for line in draft.text.splitlines())
    assert draft.to_fill_in > 0
    with pytest.raises(ConfigurationError, match=r"\?\?\?.*: fill it in"):
        RobotConfiguration.from_parameters(values_of(tmp_path, draft.text))


def test_each_value_says_where_it_is_from(tmp_path: Path) -> None:
    lines = draft_file(POLICY, DATASET, "", ROBOT).text.splitlines()
    values = [i for i, line in enumerate(lines) if not line.lstrip().startswith("#") and not line.endswith(":")]
    silent = [lines[i] for i in values if "#" not in lines[i] and not lines[i - 1].lstrip().startswith("#")]
    assert silent == []


def test_slow_inputs_get_more_time(tmp_path: Path) -> None:
    slow = replace(ROBOT, images=(ImageTopic("/top/image", "raw", 480, 640, 10.0),))
    values = drafted(tmp_path, slow)
    assert (values["max_age"], values["max_skew"]) == pytest.approx((0.3, 0.1))


def test_the_temporal_ensemble_of_the_checkpoint_is_kept(tmp_path: Path) -> None:
    policy = replace(POLICY, spec=replace(SPEC, temporal_ensemble_coeff=0.02))
    values = values_of(tmp_path, draft_file(policy, DATASET, "", ROBOT).text)
    assert (values["merge"], values["ensemble_coeff"]) == ("temporal_ensemble", 0.02)


def test_names_out_of_a_bag_add_nothing_to_the_file(tmp_path: Path) -> None:
    evil = "a\n    shadow: true\n    #"
    state = replace(STATE, joints=("grip", "pan", "lift", evil))
    dataset = replace(DATASET, joints=dict.fromkeys(KEYS, ("pan", "lift", evil + "2")))
    values = values_of(tmp_path, draft_file(POLICY, dataset, evil, replace(ROBOT, states=(state,), name=evil)).text)
    assert "shadow" not in values
    assert values["state.joints"][2] == "???" + evil + "2"


ARM = StateTopic("/arm/joint_states", ("pan", "lift", "wheel"), np.array([-0.5, 0.0, 0.0]), np.array([0.7, 0.0, 9.0]),
                 100.0)  # fmt: skip
HAND = StateTopic("/hand/joint_states", ("grip",), np.array([0.01]), np.array([0.05]), 20.0)


def test_drivers_that_have_the_joints_together_are_named_together(tmp_path: Path) -> None:
    values = drafted(tmp_path, replace(ROBOT, states=(ARM, HAND)))
    assert values["state.topics"] == ["/arm/joint_states", "/hand/joint_states"]
    assert "state.topic" not in values
    assert values["state.joints"] == list(JOINTS)
    assert values["joint.pan.unit"] == "rad"
    assert values["max_age"] == pytest.approx(0.2)
    assert values["controller.gripper.joints"] == ["grip"]
    (tmp_path / "robot.yaml").write_text((tmp_path / "robot.yaml").read_text().replace('"???"', "deg"))
    assert read_configuration(tmp_path / "robot.yaml").state_topics == ("/arm/joint_states", "/hand/joint_states")


def test_a_topic_that_has_all_joints_is_named_alone(tmp_path: Path) -> None:
    values = drafted(tmp_path, replace(ROBOT, states=(ARM, HAND, STATE)))
    assert values["state.topic"] == "/joint_states"
    assert "state.topics" not in values


def test_two_topics_with_the_same_joints_are_left_to_a_person(tmp_path: Path) -> None:
    leader = replace(ARM, topic="/leader/joint_states")
    text = draft_file(POLICY, DATASET, "", replace(ROBOT, states=(ARM, leader, HAND))).text
    assert values_of(tmp_path, text)["state.topic"] == "???"
    assert "candidates: /arm/joint_states, /leader/joint_states, /hand/joint_states" in " ".join(
        text.replace("#", " ").split()
    )


def test_a_velocity_in_the_data_set_is_left_open_and_has_no_limits(tmp_path: Path) -> None:
    names = ("pan", "pan.vel", "lift", "grip")
    lowest, highest = np.insert(LOWEST, 1, -1.0), np.insert(HIGHEST, 1, 1.0)
    ranges = dict(POLICY.ranges) | {"observation.state": Range(lowest, highest, "the data set's observation.state")}
    dataset = DataSetFacts("cubes", 25.0, {"observation.state": names, "action": JOINTS}, ranges)
    policy = replace(POLICY, spec=replace(SPEC, state_dim=4), ranges=ranges)
    text = draft_file(policy, dataset, "", ROBOT).text
    assert "candidates: pan/velocity" in " ".join(text.replace("#", " ").split())
    filled = text.replace("???pan.vel", "pan/velocity").replace('"???"', "deg")
    (tmp_path / "robot.yaml").write_text(filled)
    configuration = read_configuration(tmp_path / "robot.yaml")
    assert configuration.state is not None
    assert configuration.state.names == ("pan", "pan/velocity", "lift", "grip")
    assert configuration.action.names == JOINTS
