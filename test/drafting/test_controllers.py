"""Controllers are chosen so that each joint of the action is moved by one; what is not known stays open."""

import numpy as np

from act_inference_ros.drafting.controllers import ControllerDraft, find_controllers
from act_inference_ros.drafting.facts import CommandTopic, Track

TIMES = np.linspace(0.0, 2.0, 41)
JOINTS = ("pan", "lift", "grip")
POSITIONS = np.stack([np.sin(TIMES), 0.5 * np.cos(TIMES), 0.02 + 0.01 * np.sin(2.0 * TIMES)], axis=1)
TRACK = Track(TIMES, POSITIONS)


def trajectory(topic: str, *joints: str) -> CommandTopic:
    return CommandTopic(topic, "joint_trajectory", joints, "its messages name them", len(joints))


def stream(topic: str, columns: list[int]) -> CommandTopic:
    values = POSITIONS[:, columns] + 0.001
    return CommandTopic(topic, "position_stream", width=len(columns), times=TIMES, values=values)


def found(
    *topics: CommandTopic, action: tuple[str, ...] = JOINTS, track: Track | None = TRACK
) -> list[ControllerDraft]:
    return find_controllers(action, topics, JOINTS, track)


def test_messages_with_names_say_whose_joints_they_are() -> None:
    arm, gripper = found(
        trajectory("/arm_controller/joint_trajectory", "lift", "pan"), stream("/gripper/commands", [2])
    )
    assert (arm.name, arm.topic, arm.joints) == ("arm", "/arm_controller/joint_trajectory", ("lift", "pan"))
    assert (gripper.name, gripper.interface, gripper.joints) == ("gripper", "position_stream", ("grip",))


def test_numbers_without_names_are_told_by_where_the_joints_went() -> None:
    [all_of_them] = found(stream("/c/commands", [2, 0, 1]))
    assert all_of_them.joints == ("grip", "pan", "lift")


def test_numbers_of_joints_that_stood_still_in_one_place_stay_open() -> None:
    still = Track(TIMES, np.zeros_like(POSITIONS))
    topic = CommandTopic("/c/commands", "position_stream", width=3, times=TIMES, values=np.zeros((len(TIMES), 3)))
    [draft] = found(topic, track=still)
    assert draft.joints == ("???0", "???1", "???2")
    assert "pan, lift, grip" in draft.joints_why


def test_two_ways_to_one_joint_make_one_controller() -> None:
    [draft] = found(
        CommandTopic("/arm/target", "joint_state", JOINTS, "its messages name them", 3),
        trajectory("/arm/joint_trajectory", *JOINTS),
    )
    assert draft.interface == "joint_trajectory"


def test_joints_that_nobody_moves_are_left_to_fill_in_with_what_was_seen() -> None:
    arm, rest = found(trajectory("/arm/joint_trajectory", "pan", "lift"), trajectory("/base/joint_trajectory", "wheel"))
    assert arm.joints == ("pan", "lift")
    assert (rest.topic, rest.interface, rest.joints) == ("???", "???", ("grip",))
    assert rest.others == ("/base/joint_trajectory",)


def test_a_controllers_joints_are_known_though_the_policys_are_not_matched() -> None:
    action = ("???j0", "???j1", "grip")
    arm, gripper = found(
        trajectory("/arm/joint_trajectory", "pan", "lift"), stream("/gripper/commands", [2]), action=action
    )
    assert arm.joints == ("pan", "lift")
    assert gripper.joints == ("grip",)


def test_controllers_of_one_name_get_a_number() -> None:
    names = [each.name for each in found(trajectory("/a/arm/jt", "pan", "lift"), trajectory("/b/arm/jt", "grip"))]
    assert names == ["arm", "arm_2"]


def test_without_any_topic_one_controller_is_left_to_fill_in() -> None:
    [draft] = found()
    assert (draft.name, draft.topic, draft.interface, draft.joints) == ("arm", "???", "???", JOINTS)
