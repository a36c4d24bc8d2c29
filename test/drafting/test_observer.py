"""What is kept of a robot's messages has bounds, whatever they hold."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from act_inference_ros.drafting.facts import RobotFacts
from act_inference_ros.drafting.observer import (
    JOINT_STATE,
    LONGEST_NAME,
    MOST_JOINTS,
    MOST_NUMBERS,
    MOST_SAMPLES,
    MOST_TOPICS,
    RobotObserver,
)
from test.bounds import breach
from test.fuzz.target import MIB

NUMBERS = "std_msgs/msg/Float64MultiArray"
TRAJECTORY = "trajectory_msgs/msg/JointTrajectory"


def states(*names: str) -> Any:
    return SimpleNamespace(name=list(names), position=np.arange(len(names), dtype=np.float64))


def seen(*messages: tuple[str, str, Any]) -> RobotFacts:
    watching = RobotObserver("a test")
    for i, (topic, kind, message) in enumerate(messages):
        watching.take(topic, kind, 0.01 * i, message)
    return watching.facts()


def test_joint_states_with_more_names_than_any_robot_has_joints_are_left_out() -> None:
    message = states(*(f"j{i}" for i in range(100_000)))
    messages = [("/joint_states", JOINT_STATE, message)] * 30
    assert breach(lambda: seen(*messages), 64 * MIB) is None
    facts = seen(*messages, ("/joint_states", JOINT_STATE, states("a", "b")))
    assert [state.joints for state in facts.states] == [("a", "b")]
    [problem] = facts.problems
    assert problem == f"/joint_states: a message of 100000 joints is left out; expected at most {MOST_JOINTS}"


def test_names_that_change_with_every_message_are_kept_up_to_a_bound() -> None:
    watching = RobotObserver("a test")
    rounds = MOST_SAMPLES // 5

    def read() -> RobotFacts:
        for i in range(rounds):
            names = (f"j{i}.{n}" for n in range(MOST_JOINTS))
            watching.take("/joint_states", JOINT_STATE, 0.01 * i, states(*names))
        return watching.facts()

    assert breach(read, 64 * MIB) is None
    [state] = watching.facts().states
    assert len(state.joints) == MOST_JOINTS
    track = watching.facts().tracks["/joint_states"]
    assert track.positions.size <= MOST_NUMBERS


def test_a_name_that_is_none_is_left_out() -> None:
    [state] = seen(("/joint_states", JOINT_STATE, states("a" * (LONGEST_NAME + 1), "b"))).states
    assert state.joints == ("b",)
    trajectory = SimpleNamespace(joint_names=["a" * (LONGEST_NAME + 1), "b"])
    [command] = seen(("/arm", TRAJECTORY, trajectory)).commands
    assert command.joints == ("b",)


def test_the_numbers_of_commands_are_kept_up_to_a_bound() -> None:
    messages = [("/arm", NUMBERS, SimpleNamespace(data=np.zeros(MOST_JOINTS)))] * MOST_SAMPLES
    assert breach(lambda: seen(*messages), 64 * MIB) is None
    [command] = seen(*messages).commands
    assert command.values.shape == (MOST_NUMBERS // MOST_JOINTS, MOST_JOINTS)


@pytest.mark.parametrize("kind", [JOINT_STATE, NUMBERS, "sensor_msgs/msg/CompressedImage"])
def test_more_topics_than_any_robot_has_are_left_out(kind: str) -> None:
    data = [0.0] if kind == NUMBERS else b"no image"
    message = SimpleNamespace(name=["a"], position=[0.0], data=data, format="jpeg")
    facts = seen(*((f"/topic{i}", kind, message) for i in range(MOST_TOPICS + 2)))
    assert len(facts.states) + len(facts.commands) in (0, MOST_TOPICS)
    assert facts.problems[-1] == f"only the first {MOST_TOPICS} topics are looked at"
    assert len(facts.problems) <= MOST_TOPICS + 1
