"""Joints are named by name only: what does not match stays open, with candidates."""

import pytest

from act_inference_ros.drafting.names import given_joints, is_gripper, name_joints, unnamed_joints
from act_inference_ros.errors import ConfigurationError


def names(policy: list[str], robot: list[str]) -> list[str]:
    return [joint.ros for joint in name_joints(policy, robot, "the bag")]


def test_the_same_name_is_the_same_joint_in_the_policys_order() -> None:
    assert names(["pan", "lift"], ["other", "lift", "pan"]) == ["pan", "lift"]


def test_suffixes_that_only_mean_a_position_are_left_out() -> None:
    assert names(["pan.pos", "lift_position"], ["lift", "pan"]) == ["pan", "lift"]


def test_case_and_punctuation_do_not_matter_if_all_joints_find_a_partner() -> None:
    assert names(["left.j0", "Left.Gripper"], ["left_gripper", "left_j0"]) == ["left_j0", "left_gripper"]


def test_one_joint_without_a_match_leaves_others_that_are_only_similar_open() -> None:
    assert names(["left.j0", "left.hand"], ["left_gripper", "left_j0"]) == ["???left.j0", "???left.hand"]


def test_two_similar_joints_of_the_robot_are_no_match() -> None:
    assert names(["left.j0"], ["left_j0", "leftj0"]) == ["???left.j0"]


def test_a_row_that_may_be_counted_from_another_number_stays_open() -> None:
    found = name_joints(["j0", "j1", "j2", "grip"], ["j1", "j2", "j3", "grip"], "the bag")
    assert [joint.ros for joint in found] == ["???j0", "???j1", "???j2", "grip"]
    assert set(found[0].candidates) == {"j1", "j2", "j3"}


def test_candidates_are_what_is_left_and_grippers_come_first_for_grippers() -> None:
    [pan, hand] = name_joints(["pan", "left.gripper"], ["pan", "joint_a", "finger"], "the bag")
    assert (pan.known, hand.known) == (True, False)
    assert hand.candidates == ("finger", "joint_a")


def test_entries_that_name_one_joint_twice_are_not_taken() -> None:
    assert names(["pan.pos", "pan.q"], ["pan"]) == ["???pan", "???pan"]


def test_without_a_robot_the_data_sets_names_are_taken_and_it_is_said() -> None:
    [joint] = name_joints(["pan.pos"], None, "")
    assert joint.ros == "pan"
    assert "compared with no robot" in joint.why


def test_without_a_data_set_every_joint_is_open() -> None:
    found = unnamed_joints(2, ["pan", "lift"], "joint_")
    assert [joint.ros for joint in found] == ["???joint_0", "???joint_1"]
    assert found[0].candidates == ("pan", "lift")


def test_names_that_the_user_gives_must_be_the_robots() -> None:
    assert [joint.ros for joint in given_joints(["b", "a"], ["j0", "j1"], ["a", "b"], "the bag")] == ["b", "a"]
    with pytest.raises(ConfigurationError, match="--joints: c not in the bag, which has a, b"):
        given_joints(["a", "c"], ["j0", "j1"], ["a", "b"], "the bag")


def test_grippers_are_recognised_by_their_names() -> None:
    assert [is_gripper(name) for name in ("left_gripper", "finger_joint1", "jaw", "left_j0", "hand_yaw")] == [
        True, True, True, False, False,
    ]  # fmt: skip


def test_a_velocity_stays_open_with_the_joints_own_as_candidate() -> None:
    found = name_joints(["pan.pos", "pan.vel", "lift_torque"], ["pan", "lift"], "the bag")
    assert [joint.ros for joint in found] == ["pan", "???pan.vel", "???lift_torque"]
    assert [joint.candidates for joint in found[1:]] == [("pan/velocity",), ("lift/effort",)]
    assert [joint.is_position for joint in found] == [True, False, False]
    assert "by its name a velocity" in found[1].why


def test_a_velocity_that_is_spelled_as_in_a_parameter_file_is_known_if_the_joint_is_there() -> None:
    found = name_joints(["pan/velocity", "pan", "lift/effort"], ["pan"], "the bag")
    assert [joint.ros for joint in found] == ["pan/velocity", "pan", "???lift/effort"]
