"""Who listens to the commands, who else commands, and whether the measured arm does what it was told."""

import numpy as np
import pytest

from act_inference_ros.execution import reasons
from act_inference_ros.execution.states import State
from act_inference_ros.spec import ImageSpec, PolicySpec
from test.execution.rig import JOINTS, TICK_S, Rig

TWO_OF_THREE = PolicySpec(10, 3, images=(ImageSpec("observation.images.front", 2, 2),), state_dim=2)


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


def test_joint_states_that_die_are_seen_for_a_policy_without_state_too() -> None:
    rig = Rig(spec=PolicySpec(10, 3, images=(ImageSpec("observation.images.front", 2, 2),)))
    assert rig.chunk()
    rig.wait(0.1)
    rig.silent = {"state"}
    rig.wait(0.3)
    assert (rig.state, rig.reason) == (State.HOLDING, "stale: state")


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


def test_a_joint_that_is_measured_no_more_is_held_for_by_its_name() -> None:
    rig = Rig(**{"state.joints": ["pan", "lift"], "action.joints": list(JOINTS)}, spec=TWO_OF_THREE)
    rig.chunk()
    rig.wait(0.1)
    rig.names = ("pan", "lift")
    rig.wait(0.3)
    assert (rig.state, rig.reason) == (State.HOLDING, reasons.NOT_MEASURED)
    assert "grip" in rig.supervisor.standing.detail
    assert "pan" not in rig.supervisor.standing.detail


def test_an_arm_that_never_moves_is_stopped_although_its_motion_starts_anew_again_and_again() -> None:
    rig = Rig(start_pose=[0.4, 0.0, 0.0])
    rig.obeys = False
    rig.operator.go_to_start(rig.configuration.start_pose, rig.now)
    rig.wait(3.0)
    assert rig.supervisor.overlap.anew["arm"] > 1
    assert (rig.state, rig.reason) == (State.STOPPED, reasons.NOT_FOLLOWING)


def test_an_inference_that_fails_does_not_hide_that_nobody_listens() -> None:
    rig = Rig()
    rig.supervisor.heard("arm", 0, (), rig.now)
    rig.supervisor.fail(rig.now, "the server went away")
    assert rig.reason == reasons.NOBODY_LISTENS


@pytest.mark.parametrize("shared", [True, False])
def test_a_stream_brakes_to_its_rest_although_another_node_publishes(shared: bool) -> None:
    rig = Rig(share_topics=shared)
    others = ("/teleop",)
    rows = np.repeat(0.15 * np.arange(10)[:, None], 3, axis=1).astype(np.float32)
    assert rig.rows(rows)
    for _ in range(20):
        rig.wait(TICK_S)
        rig.supervisor.heard("gripper", 1, others if shared else (), rig.now)
    before = len(rig.targets)
    if shared:
        rig.operator.pause(rig.now)
    for _ in range(20):
        rig.supervisor.heard("gripper", 1, others, rig.now)
        rig.wait(TICK_S)
    velocities = rig.velocities_since(before - 2)
    assert velocities[0] > 1.0
    assert abs(velocities[-1]) <= 20.0 * TICK_S, "it ends in the middle of its braking"
    assert np.abs(np.diff(velocities)).max() <= 20.0 * TICK_S * 1.01
    assert "grip" not in rig.supervisor.told(rig.now), "the commands of the other node are unknown"
