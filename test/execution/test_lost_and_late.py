"""What must hold although something went missing on the way: joints, stamps, permissions, ticks."""

from types import SimpleNamespace

import numpy as np
import pytest

from act_inference_ros.execution import reasons
from act_inference_ros.execution.states import State
from act_inference_ros.spec import Chunk, ImageSpec, PolicySpec
from test.execution.rig import JOINTS, TICK_S, Rig, stamp


def commanding(**changes: object) -> Rig:
    rig = Rig(**changes)
    assert rig.chunk(0.5)
    assert rig.state is State.COMMANDING
    rig.wait(0.1)
    return rig


def rows(target: float) -> Chunk:
    return np.full((10, 3), target, np.float32)


def test_no_chunk_begins_a_motion_while_a_commanded_joint_is_not_measured() -> None:
    state = {"state.joints": ["pan", "lift"], "action.joints": list(JOINTS), "resume_within": 1.0}
    spec = PolicySpec(10, 3, images=(ImageSpec("observation.images.front", 2, 2),), state_dim=2)
    rig = commanding(spec=spec, **state)
    rig.names = ("pan", "lift")
    rig.wait(0.4)
    assert (rig.state, rig.reason) == (State.HOLDING, reasons.NOT_MEASURED)
    before = rig.silence()
    for _ in range(20):
        rig.wait(0.1)
        assert not rig.rows(rows(1.0))
    assert rig.silence() == before
    assert rig.state is State.PAUSED
    assert "grip" not in rig.supervisor.measured(rig.now)


def test_the_start_pose_needs_every_commanded_joint_measured() -> None:
    state = {"state.joints": ["pan", "lift"], "action.joints": list(JOINTS)}
    spec = PolicySpec(10, 3, images=(ImageSpec("observation.images.front", 2, 2),), state_dim=2)
    rig = commanding(spec=spec, **state)
    rig.operator.pause(rig.now)
    rig.names = ("pan", "lift")
    rig.wait(0.4)
    before = rig.silence()
    answer = rig.operator.go_to_start((0.0, 0.0, 0.0), rig.now)
    assert not answer.accepted
    assert "joint not measured: grip" in answer.message
    assert rig.silence() == before


@pytest.mark.parametrize(("position", "ahead"), [(0.4, 100.0), (1e39, 0.0), (float("inf"), 0.0)])
def test_what_was_refused_does_not_say_where_the_arm_is(position: float, ahead: float) -> None:
    rig = commanding()
    before = {name: rig.positions[name] for name in JOINTS}
    sent = len(rig.trajectories)
    rig.silent = {"state"}
    for _ in range(15):
        rig.wait(TICK_S)
        rig.pipeline.state(joint_states(rig.now + ahead, position), rig.now)
    assert rig.state is State.HOLDING
    assert rig.reason in ("stale: state", reasons.NOT_MEASURED)
    assert all(np.abs(command.positions).max() < 1.0 for command in rig.trajectories[sent:])
    assert all(abs(rig.supervisor.told(rig.now)[name] - before[name]) < 0.3 for name in JOINTS)


def joint_states(time: float, position: float) -> object:
    header = SimpleNamespace(stamp=stamp(time))
    return SimpleNamespace(header=header, name=JOINTS, position=[position] * len(JOINTS))


def test_a_missing_input_after_a_lost_listener_is_a_hold_that_becomes_paused() -> None:
    rig = commanding(resume_within=5.0)
    rig.supervisor.heard("arm", 0, (), rig.now)
    rig.wait(0.1)
    assert rig.state is State.WAITING
    rig.supervisor.heard("arm", 1, (), rig.now)
    rig.silent = {"front"}
    rig.wait(4.0)
    assert (rig.state, rig.reason) == (State.HOLDING, "stale: front")
    rig.wait(2.0)
    rig.silent = set()
    rig.wait(0.1)
    assert not rig.chunk(0.5)
    assert rig.state is State.PAUSED


@pytest.mark.parametrize("elsewhere", ["before", "shared"])
def test_a_gripper_keeps_squeezing_although_somebody_spoke_to_the_arm(elsewhere: str) -> None:
    rig = Rig(**{"joint.grip.smooth": False, "share_topics": elsewhere == "shared"})
    rig.obeys = False
    rig.positions["grip"] = 0.0
    assert rig.rows(rows(0.0))
    rig.wait(0.1)
    rig.positions["grip"] = 0.2  # an object is in the way
    rig.wait(0.06)
    rig.supervisor.heard("arm", 1, ("/rqt",), rig.now)
    if elsewhere == "shared":
        rig.silent = {"front"}
    rig.wait(0.3)
    assert rig.state is not State.COMMANDING
    rig.supervisor.heard("arm", 1, (), rig.now)
    rig.silent = set()
    rig.wait(0.1)
    before = len(rig.targets)
    assert rig.rows(rows(0.0))
    rig.wait(0.1)
    assert rig.targets[before:]
    assert max(rig.targets[before:]) <= 1e-9


def test_new_limits_are_told_to_nobody_where_commanding_is_not_allowed() -> None:
    rig = commanding()
    sent = len(rig.trajectories)
    rig.silent = {"front"}
    rig.now += 0.25  # older than max_age; no tick has seen it yet
    rig.pipeline.configure(rig.configuration, rig.now)
    assert rig.state is State.HOLDING
    assert len(rig.trajectories) == sent + 1
    assert np.ptp(rig.trajectories[-1].positions, axis=0).max() == 0.0


def test_a_word_that_forbids_is_obeyed_before_the_next_tick() -> None:
    rig = Rig(**{"enable.topic": "/enable"})
    rig.supervisor.enable(True, rig.now)
    assert rig.chunk(0.5)
    rig.supervisor.enable(False, rig.now)
    assert (rig.state, rig.reason) == (State.WAITING, reasons.NOT_ENABLED)
    assert np.ptp(rig.trajectories[-1].positions, axis=0).max() == 0.0


def test_a_word_that_waited_for_its_callback_allows_for_so_much_less() -> None:
    rig = Rig(**{"enable.topic": "/enable", "enable.timeout": 0.5})
    rig.supervisor.enable(True, rig.now, waited_s=0.3)
    assert rig.chunk(0.5)
    rig.wait(0.1)
    assert rig.state is State.COMMANDING
    rig.wait(0.15)
    assert (rig.state, rig.reason) == (State.WAITING, reasons.NOT_ENABLED)


def test_what_has_no_stamp_is_as_old_as_its_arrival() -> None:
    rig = Rig(stamps="receive")
    rig.silent = {"state"}
    rig.now += 1.0
    rig.feed()
    assert rig.pipeline.state(joint_states(rig.now, 0.0), rig.now, waited_s=rig.configuration.max_age + 0.1) is None
    refusal = rig.pipeline.inputs.fresh(rig.now)
    assert refusal is not None
    assert refusal.label == "stale: state"


@pytest.mark.parametrize("command_rate", [1.0, 5.0, 30.0])
def test_a_slow_stream_keeps_its_rate_and_the_rules_are_looked_at_as_often_as_ever(command_rate: float) -> None:
    rig = Rig(command_rate=command_rate, coast_time=3.0)
    tick_s = rig.configuration.tick_period_s
    assert tick_s <= TICK_S + 1e-9
    assert rig.rows(np.linspace(0.0, 0.3, 30).reshape(10, 3).astype(np.float32))
    begin = rig.now
    while rig.now < begin + 2.0:
        rig.now += tick_s
        rig.feed()
        rig.pipeline.tick(rig.now)
    assert rig.state is State.COMMANDING
    times = [command.stamp for command in rig.commands["gripper"]]
    assert np.diff(times) == pytest.approx(1.0 / command_rate, abs=1e-6)
    assert len(times) == pytest.approx(1 + 2.0 * command_rate, abs=1)
    rig.silent = {"front"}
    while rig.state is State.COMMANDING:
        rig.now += tick_s
        rig.feed()
        rig.pipeline.tick(rig.now)
    assert rig.reason == "stale: front"
    assert rig.now - begin - 2.0 < 0.2 + 3 * TICK_S


@pytest.mark.parametrize("names", [("pan", "grip"), ("lift", "grip")])
def test_a_hold_makes_no_step_although_one_joint_is_no_longer_measured(names: tuple[str, ...]) -> None:
    rig = Rig(max_age=0.4)
    assert rig.chunk(1.0)
    rig.wait(0.3)
    rig.silent = {"front"}
    rig.wait(0.1)
    rig.names = names  # the state is refused from now on, but what it measures is known
    rig.wait(0.26)
    arm = rig.supervisor._motion.commanders[0]
    told = arm.motion
    assert told is not None
    assert rig.state is State.COMMANDING
    rig.wait(0.1)
    assert rig.state is State.HOLDING
    assert rig.supervisor.overlap.anew["arm"] == 0
    assert arm.motion is not None
    instants = rig.now - 0.5 + np.arange(0.0, 1.0, 0.01)
    velocity = arm.motion.sample(instants).velocity
    assert np.abs(np.diff(velocity, axis=0)).max() <= 0.01 * rig.configuration.action.joints[0].max_acceleration * 1.01
    assert np.abs(velocity).max() > 0.5, "the arm moved"


@pytest.mark.parametrize("names", [("pan", "grip"), ("lift", "grip")])
def test_a_motion_begins_without_a_step_although_one_joint_was_measured_while_it_braked(names: tuple[str, ...]) -> None:
    rig = Rig(max_age=0.4)
    assert rig.chunk(1.0)
    rig.wait(0.3)
    rig.supervisor.fail(rig.now, "the server went away")
    rig.wait(0.02)
    observed, braking = rig.now, rig.supervisor.measured(rig.now)
    rig.names = names
    rig.wait(0.2)
    rest = rig.supervisor.told(rig.now)
    lost = next(name for name in ("pan", "lift") if name not in names)
    assert abs(rig.supervisor.measured(rig.now)[lost] - rest[lost]) > 0.03
    assert rig.supervisor.measured(rig.now)[lost] == braking[lost]
    assert rig.chunk(1.0, t_obs=observed)
    assert abs(rig.supervisor.told(rig.now)[lost] - rest[lost]) < 0.01
