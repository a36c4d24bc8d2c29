"""Supervisor with hand-moved time: when it commands, when it holds, what it forgets, how it goes on."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from act_inference_ros.errors import NotReadyError
from act_inference_ros.execution import reasons
from act_inference_ros.execution.pipeline import Taken
from act_inference_ros.execution.states import State
from act_inference_ros.interfaces import Command
from act_inference_ros.observation.refusal import Reason, Refusal
from act_inference_ros.robot.configuration import RobotConfiguration
from act_inference_ros.spec import ImageSpec, PolicySpec
from test.execution.rig import JOINTS, PARAMETERS, TICK_S, Rig

TWO_OF_THREE = PolicySpec(10, 3, images=(ImageSpec("observation.images.front", 2, 2),), state_dim=2)


def test_commands_flow_from_the_first_chunk_on_and_not_before() -> None:
    rig = Rig()
    rig.wait(0.1)
    assert rig.silence() == (0, 0)
    assert rig.chunk()
    rig.wait(0.1)
    assert rig.silence() == (1, 6)
    assert rig.state is State.COMMANDING


def test_a_stream_starts_where_the_arm_was_measured() -> None:
    rig = Rig()
    rig.positions["grip"] = 0.7
    rig.feed()
    assert rig.chunk(target=0.0)
    assert rig.targets == [0.7]


def test_a_running_stream_keeps_to_the_command_rate_whatever_the_rate_of_chunks() -> None:
    rig = Rig()
    for _ in range(10):
        rig.chunk()
        rig.wait(0.1)
    assert len(rig.targets) == 1 + 50


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


def test_a_hold_is_sent_once_and_counted_once_however_long_it_lasts() -> None:
    rig = Rig()
    rig.chunk()
    rig.wait(0.1)
    rig.silent = {"state"}
    rig.wait(0.5)
    assert [rig.is_hold(command) for command in rig.trajectories] == [False, True]
    steps = np.diff(rig.targets[-6:])
    assert (np.diff(steps) <= 1e-12).all()  # it brakes, and then no more is sent
    assert rig.targets[-1] == pytest.approx(rig.supervisor.told(rig.now)["grip"], abs=1e-12)
    assert rig.supervisor.holds == {"stale: state": 1}


def test_a_chunk_of_stale_inputs_is_not_commanded() -> None:
    rig = Rig()
    rig.now += 0.3
    assert not rig.chunk()
    assert rig.silence() == (0, 0)
    assert rig.reason == "stale: state"


def test_a_chunk_that_is_over_when_it_comes_is_not_commanded() -> None:
    rig = Rig()
    assert not rig.chunk(t_obs=rig.now - 1.0)
    assert rig.silence() == (0, 0)
    assert rig.reason == reasons.TOO_LATE


def test_a_chunk_in_flight_during_a_reset_is_dropped() -> None:
    rig = Rig()
    generation = rig.supervisor.generation
    rig.operator.reset(rig.now)
    rig.feed()
    assert not rig.chunk(generation=generation)
    assert rig.silence() == (0, 0)
    rig.wait(TICK_S)
    assert rig.chunk()


def test_after_a_reset_old_inputs_and_measured_positions_are_worth_nothing() -> None:
    rig = Rig()
    rig.operator.reset(rig.now)
    assert rig.pipeline.inputs.fresh(rig.now) is not None
    assert rig.supervisor.measured(rig.now) == {}


@pytest.mark.parametrize("pauses", [False, True])
def test_a_reset_while_the_arm_brakes_lets_it_come_to_rest_before_the_next_motion_begins(pauses: bool) -> None:
    rig = Rig(**{f"joint.{name}.max_acceleration": 5.0 for name in JOINTS})
    rig.chunk(target=0.9)
    rig.wait(0.4)
    if pauses:
        rig.operator.pause(rig.now)
    rig.operator.reset(rig.now)
    rig.operator.resume(rig.now)
    hold, sent = rig.trajectories[-1], len(rig.trajectories)
    rests_from = hold.stamp + float(hold.times[-1])
    while rig.now < rests_from - TICK_S:
        rig.wait(TICK_S)
        assert not rig.chunk(target=0.0), "a motion begins while the arm brakes"
    steps = np.diff(rig.targets[-12:]) / TICK_S
    assert steps.max() > 0.5
    assert np.abs(np.diff(steps)).max() < 5.0 * TICK_S * 1.1, "the stream ends in the middle of its braking"
    rig.wait(0.1)
    assert rig.supervisor.told(rig.now) == {}
    rig.obeys, rig.positions["lift"] = False, 0.7
    rig.wait(TICK_S)
    assert rig.chunk(target=0.0)
    assert rig.trajectories[sent].positions[0, 0] == pytest.approx(0.7, abs=1e-6), "not where the arm is measured"


def test_the_way_to_the_start_pose_goes_on_from_a_reset_while_the_arm_brakes() -> None:
    limits = {f"joint.{name}.max_acceleration": 5.0 for name in JOINTS}
    rig = Rig(start_pose=[0.0, 0.0, 0.0], **limits)
    rig.chunk(target=0.9)
    rig.wait(0.4)
    rig.operator.reset(rig.now)
    rig.wait(TICK_S)
    assert rig.operator.go_to_start((0.0, 0.0, 0.0), rig.now).accepted
    rig.wait(1.0)
    last = {round(command.stamp, 3): float(command.positions[0, 0]) for command in rig.commands["gripper"]}
    steps = np.diff(list(last.values())) / TICK_S
    assert np.abs(np.diff(steps)[1:]).max() < 5.0 * TICK_S * 1.1
    assert rig.supervisor.told(rig.now)


def test_an_inactive_arm_takes_no_chunk_even_of_its_own_generation() -> None:
    rig = Rig()
    rig.chunk()
    rig.supervisor.deactivate(rig.now)
    before = rig.silence()
    rig.feed()
    assert not rig.chunk()
    rig.wait(0.3)
    assert rig.silence() == before
    assert rig.state is State.INACTIVE


def test_an_arm_that_was_moved_during_a_pause_starts_from_where_it_is_then() -> None:
    rig = Rig()
    rig.chunk(target=0.5)
    rig.wait(0.4)
    rig.operator.pause(rig.now)
    rig.obeys = False
    rig.positions = dict.fromkeys(JOINTS, -0.3)
    rig.wait(0.4)
    rig.operator.resume(rig.now)
    rig.wait(0.04)
    assert rig.chunk(target=-0.3)
    assert rig.targets[-1] == pytest.approx(-0.3)
    assert np.allclose(rig.trajectories[-1].positions, -0.3)


def test_a_joint_that_is_not_measured_stops_everything_and_is_named() -> None:
    seen = ("pan", "lift", "wheel")
    rig = Rig(**{"state.joints": list(seen), "action.joints": list(JOINTS)})
    rig.names = seen
    rig.feed()
    rig.now += 0.19  # the grip was measured once, and that is too old by now
    rig.feed()
    rig.now += 0.05
    rig.feed()
    assert not rig.chunk()
    assert (rig.reason, rig.silence()) == (reasons.NOT_MEASURED, (0, 0))
    assert "grip" in rig.supervisor.standing.detail


def test_new_limits_apply_to_the_motion_under_way() -> None:
    rig = Rig()
    rig.chunk(target=0.5)
    rig.wait(0.1)
    limited = PARAMETERS | {"joint.grip.max": 0.1, "joint.pan.max": 0.2}
    rig.supervisor.configure(RobotConfiguration.from_parameters(limited), rig.now)
    rig.wait(0.7)
    assert max(rig.targets) == pytest.approx(0.1)
    assert len(rig.trajectories) == 2
    assert rig.trajectories[-1].positions[:, 1].max() <= 0.2
    assert rig.state is State.COMMANDING


def test_another_way_of_merging_does_not_stop_a_stream() -> None:
    rig = Rig(**{"joint.grip.max_velocity": 2.0})
    rig.chunk(target=1.5)
    rig.wait(0.3)
    before = rig.targets[-1]
    changed = RobotConfiguration.from_parameters(PARAMETERS | {"merge": "temporal_ensemble", "blend_time": 1.0})
    rig.supervisor.configure(changed, rig.now)
    rig.wait(0.02)
    assert rig.targets[-1] > before + 0.02
    assert rig.state is State.COMMANDING


# What is told is compared with what is measured, and who listens.


def test_nobody_listens_so_nobody_is_commanded_while_inference_goes_on() -> None:
    rig = Rig()
    rig.supervisor.heard("arm", 0, (), rig.now)
    for _ in range(10):
        assert not rig.chunk(target=1.0)
        rig.wait(0.1)
    assert rig.silence() == (0, 0)
    assert (rig.state, rig.reason) == (State.WAITING, reasons.NOBODY_LISTENS)
    assert "/a" in rig.supervisor.standing.detail
    assert rig.take() is not None


def test_a_listener_that_comes_late_gets_a_motion_that_starts_where_the_arm_is() -> None:
    rig = Rig()
    rig.supervisor.heard("gripper", 0, (), rig.now)
    rig.chunk(target=1.0)
    rig.wait(0.5)
    rig.supervisor.heard("gripper", 1, (), rig.now)
    rig.wait(0.02)
    assert rig.chunk(target=1.0)
    rig.wait(0.2)
    assert rig.targets[0] == 0.0
    assert max(np.diff(rig.targets)) <= 2.0 * TICK_S + 1e-9


def test_a_listener_that_goes_away_ends_the_motion_of_every_controller() -> None:
    rig = Rig()
    rig.chunk()
    rig.wait(0.1)
    rig.supervisor.heard("gripper", 0, (), rig.now)
    rig.wait(0.02)
    assert rig.is_hold(rig.trajectories[-1])
    assert (rig.state, rig.reason) == (State.WAITING, reasons.NOBODY_LISTENS)


def test_another_publisher_on_a_command_topic_is_named_and_waited_for() -> None:
    rig = Rig()
    rig.chunk()
    rig.wait(0.1)
    rig.supervisor.heard("arm", 1, ("/teleop",), rig.now)
    assert (rig.state, rig.reason) == (State.WAITING, reasons.SOMEBODY_ELSE)
    assert "/teleop" in rig.supervisor.standing.detail
    assert rig.is_hold(rig.trajectories[-1])
    rig.wait(0.1)
    assert not rig.chunk()
    rig.supervisor.heard("arm", 1, (), rig.now)
    rig.wait(0.04)
    assert rig.chunk()


def test_a_topic_may_be_shared_on_request() -> None:
    rig = Rig(share_topics=True)
    rig.supervisor.heard("arm", 1, ("/teleop",), rig.now)
    assert rig.chunk()


def test_a_frozen_arm_is_stopped_where_it_is_measured() -> None:
    rig = Rig(**{"joint.pan.max_velocity": 0.5})
    rig.obeys = False
    rig.chunk(target=1.0)
    exceeded_at = None
    while rig.state is State.COMMANDING and rig.now < rig.trajectories[0].stamp + 2.0:
        rig.wait(TICK_S)
        if exceeded_at is None and rig.supervisor.following.largest[1] > 0.3:
            exceeded_at = rig.now
        if rig.now - rig.trajectories[0].stamp > 0.6:
            rig.chunk(target=1.0)
    assert (rig.state, rig.reason) == (State.STOPPED, reasons.NOT_FOLLOWING)
    assert exceeded_at is not None
    assert rig.now - exceeded_at <= 0.1 + TICK_S
    assert np.allclose(rig.trajectories[-1].positions[-1], 0.0)
    assert rig.is_hold(rig.trajectories[-1])
    assert rig.targets[-1] == 0.0


def test_an_arm_that_only_lags_follows() -> None:
    rig = Rig(**{"joint.pan.max_velocity": 2.0})
    rig.lag = 0.2
    for _ in range(8):
        rig.chunk(target=1.5)
        rig.wait(0.1)
    assert rig.state is State.COMMANDING


def test_a_joint_that_is_not_smooth_need_not_follow_and_keeps_its_target_when_stopped() -> None:
    rig = Rig(**{"joint.grip.smooth": False})
    rig.obeys = False
    rig.chunk(target=-0.6)
    rig.wait(1.2)
    assert rig.targets[-1] < -0.4
    assert rig.targets[-3:] == pytest.approx([rig.targets[-1]] * 3, abs=1e-4)
    assert rig.supervisor.told(rig.now)["grip"] == rig.targets[-1]
    assert rig.reason == reasons.NOT_FOLLOWING
    assert "grip" not in rig.supervisor.standing.detail.split()[0]


# Blind motion is bounded.


def end_of(command: Command) -> float:
    return command.stamp + float(command.times[-1])


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


# Going on.


def test_a_chunk_from_before_the_hold_does_not_go_on() -> None:
    rig = Rig()
    rig.chunk()
    rig.wait(0.1)
    before = rig.now
    rig.supervisor.fail(rig.now, "the server went away")
    rig.wait(0.1)
    assert not rig.chunk(t_obs=before - 0.05)
    assert rig.state is State.HOLDING
    assert rig.chunk()
    assert rig.state is State.COMMANDING


def test_a_gripper_keeps_squeezing_through_hold_and_resume() -> None:
    rig = Rig(**{"joint.grip.smooth": False, "joint.grip.max_velocity": 0.1, "joint.grip.min": 0.0})
    rig.positions["grip"] = 0.02
    rig.feed()
    rig.chunk(target=0.0)
    rig.obeys = False  # there is something in the gripper
    rig.wait(1.0)
    assert rig.targets[-1] == pytest.approx(0.0, abs=1e-6)
    rig.silent = {"front"}
    rig.wait(0.5)
    assert rig.state is State.HOLDING
    rig.silent = set()
    rig.wait(0.1)
    rig.rows(np.zeros((10, 3), np.float32))
    rig.wait(0.2)
    assert max(rig.targets[-12:]) <= 0.002


@pytest.mark.parametrize("lag", [0.0, 0.1, 0.2])
def test_no_step_of_a_stream_is_larger_than_the_clamp_allows_through_holds(lag: float) -> None:
    rig = Rig(**{"joint.grip.max_velocity": 1.0})
    rig.lag = lag
    for _ in range(4):
        for _ in range(3):
            rig.chunk(target=1.0)
            rig.wait(0.1)
        rig.silent = {"front"}
        rig.wait(0.4)
        rig.silent = set()
        rig.wait(0.06)
    assert max(np.abs(np.diff(rig.targets))) <= 1.0 * TICK_S + 1e-9


def test_a_long_hold_becomes_a_pause_that_an_operator_ends() -> None:
    rig = Rig(resume_within=0.5)
    rig.chunk()
    rig.wait(0.1)
    rig.supervisor.fail(rig.now, "the server went away")
    rig.wait(0.6)
    assert (rig.state, rig.reason) == (State.PAUSED, reasons.INFERENCE_FAILED)
    assert not rig.chunk()
    assert rig.operator.resume(rig.now).accepted
    rig.wait(0.04)
    assert rig.chunk()


def test_a_clock_that_jumps_back_far_holds_where_the_arm_is() -> None:
    rig = Rig(**{"joint.grip.smooth": False})
    rig.positions |= {"pan": 0.1, "lift": 0.2, "grip": 0.3}
    rig.feed()
    rig.obeys = False
    rig.chunk(target=0.9)
    rig.wait(0.6)
    told = rig.targets[-1]
    rig.now = 5.0
    rig.pipeline.tick(rig.now)
    hold = rig.trajectories[-1]
    assert rig.is_hold(hold)
    assert hold.stamp == pytest.approx(5.0, abs=0.03)
    assert hold.positions[0] == pytest.approx([0.2, 0.1])
    assert rig.targets[-1] == told  # a gripper keeps what it was told
    assert rig.reason == reasons.CLOCK_JUMPED


def test_a_small_step_of_the_clock_back_holds_where_the_arm_was_told_to_be() -> None:
    rig = Rig()
    rig.chunk(target=0.9)
    rig.wait(0.3)
    told = rig.targets[-1]
    rig.now -= 0.005
    rig.pipeline.tick(rig.now)
    assert rig.targets[-1] == pytest.approx(told)
    rig.wait(0.1)
    assert rig.chunk()
    assert rig.targets[-1] == pytest.approx(told)


def test_a_late_tick_judges_only_after_the_messages_that_waited() -> None:
    rig = Rig()
    rig.chunk()
    rig.wait(0.1)
    rig.now += 0.25  # the process was stopped; the tick comes before the messages
    rig.pipeline.tick(rig.now)
    assert rig.state is State.COMMANDING
    rig.feed()
    rig.wait(0.02)
    assert rig.state is State.COMMANDING


def test_ticks_that_are_always_late_judge_all_the_same() -> None:
    rig = Rig()
    rig.chunk()
    for _ in range(2):
        rig.now += 0.25
        rig.pipeline.tick(rig.now)
    assert rig.state is State.HOLDING


# What nobody foresaw.


class Broken(Exception):
    pass


def test_a_commander_that_raises_leaves_no_other_one_moving(monkeypatch: pytest.MonkeyPatch) -> None:
    rig = Rig()
    gripper = rig.supervisor._motion.commanders[1]

    def broken(*_: object) -> None:
        raise Broken("boom")

    monkeypatch.setattr(gripper, "follow", broken)
    with pytest.raises(Broken):
        rig.chunk(target=3.0)
    assert rig.is_hold(rig.trajectories[-1])
    assert (rig.state, rig.reason) == (State.STOPPED, reasons.INTERNAL_FAULT)
    assert not rig.operator.clear_stop(rig.now).accepted


def test_a_continuous_joint_takes_the_nearest_turn() -> None:
    rig = Rig(**{"joint.pan.continuous": True, "joint.pan.min": -np.inf, "joint.pan.max": np.inf})
    rig.positions["pan"] = 3.10
    rig.feed()
    rows = np.tile(np.float32([-3.10, 0.0, 0.0]), (10, 1))  # type: ignore[arg-type]  # numpy makes an array of a list
    assert rig.rows(rows)
    assert rig.trajectories[0].positions[:, 1].max() == pytest.approx(2 * np.pi - 3.10, abs=1e-5)
    assert np.ptp(rig.trajectories[0].positions[:, 1]) < 0.09
    assert rig.state is State.COMMANDING


def test_joint_states_that_die_are_seen_for_a_policy_without_state_too() -> None:
    rig = Rig(spec=PolicySpec(10, 3, images=(ImageSpec("observation.images.front", 2, 2),)))
    assert rig.chunk()
    rig.wait(0.1)
    rig.silent = {"state"}
    rig.wait(0.3)
    assert (rig.state, rig.reason) == (State.HOLDING, "stale: state")


def test_the_enabling_word_is_needed_and_must_be_young() -> None:
    rig = Rig(**{"enable.topic": "/enable", "enable.timeout": 0.2})
    assert not rig.chunk()
    assert (rig.state, rig.reason) == (State.WAITING, reasons.NOT_ENABLED)
    rig.supervisor.permissions.enable(True, rig.now)
    rig.wait(0.04)
    assert rig.chunk()
    rig.wait(0.3)
    assert (rig.state, rig.reason) == (State.WAITING, reasons.NOT_ENABLED)
    assert rig.is_hold(rig.trajectories[-1])
    rig.supervisor.permissions.enable(False, rig.now)
    rig.wait(0.04)
    assert not rig.chunk()


# Operators.


def test_the_operators_requests_lead_from_state_to_state() -> None:
    rig = Rig()
    rig.chunk()
    assert rig.operator.pause(rig.now).accepted
    assert rig.state is State.PAUSED
    assert rig.is_hold(rig.trajectories[-1])
    assert not rig.chunk()
    assert rig.operator.stop(rig.now).accepted
    assert rig.state is State.STOPPED
    assert not rig.operator.resume(rig.now).accepted
    assert rig.operator.clear_stop(rig.now).accepted
    assert rig.state is State.PAUSED
    before = rig.silence()
    rig.wait(0.3)
    assert rig.silence() == before
    assert rig.operator.resume(rig.now).accepted
    rig.wait(0.04)
    assert rig.chunk()


def test_a_reset_clears_neither_pause_nor_stop() -> None:
    rig = Rig()
    rig.operator.pause(rig.now)
    rig.operator.reset(rig.now)
    assert rig.state is State.PAUSED
    rig.operator.stop(rig.now)
    rig.operator.reset(rig.now)
    assert rig.state is State.STOPPED


def test_the_way_to_the_start_pose_is_slow_and_ends_in_a_pause() -> None:
    rig = Rig(start_pose=[0.5, -0.5, 0.2], max_plan_age=0.5)
    assert rig.operator.go_to_start(rig.configuration.start_pose, rig.now).accepted
    assert rig.supervisor.who_commands == "start pose"
    assert not rig.chunk(target=2.0)
    rig.wait(0.5 / 0.5 + 0.3)
    assert (rig.state, rig.reason) == (State.PAUSED, reasons.AT_START_POSE)
    assert rig.positions == pytest.approx({"pan": 0.5, "lift": -0.5, "grip": 0.2}, abs=2e-3)
    assert max(np.abs(np.diff(rig.targets))) <= 0.25 * 2.0 * TICK_S + 1e-9
    for each in rig.trajectories:
        assert end_of(each) - each.stamp <= 0.5 + 1e-6


def test_a_fault_on_the_way_to_the_start_pose_ends_it_for_good() -> None:
    rig = Rig(start_pose=[0.5, -0.5, 0.2])
    rig.operator.go_to_start(rig.configuration.start_pose, rig.now)
    rig.wait(0.2)
    rig.silent = {"front"}
    rig.wait(0.4)
    assert rig.state is State.PAUSED
    rig.silent = set()
    rig.wait(0.1)
    assert not rig.chunk()


def test_the_start_pose_is_refused_where_nothing_may_move() -> None:
    rig = Rig(start_pose=[0.5, -0.5, 0.2])
    assert not rig.operator.go_to_start((), rig.now).accepted
    rig.operator.stop(rig.now)
    assert not rig.operator.go_to_start(rig.configuration.start_pose, rig.now).accepted
    assert rig.silence() == (0, 0)


def test_started_paused_it_waits_for_resume() -> None:
    rig = Rig(start_paused=True)
    rig.wait(0.1)
    assert not rig.chunk()
    assert rig.state is State.PAUSED
    rig.operator.resume(rig.now)
    rig.wait(0.04)
    assert rig.chunk()


def test_without_a_closed_loop_nobody_need_listen_or_follow() -> None:
    rig = Rig(closed_loop=False)
    rig.supervisor.heard("arm", 0, (), rig.now)
    rig.obeys = False
    for _ in range(20):
        assert rig.chunk(target=1.0)
        rig.wait(0.1)
    assert rig.state is State.COMMANDING
    rig.supervisor.fail(rig.now, "once")
    rig.wait(0.1)
    told = rig.supervisor.told(rig.now)["grip"]
    assert rig.chunk(target=1.0)
    assert rig.targets[-1] == pytest.approx(told)


# Found by a second reading.


@pytest.mark.parametrize("others", [(), ("/teleop",)])
def test_a_late_tick_lets_messages_pass_on_a_shared_topic_too(others: tuple[str, ...]) -> None:
    rig = Rig(share_topics=True)
    rig.supervisor.heard("arm", 1, others, rig.now)
    rig.chunk()
    rig.wait(0.1)
    rig.now += 0.25
    rig.supervisor.heard("arm", 1, others, rig.now)
    rig.pipeline.tick(rig.now)
    assert rig.state is State.COMMANDING


EVENTS = {
    "pause": lambda rig: rig.operator.pause(rig.now),
    "stop": lambda rig: rig.operator.stop(rig.now),
    "reset": lambda rig: rig.operator.reset(rig.now),
    "go to start": lambda rig: rig.operator.go_to_start(rig.configuration.start_pose, rig.now),
    "a failed inference": lambda rig: rig.supervisor.fail(rig.now, "the server went away"),
    "another publisher": lambda rig: rig.supervisor.heard("arm", 1, ("/teleop",), rig.now),
    "deactivation": lambda rig: rig.supervisor.deactivate(rig.now),
    "a chunk": lambda rig: rig.chunk(),
    "new limits": lambda rig: rig.supervisor.configure(rig.configuration, rig.now),
    "messages": lambda rig: rig.feed(),
}


@pytest.mark.parametrize("event", EVENTS)
def test_whatever_comes_first_after_the_clock_jumped_back_nothing_goes_back_with_it(event: str) -> None:
    rig = Rig(start_pose=[0.5, 0.5, 0.5])
    for _ in range(10):
        rig.chunk(target=1.0)
        rig.wait(0.1)
    rig.obeys = False
    told = rig.targets[-1]
    sent = rig.silence()
    rig.now -= 1.0  # when the stream was told something else
    EVENTS[event](rig)
    assert rig.targets[-1] == pytest.approx(told)
    assert [len(each) for each in rig.commands.values()] == [sent[0] + 1, sent[1] + 1]
    assert rig.is_hold(rig.trajectories[-1])
    assert rig.supervisor.holds[reasons.CLOCK_JUMPED] == 1


def test_messages_that_come_before_the_tick_after_a_jump_are_of_use() -> None:
    rig = Rig()
    rig.chunk()
    rig.wait(0.1)
    rig.now -= 1.0
    rig.feed()
    rig.now += 0.005
    rig.pipeline.tick(rig.now)
    assert rig.pipeline.inputs.fresh(rig.now) is None


def test_an_observation_from_before_a_reset_or_a_jump_does_not_go_on_although_it_comes_later() -> None:
    rig = Rig()
    rig.chunk()
    rig.wait(0.1)
    rig.operator.reset(rig.now)
    rig.wait(0.04)
    assert not rig.chunk(t_obs=rig.now - 0.05)
    assert not rig.chunk(), "the arm still brakes"
    rig.wait(0.3)
    assert not rig.chunk(t_obs=rig.now - 0.35)
    assert rig.chunk()
    rig.now -= 1.0
    rig.feed()
    rig.wait(0.04)
    assert not rig.chunk(t_obs=rig.now - 0.05)
    assert rig.chunk()


def test_a_clock_that_jumps_back_after_a_reset_does_not_refuse_all_that_comes() -> None:
    rig = Rig()
    rig.operator.reset(rig.now)
    rig.now -= 100.0
    rig.wait(0.1)
    assert rig.chunk()


def test_the_unforeseen_moves_no_arm_that_somebody_else_may_have_moved() -> None:
    rig = Rig()
    rig.chunk()
    rig.wait(0.1)
    rig.operator.pause(rig.now)
    before = rig.silence()
    rig.supervisor.fault(rig.now, Broken("boom"))
    assert rig.silence() == before
    assert (rig.state, rig.reason) == (State.STOPPED, reasons.INTERNAL_FAULT)


def test_an_enabling_word_of_an_earlier_activation_is_worth_nothing() -> None:
    rig = Rig(**{"enable.topic": "/enable"})
    rig.supervisor.permissions.enable(True, rig.now)
    rig.supervisor.deactivate(rig.now)
    rig.now -= 1000.0  # the simulation was restarted
    rig.supervisor.activate(rig.now)
    rig.wait(0.1)
    assert not rig.chunk()
    assert rig.reason == reasons.NOT_ENABLED


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


# What must not be taken for granted when a motion begins again.


def test_a_joint_without_a_limit_of_deviation_does_not_jump_back_to_where_it_was_told_to_be() -> None:
    rig = Rig(**{"joint.grip.max_deviation": np.inf})
    rig.chunk(target=0.1)
    rig.wait(0.3)
    rig.operator.pause(rig.now)
    rig.obeys = False
    rig.positions["grip"] = 1.0
    rig.wait(0.3)
    rig.operator.resume(rig.now)
    rig.wait(0.04)
    rig.chunk(target=1.0)
    assert rig.targets[-1] == pytest.approx(1.0)


def test_an_arm_that_was_moved_a_little_by_hand_is_not_pulled_back() -> None:
    rig = Rig()
    rig.chunk(target=0.1)
    rig.wait(1.0)
    rig.operator.pause(rig.now)
    rig.obeys = False
    rig.positions["grip"] = 0.19
    rig.wait(0.3)
    rig.operator.resume(rig.now)
    rig.wait(0.04)
    rig.chunk(target=0.19)
    assert rig.targets[-1] == pytest.approx(0.19)


def test_a_robot_that_was_away_for_long_is_not_commanded_by_itself_when_it_is_back() -> None:
    rig = Rig(resume_within=0.5)
    rig.chunk()
    rig.wait(0.1)
    rig.silent = {"state", "front"}
    rig.wait(0.3)
    assert rig.state is State.HOLDING
    rig.supervisor.heard("arm", 0, (), rig.now)
    rig.wait(1.0)
    rig.supervisor.heard("arm", 1, (), rig.now)
    rig.silent = set()
    rig.wait(0.1)
    assert not rig.chunk()
    assert rig.state is State.PAUSED


def test_a_long_hold_is_a_pause_also_while_its_cause_lasts_and_for_a_chunk_before_the_next_tick() -> None:
    rig = Rig(resume_within=0.5)
    rig.chunk()
    rig.wait(0.1)
    rig.silent = {"front"}
    rig.wait(1.0)
    assert (rig.state, rig.reason) == (State.PAUSED, "stale: front")
    other = Rig(resume_within=0.5)
    other.chunk()
    other.wait(0.1)
    other.supervisor.fail(other.now, "once")
    other.now += 1.0
    other.feed()
    assert not other.chunk()
    assert other.state is State.PAUSED


def test_a_joint_that_is_measured_no_more_is_held_for_by_its_name() -> None:
    rig = Rig(**{"state.joints": ["pan", "lift"], "action.joints": list(JOINTS)}, spec=TWO_OF_THREE)
    rig.chunk()
    rig.wait(0.1)
    rig.names = ("pan", "lift")
    rig.wait(0.3)
    assert (rig.state, rig.reason) == (State.HOLDING, reasons.NOT_MEASURED)
    assert "grip" in rig.supervisor.standing.detail
    assert "pan" not in rig.supervisor.standing.detail


def test_an_arm_that_does_not_arrive_is_not_said_to_be_at_the_start_pose() -> None:
    rig = Rig(start_pose=[0.2, 0.0, 0.0], max_plan_age=0.5)
    rig.obeys = False
    rig.operator.go_to_start(rig.configuration.start_pose, rig.now)
    states = []
    for _ in range(100):
        rig.positions["pan"] = min(0.12, rig.supervisor.told(rig.now)["pan"])
        rig.wait(TICK_S)
        states.append(rig.state)
    assert states[60] is State.COMMANDING
    assert (rig.state, rig.reason) == (State.PAUSED, reasons.NEAR_START_POSE)


def test_an_arm_that_never_moves_is_stopped_although_its_motion_starts_anew_again_and_again() -> None:
    rig = Rig(start_pose=[0.4, 0.0, 0.0])
    rig.obeys = False
    rig.operator.go_to_start(rig.configuration.start_pose, rig.now)
    rig.wait(3.0)
    assert rig.supervisor.overlap.anew["arm"] > 1
    assert (rig.state, rig.reason) == (State.STOPPED, reasons.NOT_FOLLOWING)


def test_a_plan_of_hardly_two_steps_is_commanded_to_its_end() -> None:
    rig = Rig(max_plan_age=0.15)
    assert rig.chunk(target=0.9)
    assert len(rig.trajectories) == 1
    assert end_of(rig.trajectories[0]) == pytest.approx(rig.now + 0.15)


def test_an_inference_that_fails_does_not_hide_that_nobody_listens() -> None:
    rig = Rig()
    rig.supervisor.heard("arm", 0, (), rig.now)
    rig.supervisor.fail(rig.now, "the server went away")
    assert rig.reason == reasons.NOBODY_LISTENS


def test_after_a_clock_jump_the_length_of_a_hold_counts_in_the_new_time() -> None:
    rig = Rig(resume_within=0.5)
    rig.chunk()
    rig.wait(0.1)
    rig.now = 5.0
    rig.pipeline.tick(rig.now)
    assert rig.state is State.HOLDING
    rig.silent = {"front"}
    rig.wait(0.7)
    assert rig.state is State.PAUSED


def test_another_policy_stops_the_arm_and_only_a_cleared_stop_accepts_it() -> None:
    rig = Rig()
    rig.chunk()
    rig.wait(0.1)
    rig.supervisor.found_another_policy(rig.now, rig.now, "cd", "ab is now cd")
    assert (rig.state, rig.reason) == (State.STOPPED, reasons.ANOTHER_POLICY)
    assert not rig.pipeline.take_policy_acceptance()
    assert rig.operator.clear_stop(rig.now).accepted
    assert rig.state is State.PAUSED
    assert rig.pipeline.take_policy_acceptance() == "cd"
    assert not rig.pipeline.take_policy_acceptance(), "it is accepted once"


def test_a_stop_for_something_else_accepts_no_other_policy() -> None:
    rig = Rig()
    rig.chunk()
    rig.operator.stop(rig.now)
    rig.operator.clear_stop(rig.now)
    assert not rig.pipeline.take_policy_acceptance()


def test_what_was_computed_before_a_policy_was_accepted_stops_nothing() -> None:
    rig = Rig()
    rig.chunk()
    rig.wait(0.1)
    taken = rig.now
    rig.supervisor.found_another_policy(rig.now, taken, "cd", "ab is now cd")
    rig.operator.clear_stop(rig.now)
    rig.operator.resume(rig.now)
    rig.supervisor.found_another_policy(rig.now, taken, "cd", "ab is now cd")
    assert rig.state is State.WAITING


def test_an_acceptance_does_not_outlive_a_deactivation() -> None:
    rig = Rig()
    rig.chunk()
    rig.wait(0.1)
    rig.supervisor.found_another_policy(rig.now, rig.now, "cd", "ab is now cd")
    rig.operator.clear_stop(rig.now)
    rig.supervisor.deactivate(rig.now)
    rig.supervisor.activate(rig.now)
    assert not rig.pipeline.take_policy_acceptance()


def test_a_policy_that_cannot_be_accepted_says_what_to_do() -> None:
    rig = Rig()
    rig.chunk()
    rig.wait(0.1)
    rig.supervisor.found_another_policy(rig.now, rig.now, "", "action_dim 14 and 7")
    assert rig.supervisor.standing.detail == "action_dim 14 and 7; configure the node anew"
