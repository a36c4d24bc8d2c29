"""The executed plan of the evaluation is what the node's commanders publish, chunk for chunk, limits included."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from act_inference_ros.control.commanders import make_commander
from act_inference_ros.control.timeline import ActionTimeline
from act_inference_ros.evaluation.comparison.executed_plan import ExecutedPlan
from act_inference_ros.interfaces import MERGES
from test.evaluation import bags
from test.evaluation.bags import CHUNK_SIZE, FPS, JOINTS, START_S


@pytest.mark.parametrize("merge", MERGES)
def test_trajectories_up_to_the_next_one(merge: str) -> None:
    configuration = bags.configuration(
        **{
            "controllers": ["arm"], "controller.arm.joints": list(JOINTS), "controller.arm.lead": 0.02,
            "controller.arm.interface": "joint_trajectory",
            **{f"controller.gripper.{key}": None for key in ("topic", "joints", "interface")},
            "joint.pan.max_velocity": 1.5, "joint.lift.max": 0.4,
        }
    )  # fmt: skip
    published: list[Any] = []
    commander = make_commander(configuration.controllers[0], configuration, published.append)
    timeline = ActionTimeline(FPS, merge, configuration.blend_time, configuration.ensemble_coeff)
    plan = ExecutedPlan(configuration, merge)
    random = np.random.default_rng(0)
    measured = dict.fromkeys(JOINTS, 0.1)
    arrivals = START_S + np.arange(0, 40, 4) / FPS + 0.013
    blocks = []
    for arrival in arrivals:
        t_obs = arrival - 0.013
        chunk = random.normal(0.0, 0.3, (CHUNK_SIZE, 3)).astype(np.float32)
        timeline.add(chunk, t_obs, arrival)
        if not commander.known:
            commander.begin(arrival, measured)
        commander.follow(timeline, arrival, np.inf)
        plan.accept(chunk, t_obs, arrival, measured)
        blocks.append(plan.take())
    told = commands_executed(published, arrivals + 0.02)
    executed = {
        round((time - START_S) * FPS): row
        for block in blocks
        if block is not None
        for time, row in zip(block.times, block.limited, strict=True)
        if np.isfinite(row).all()
    }
    assert len(executed) > 30
    for place, row in executed.items():
        np.testing.assert_allclose(row, told[place], atol=1e-5)


def commands_executed(commands: Sequence[Any], stamps: npt.NDArray[np.float64]) -> dict[int, npt.NDArray[Any]]:
    """Step -> the position of the trajectory in force at that time."""
    told = {}
    for command, end in zip(commands, [*stamps[1:], np.inf], strict=True):
        for time, positions in zip(command.times, command.positions, strict=True):
            if time <= end + 1e-6:
                told[round((time - START_S) * FPS)] = positions
    return told
