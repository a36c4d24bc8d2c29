"""The plan that the evaluation takes for executed is what a controller makes of the messages that the node sends."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pytest

from act_inference_ros.evaluation.bags.policy_replay import PolicyReplay
from act_inference_ros.evaluation.comparison.executed_plan import Executed, Setpoints
from act_inference_ros.evaluation.comparison.truth_comparison import TruthComparison
from act_inference_ros.evaluation.episodes.messages import make_plain_message
from act_inference_ros.evaluation.metrics.smoothness import smoothness
from act_inference_ros.evaluation.metrics.tally import Tally
from act_inference_ros.evaluation.statistics import SETPOINT_PERIOD_S
from act_inference_ros.interfaces import MERGES
from act_inference_ros.robot.configuration import RobotConfiguration
from act_inference_ros.simulation.command_inputs import command_input
from test.evaluation import bags
from test.evaluation.bags import CHUNK_SIZE, FPS, JOINTS, START_S

Array = npt.NDArray[np.float64]
RANDOM = np.random.default_rng(0)


@dataclass
class Listener:
    """Takes the place of the comparison with the operator, and only remembers the plans."""

    setpoints: dict[str, list[Setpoints]] = field(default_factory=lambda: {merge: [] for merge in MERGES})
    executed: dict[str, list[Executed]] = field(default_factory=lambda: {merge: [] for merge in MERGES})

    def add_chunk(self, *_: Any) -> None:
        pass

    def add_latency(self, *_: Any) -> None:
        pass

    def add_executed(self, merge: str, executed: Iterable[Executed], setpoints: Iterable[Setpoints]) -> None:
        self.executed[merge].extend(executed)
        self.setpoints[merge].extend(setpoints)


def one_controller(interface: str, **changes: Any) -> RobotConfiguration:
    return bags.configuration(
        **{
            "controllers": ["arm"], "controller.arm.joints": list(JOINTS), "controller.arm.lead": 0.02,
            "controller.arm.interface": interface,
            **{f"controller.gripper.{key}": None for key in ("topic", "joints", "interface")},
            "joint.pan.max_velocity": 1.5, "joint.lift.max": 0.4, **changes,
        }
    )  # fmt: skip


def played(configuration: RobotConfiguration, sent: list[tuple[float, Any]], start: Array, times: Array) -> Array:
    """The setpoints (n, joints) at `times` (n,) of a controller that gets each message at its time."""
    controller = configuration.controllers[0]
    listens = command_input(controller.interface.name, controller.joints)
    listens.controller.hold(start)
    waiting, rows = list(sent), []
    for time in times.tolist():
        while waiting and waiting[0][0] <= time:
            at, command = waiting.pop(0)
            message = controller.interface.write(make_plain_message, controller.joints, command)
            # Far from where it is told to be: a message that goes on from what was told does not look at the arm.
            assert listens.take(message, at, listens.controller.sample(at) - 0.05, np.zeros(len(start))) is None
        rows.append(listens.controller.sample(time))
    return np.stack(rows)


def replayed(
    configuration: RobotConfiguration, policy: bags.Motion, images_until_s: float = 3.0
) -> tuple[Listener, list[tuple[float, Any]]]:
    """Three seconds of a recording: what is taken for executed, and the commands with their times."""
    listener = Listener()
    sent: list[tuple[float, Any]] = []
    with bags.client(policy) as client:
        replay = PolicyReplay(
            configuration, client, Tally(JOINTS, CHUNK_SIZE, FPS), cast(TruthComparison, listener), 0.03, 1, START_S
        )
        replay.commands = []
        for time, topic, _, message in sorted(bags.events(3.0, commands=None), key=lambda event: event[0]):
            replay.advance_to(time)
            if topic == "/joint_states":
                replay.add_state(message, time)
            elif time < START_S + images_until_s:
                replay.add_image("top", message, time)
            sent += [(time, command) for _, command in replay.commands[len(sent) :]]
        replay.finish(START_S + 3.0)
    return listener, sent


def restless(_: npt.ArrayLike) -> Array:
    return RANDOM.normal(0.0, 0.3, (CHUNK_SIZE, 3))


@pytest.mark.parametrize("merge", MERGES)
def test_a_trajectory_controller_plays_what_is_taken_for_executed(merge: str) -> None:
    listener, sent = replayed(configuration := one_controller("joint_trajectory", merge=merge), restless)
    blocks = listener.setpoints[merge]
    times = np.concatenate([block.times for block in blocks])
    told = np.concatenate([block.positions for block in blocks])
    assert len(sent) > 10
    assert len(told) > 2.5 / SETPOINT_PERIOD_S
    setpoints = played(configuration, sent, told[0], times)
    begun = times > times[0] + configuration.controllers[0].lead_s + 1.0 / FPS
    np.testing.assert_allclose(setpoints[begun], told[begun], atol=1e-6)
    grid = np.concatenate([block.times for block in listener.executed[merge]])
    executed = np.concatenate([block.told for block in listener.executed[merge]])
    later = grid > times[0] + 0.2
    expected = [np.interp(grid[later], times, column) for column in told.T]
    np.testing.assert_allclose(executed[later], np.stack(expected, axis=1), atol=1e-4)


def test_a_seam_is_where_the_message_of_a_chunk_takes_over_and_only_for_its_controller() -> None:
    configuration = bags.configuration(**{"controller.arm.interface": "joint_trajectory", "controller.arm.lead": 0.05})
    listener, _ = replayed(configuration, bags.motion)
    blocks = listener.setpoints["blend"]
    times = np.concatenate([block.times for block in blocks])
    joined = np.concatenate([block.joined for block in blocks])
    first = START_S + 0.03  # the latency
    chunks = first + 0.2 * np.arange(1, 15)
    for column, lead_s in enumerate((0.05, 0.05, 0.0)):  # pan, lift, and the gripper, which is streamed to
        seams = times[joined[:, column]]
        assert len(seams) == 14
        assert ((seams > chunks + lead_s - 1e-6) & (seams < chunks + lead_s + SETPOINT_PERIOD_S + 1e-6)).all()


@pytest.mark.parametrize("interface", ["joint_trajectory", "joint_state"])
def test_a_hold_is_looked_at_until_the_joints_are_at_rest(interface: str) -> None:
    """From the last image on the plan gets too old; the arm brakes within its acceleration."""
    configuration = one_controller(interface, **{f"joint.{name}.max_acceleration": 10.0 for name in JOINTS})
    listener, _ = replayed(configuration, bags.motion, images_until_s=1.5)
    blocks = listener.setpoints["blend"]
    told = np.concatenate([block.positions for block in blocks])
    assert sum(block.starts for block in blocks) == 1
    assert blocks[-1].times[-1] > listener.executed["blend"][-1].times[-1]
    np.testing.assert_allclose(np.diff(told[-2:], axis=0), 0.0, atol=1e-12)
    assert np.abs(np.diff(told, axis=0))[-50:].max() > 1e-4
    assert smoothness(told, SETPOINT_PERIOD_S).peak_acceleration.max() < 10.0 * 1.01
