"""A hold that begins while the arm already brakes for the end of its plan does not make the motion longer."""

import pytest

from act_inference_ros.simulation.trajectory_controller import JAZZY
from test.execution.guarded_arm import LATENCY_S, GuardedArm

PLAN_AGE_S = 0.9
CHUNK_S = 0.25


@pytest.mark.parametrize("before_s", [0.25, 0.15, 0.1, 0.05, 0.03, 0.01])
def test_no_message_of_a_hold_reaches_beyond_the_age_of_the_plan(before_s: float) -> None:
    arm = GuardedArm(JAZZY, False, 0.03, max_plan_age=PLAN_AGE_S)
    arm.go(8, CHUNK_S)
    until = arm.rig.now - CHUNK_S - LATENCY_S + PLAN_AGE_S
    while arm.rig.now < until - before_s:
        arm.run(0.01)
    arm.rig.supervisor.fail(arm.rig.now, "planted")
    assert arm.state == "holding"
    last = arm.rig.trajectories[-1]
    assert last.stamp + last.times[-1] <= until + 1e-3
    arm.run(before_s + 0.1)
    still = arm.setpoints[-1]
    arm.run(0.2)
    assert arm.setpoints[-1] == pytest.approx(still, abs=1e-9)
