"""A motion that begins again soon after another one makes no step."""

import numpy as np
import pytest

from act_inference_ros.control.cubic import Cubic
from act_inference_ros.execution.states import State
from test.execution.rig import JOINTS, TICK_S, Rig

PLAN = np.linspace([0.0, 0.0, 0.0], [0.9, -0.9, 0.5], 10).astype(np.float32)


def commanding() -> Rig:
    rig = Rig(**{"controller.arm.overlap": "on", "max_age": 0.4, "joint.pan.max_deviation": 3.0})
    assert rig.rows(PLAN)
    rig.wait(0.4)
    assert rig.state is State.COMMANDING
    return rig


def chunk(rig: Rig) -> bool:
    here = np.array([rig.positions[name] for name in JOINTS])
    return rig.rows((here + np.linspace(0.0, 0.4, 10)[:, None]).astype(np.float32))


def test_where_the_arm_was_put_by_hand_is_no_way_that_it_was_told_to_go() -> None:
    rig = commanding()
    rig.operator.pause(rig.now)
    rig.wait(0.5)
    rig.obeys = False
    rig.positions |= {"pan": 0.2, "lift": 0.3}
    rig.wait(1.0)
    rig.operator.resume(rig.now)
    rig.wait(TICK_S)
    assert chunk(rig)
    before = rig.supervisor.overlap.anew["arm"]
    rig.obeys = True
    rig.lag = 0.04
    rig._past.clear()
    rig.wait(0.1)
    assert chunk(rig)
    assert rig.supervisor.overlap.anew["arm"] == before, rig.supervisor.overlap.why_anew


def test_a_controller_that_does_not_move_from_the_begin_on_is_still_noticed() -> None:
    rig = commanding()
    rig.operator.pause(rig.now)
    rig.wait(1.0)
    rig.obeys = False
    rig.operator.resume(rig.now)
    rig.wait(TICK_S)
    assert chunk(rig)
    rig.wait(0.3)
    before = rig.supervisor.overlap.anew["arm"]
    assert chunk(rig)
    assert rig.supervisor.overlap.anew["arm"] == before + 1


def test_after_a_reset_no_motion_begins_before_the_arm_has_come_to_rest() -> None:
    rig = commanding()
    rig.operator.reset(rig.now)
    hold = rig.trajectories[-1]
    rests = hold.stamp + float(hold.times[-1])
    assert rests > rig.now + 0.09
    while rig.state is not State.COMMANDING:
        rig.wait(TICK_S)
        chunk(rig)
        assert rig.now < rests + 0.1
    assert rig.now > rests
    begin = rig.trajectories[-1]
    assert begin.velocities is not None
    was = rig.supervisor.told(rig.now)
    motion = Cubic(begin.stamp, begin.times, begin.positions, begin.velocities)
    assert motion.at(rig.now).position == pytest.approx([was["lift"], was["pan"]], abs=1e-6)


@pytest.mark.parametrize(
    "then", [("reset",), ("pause", "resume"), ("pause", "reset", "resume"), ("stop", "clear_stop", "resume")]
)
def test_what_an_operator_asks_for_after_a_reset_lets_no_motion_begin_sooner(then: tuple[str, ...]) -> None:
    rig = commanding()
    rig.operator.reset(rig.now)
    hold = rig.trajectories[-1]
    for request in then:
        rig.wait(TICK_S)
        getattr(rig.operator, request)(rig.now)
    while rig.state is not State.COMMANDING:
        rig.wait(TICK_S)
        chunk(rig)
    assert rig.now > hold.stamp + float(hold.times[-1])


def test_where_an_arm_was_measured_while_it_braked_is_compared_with_what_it_was_told_then() -> None:
    rig = commanding()
    rig.operator.pause(rig.now)
    rig.wait(0.06)
    rig.silent = {"state"}  # the newest measurement is of an arm that still brakes
    rig.wait(0.26)
    told = rig.supervisor.told(rig.now)
    assert abs(told["pan"] - rig.positions["pan"]) < 1e-9
    rig.operator.resume(rig.now)
    rig.wait(TICK_S)
    assert chunk(rig)
    begin = rig.trajectories[-1]
    assert begin.velocities is not None
    motion = Cubic(begin.stamp, begin.times, begin.positions, begin.velocities)
    assert motion.at(rig.now).position == pytest.approx([told["lift"], told["pan"]], abs=1e-6)
