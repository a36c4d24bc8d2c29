"""Joints that may turn without end go the short way."""

import numpy as np
import pytest

from act_inference_ros.execution import reasons
from act_inference_ros.execution.states import State
from test.execution.rig import TICK_S, Rig


def test_a_continuous_joint_takes_the_nearest_turn() -> None:
    rig = Rig(**{"joint.pan.continuous": True, "joint.pan.min": -np.inf, "joint.pan.max": np.inf})
    rig.positions["pan"] = 3.10
    rig.feed()
    rows = np.tile(np.float32([-3.10, 0.0, 0.0]), (10, 1))  # type: ignore[arg-type]  # numpy makes an array of a list
    assert rig.rows(rows)
    assert rig.trajectories[0].positions[:, 1].max() == pytest.approx(2 * np.pi - 3.10, abs=1e-5)
    assert np.ptp(rig.trajectories[0].positions[:, 1]) < 0.09
    assert rig.state is State.COMMANDING


def turning(**changes: object) -> Rig:
    """An arm whose pan has been told to go beyond half a turn, and is measured just behind, a turn back."""
    rig = Rig(**{"joint.pan.continuous": True, "joint.pan.max_velocity": 5.0, **changes})
    rig.positions["pan"] = 3.0
    rig.feed()
    rows = np.zeros((10, 3), np.float32)
    rows[:, 0] = np.minimum(np.linspace(3.0, 4.05, 10), 3.7)
    rig.rows(rows)
    rig.obeys = False
    for _ in range(50):
        rig.positions["pan"] = (rig.supervisor.told(rig.now)["pan"] + np.pi) % (2 * np.pi) - np.pi
        rig.wait(TICK_S)
    assert rig.supervisor.told(rig.now)["pan"] == pytest.approx(3.7)
    return rig


def test_a_continuous_joint_that_does_not_follow_is_not_sent_round_a_whole_turn() -> None:
    rig = turning()
    rig.positions["pan"] += 0.5
    rig.wait(0.2)
    assert rig.reason == reasons.NOT_FOLLOWING
    assert rig.trajectories[-1].positions[:, 1] == pytest.approx(4.2)


def test_a_continuous_joint_that_was_moved_by_hand_goes_on_without_a_whole_turn() -> None:
    rig = turning()
    rig.operator.pause(rig.now)
    rig.positions["pan"] += 0.5
    rig.wait(0.1)
    rig.operator.resume(rig.now)
    rig.wait(0.04)
    rows = np.zeros((10, 3), np.float32)
    rows[:, 0] = rig.positions["pan"]
    assert rig.rows(rows)
    assert rig.trajectories[-1].positions[:, 1] == pytest.approx(4.2)


def test_the_way_to_the_start_pose_makes_no_whole_turn() -> None:
    rig = turning(start_pose=[3.5 - 2 * np.pi, 0.0, 0.0])
    assert rig.operator.go_to_start(rig.configuration.start_pose, rig.now).accepted
    rig.positions["pan"] = 3.5 - 2 * np.pi
    rig.wait(0.5)
    assert rig.reason == reasons.AT_START_POSE
    assert rig.trajectories[-1].positions[:, 1] == pytest.approx(3.5, abs=2e-3)
