"""A draft of a robot or a data set with very many names takes no longer than one with the names of a robot."""

from dataclasses import replace

import numpy as np

from act_inference_ros.drafting.controllers import find_controllers
from act_inference_ros.drafting.facts import CommandTopic, RobotFacts, StateTopic, Track
from act_inference_ros.drafting.names import MOST_CANDIDATES, name_joints, unnamed_joints
from act_inference_ros.drafting.observer import MOST_JOINTS, MOST_SAMPLES
from act_inference_ros.drafting.states import find_states
from act_inference_ros.policy import bounds
from test.bounds import breach

NAMES = [f"a rather long name of a joint {i:06d}.pos" for i in range(bounds.VECTOR)]


def topic(number: int) -> StateTopic:
    joints = tuple(f"another name of a joint {number} {place}" for place in range(MOST_JOINTS))
    return StateTopic(f"/t{number}", joints, np.zeros(MOST_JOINTS), np.zeros(MOST_JOINTS), 1.0)


def test_very_many_names_are_not_compared_each_with_each() -> None:
    joints = [joint for number in range(3) for joint in topic(number).joints]
    assert breach(lambda: name_joints(NAMES, joints, "the bag")) is None
    named = name_joints(NAMES, joints, "the bag")
    assert not any(each.known for each in named)
    assert all(each.candidates[0] in joints and len(each.candidates) == MOST_CANDIDATES for each in named)


def test_equal_names_are_found_however_many_there_are() -> None:
    named = name_joints(NAMES, NAMES[::-1], "the bag")
    assert [each.ros for each in named] == NAMES
    others = [name.removesuffix(".pos").upper().replace(" ", "_") for name in NAMES]
    assert [each.ros for each in name_joints(NAMES, others, "the bag")] == others
    assert breach(lambda: name_joints(NAMES, others, "the bag")) is None


def test_of_very_many_states_a_topic_is_chosen_in_time() -> None:
    robot = RobotFacts("the bag", states=tuple(map(topic, range(12))))
    assert breach(lambda: find_states(NAMES, robot)) is None
    assert breach(lambda: find_states(NAMES[:10], robot)) is None


def test_very_many_joints_without_names_have_few_candidates() -> None:
    joints = [joint for number in range(3) for joint in topic(number).joints]
    unnamed = unnamed_joints(bounds.VECTOR, joints, "joint_")
    assert {len(each.candidates) for each in unnamed} == {MOST_CANDIDATES}
    assert {len(each.candidates) for each in unnamed_joints(3, joints, "joint_")} == {len(joints)}


def test_very_many_commanded_numbers_are_not_compared_with_each_joint() -> None:
    times = np.arange(MOST_SAMPLES, dtype=np.float64)
    values = np.zeros((500, MOST_JOINTS))
    numbers = CommandTopic("", "position_stream", width=MOST_JOINTS, times=times[:500], values=values)
    commands = [replace(numbers, topic=f"/c{i}") for i in range(20)]
    joints = [f"j{i}" for i in range(MOST_JOINTS)]
    track = Track(times[:500], np.zeros((500, MOST_JOINTS)))
    assert breach(lambda: find_controllers(joints, commands, joints, track)) is None
