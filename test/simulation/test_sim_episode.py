"""Closed-loop episodes and the statistics of their success."""

from importlib.util import find_spec

import numpy as np
import pytest

from act_inference_ros.errors import ConfigurationError
from act_inference_ros.simulation.episode import run_episode, success_line, wilson_interval
from act_inference_ros.simulation.expert import Expert
from act_inference_ros.simulation.scene import DemoArm


class RecordingArm:
    """Stands in for DemoArm: notes each target, and its position counts the steps."""

    def __init__(self):
        self.targets = []
        self.cube_lifted = False
        self.cube_height_m = 0.0

    def reset(self, seed):
        self.targets.clear()

    def step(self, target, duration_s):
        self.targets.append(float(target[0]))

    @property
    def positions(self):
        return np.full(6, 100.0 * len(self.targets), np.float32)

    def render(self, camera):
        return np.zeros((1, 1, 3), np.uint8)


def counting_chunk(observation):
    """Row i of the chunk predicted at step s is 100 s + i."""
    return observation["observation.state"][0] + np.arange(4, dtype=np.float32)[:, None].repeat(6, axis=1)


def test_a_new_chunk_takes_over_at_once_without_latency():
    arm = RecordingArm()
    run_episode(arm, counting_chunk, 0, replan_every=3, max_steps=7)
    assert arm.targets == [0, 1, 2, 300, 301, 302, 600]


def test_a_late_chunk_skips_the_steps_that_have_passed():
    arm = RecordingArm()
    run_episode(arm, counting_chunk, 0, replan_every=3, latency_steps=1, max_steps=7)
    assert arm.targets == [0, 1, 2, 3, 301, 302, 303]


def test_a_chunk_as_late_as_the_next_observation_is_still_used():
    arm = RecordingArm()
    run_episode(arm, counting_chunk, 0, replan_every=2, latency_steps=2, max_steps=6)
    assert arm.targets == [0, 0, 2, 3, 202, 203]


def test_past_its_end_a_chunks_last_target_is_held():
    arm = RecordingArm()
    run_episode(arm, counting_chunk, 0, replan_every=6, max_steps=6)
    assert arm.targets == [0, 1, 2, 3, 3, 3]


@pytest.mark.parametrize(("replan_every", "latency_steps"), [(0, 0), (2, 3), (2, -1)])
def test_impossible_steps_are_refused(replan_every, latency_steps):
    with pytest.raises(ConfigurationError, match="replan_every"):
        run_episode(RecordingArm(), counting_chunk, 0, replan_every, latency_steps)


@pytest.mark.skipif(find_spec("mujoco") is None, reason="needs MuJoCo")
def test_the_expert_as_policy_succeeds_and_a_motionless_one_does_not():
    arm, expert = DemoArm(), Expert()

    def whole_plan(observation):
        return expert.plan(observation["observation.state"], arm.cube_position_m).astype(np.float32)

    result = run_episode(arm, whole_plan, seed=4, replan_every=100)
    assert result.success
    assert result.predictions == 1
    assert 30 < result.steps < 75
    assert result.cube_height_m > 0.035

    stay = run_episode(arm, lambda observation: observation["observation.state"][None], seed=4, max_steps=20)
    assert not stay.success
    assert stay.steps == 20
    assert stay.predictions == 2
    arm.close()


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    # Newcombe 1998, "Two-sided confidence intervals for the single proportion", table I, method 3.
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_the_interval_agrees_with_published_values(successes, n, low, high):
    assert wilson_interval(successes, n) == pytest.approx((low, high), abs=6e-5)


def test_the_interval_of_impossible_counts_is_refused():
    with pytest.raises(ConfigurationError):
        wilson_interval(3, 2)


def test_the_success_line_is_exactly_this():
    assert success_line(19, 20) == "success: 19/20 (95 %, 95 % interval 76..99 %)"
    assert success_line(0, 0) == "success: 0/0 (0 %, 95 % interval 0..100 %)"
