"""The scripted expert lifts the cube, within the arm's limits, and says when it cannot."""

from importlib.util import find_spec

import numpy as np
import pytest

from act_inference_ros.errors import ConfigurationError
from act_inference_ros.simulation.expert import PLAN_STEPS, Expert, ease_out
from act_inference_ros.simulation.scene import DemoArm

pytestmark = pytest.mark.skipif(find_spec("mujoco") is None, reason="needs MuJoCo")


@pytest.fixture(scope="module")
def expert() -> Expert:
    return Expert()


@pytest.fixture(scope="module")
def arm() -> DemoArm:
    return DemoArm(render=False)


@pytest.mark.parametrize("seed", range(8))
def test_the_expert_lifts_the_cube(arm: DemoArm, expert: Expert, seed: int) -> None:
    arm.reset(seed)
    for target in expert.plan(arm.positions, arm.cube_position_m):
        arm.step(target, 1.0 / DemoArm.FPS)
    assert arm.cube_lifted


def test_plans_keep_within_limits_and_two_radians_per_second(arm: DemoArm, expert: Expert) -> None:
    limits = np.array([DemoArm.LIMITS[name] for name in DemoArm.JOINTS])
    for seed in range(20):
        arm.reset(seed)
        plan = expert.plan(arm.positions, arm.cube_position_m)
        assert plan.shape == (PLAN_STEPS, 6)
        assert (plan >= limits[:, 0]).all()
        assert (plan <= limits[:, 1]).all()
        speeds = np.abs(np.diff(plan, axis=0, prepend=arm.positions[None]))[:, :5] * DemoArm.FPS
        assert speeds.max() < 2.0


def test_a_cube_out_of_reach_is_refused(expert: Expert) -> None:
    with pytest.raises(ConfigurationError, match="cannot reach"):
        expert.plan(np.array(DemoArm.HOME), np.array([0.6, 0.0, 0.018]))


def test_a_motion_starts_and_ends_when_it_should() -> None:
    done = ease_out(10, 20)
    assert not done[:10].any()
    assert (done[29:] == 1.0).all()
    assert (np.diff(done[9:30]) > 0.0).all()
