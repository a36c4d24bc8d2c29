"""How far a motion goes that no new chunk renews: the age of a plan, and what is said of an inference that hangs."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from act_inference_ros.errors import NotReadyError
from act_inference_ros.execution import reasons
from act_inference_ros.execution.pipeline import Taken
from act_inference_ros.execution.states import State
from act_inference_ros.observation.refusal import Reason, Refusal
from test.execution.rig import TICK_S, Rig, end_of


def test_a_plan_that_ran_out_is_coasted_on_and_then_the_stream_stops() -> None:
    rig = Rig(coast_time=0.3)
    rig.chunk(target=0.5)
    rig.wait(0.9 + 0.28)
    assert rig.state is State.COMMANDING
    # It comes to rest within 0.3 s, and goes on by half of what it would have gone in that time.
    assert rig.targets[-3:] == pytest.approx([0.5 + 0.15 * 0.5 / 0.9] * 3, abs=5e-3)
    rig.wait(0.06)
    assert rig.reason == reasons.RAN_OUT
    before = rig.silence()
    rig.wait(0.5)
    assert rig.silence() == before
    assert len(rig.trajectories) == 1  # the trajectory came to rest by itself


def test_no_message_reaches_further_than_a_plan_is_followed() -> None:
    rig = Rig(max_plan_age=0.5)
    rig.chunk(t_obs=rig.now - 0.1)
    assert end_of(rig.trajectories[0]) <= rig.now - 0.1 + 0.5 + 1e-6


def test_a_hung_inference_ends_the_motion_when_the_plan_is_too_old() -> None:
    rig = Rig(max_plan_age=0.5)
    rig.chunk(target=1.5)
    began = rig.now
    rig.wait(2.0)
    assert rig.reason == reasons.TOO_OLD
    last_moving = max(c.stamp for c in rig.commands["gripper"] if c.positions[0, 0] != rig.targets[-1])
    assert last_moving <= began + 0.5 + TICK_S
    assert "inference" not in rig.supervisor.standing.detail  # none was begun here


def take_another(rig: Rig) -> Taken:
    """Follow a chunk, and take the observation for the next one, 20 ms later."""
    rig.chunk(target=1.5)
    rig.wait(TICK_S)
    taken = rig.take()
    assert taken is not None
    return taken


def test_how_long_a_hung_inference_has_taken_is_said_when_the_plan_is_too_old() -> None:
    rig = Rig(max_plan_age=0.5)
    take_another(rig)
    rig.wait(2.0)
    assert rig.reason == reasons.TOO_OLD
    assert rig.supervisor.standing.detail.endswith("; an inference has taken 0.5 s so far")


def test_how_long_a_hung_inference_has_taken_is_said_when_the_plan_runs_out() -> None:
    rig = Rig(coast_time=0.3)
    take_another(rig)
    rig.wait(2.0)
    assert rig.reason == reasons.RAN_OUT
    assert rig.supervisor.standing.detail.endswith("; an inference has taken 1.2 s so far")


@pytest.mark.parametrize(
    "over",
    [
        lambda rig, taken: rig.pipeline.chunk(taken, np.zeros((10, 3), np.float32), rig.now, 0.1),
        lambda rig, taken: rig.pipeline.failed(replace(taken, generation=-1), NotReadyError("gone"), rig.now),
        lambda rig, taken: rig.pipeline.undecodable(taken, Refusal(Reason.INVALID, "front", "damaged")),
        lambda rig, taken: rig.pipeline.passed_over(),
    ],
    ids=["done", "failed", "undecodable", "passed over"],
)
def test_an_inference_that_is_over_is_not_said_to_hang(over: Callable[[Rig, Taken], object]) -> None:
    rig = Rig(max_plan_age=0.5)
    over(rig, take_another(rig))
    rig.wait(2.0)
    assert rig.reason == reasons.TOO_OLD
    assert "an inference has taken" not in rig.supervisor.standing.detail


def test_the_age_is_three_inferences_and_three_intervals() -> None:
    rig = Rig(max_plan_age=0.0, inference_rate=10.0)
    rig.supervisor.inference_s = 0.2
    assert rig.supervisor.max_plan_age == pytest.approx(0.9)
    rig.supervisor.inference_s = 5.0
    assert rig.supervisor.max_plan_age == 3.0
    rig.supervisor.inference_s = 0.0
    assert rig.supervisor.max_plan_age == 0.5


def test_a_plan_of_hardly_two_steps_is_commanded_to_its_end() -> None:
    rig = Rig(max_plan_age=0.15)
    assert rig.chunk(target=0.9)
    assert len(rig.trajectories) == 1
    assert end_of(rig.trajectories[0]) == pytest.approx(rig.now + 0.15)
