"""Supervisor with hand-moved time: when it commands, when it holds, what it forgets."""

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from robot_stand_in import is_hold, stamp

from act_inference_ros.execution.supervisor import Supervisor
from act_inference_ros.observation.inputs import CameraOptions, ObservationInputs
from act_inference_ros.robot.configuration import RobotConfiguration
from act_inference_ros.ros.policy.commands import publishing_commander
from act_inference_ros.spec import ImageSpec, PolicySpec

START = 1.7e9
JOINTS = ("pan", "lift", "grip")
SPEC = PolicySpec(10, 3, images=(ImageSpec("observation.images.front", 2, 2),), state_dim=3)
PARAMETERS = {
    "fps": 10.0, "merge": "latest", "coast_time": 0.3, "max_age": 0.2, "command_rate": 50.0,
    "state.topic": "/s", "state.joints": list(JOINTS), "cameras": ["front"], "camera.front.topic": "/i",
    "controllers": ["arm", "gripper"], "controller.arm.topic": "/a", "controller.arm.joints": ["lift", "pan"],
    "controller.gripper.interface": "position_stream", "controller.gripper.topic": "/g",
    "controller.gripper.joints": ["grip"],
}  # fmt: skip


@dataclass
class Publisher:
    sent: list[Any] = field(default_factory=list)

    def publish(self, msg: Any) -> None:
        self.sent.append(msg)


class Rig:
    """An active arm; time passes only in `wait`, with inputs coming every 0.02 s and a tick after each."""

    def __init__(self, measured: tuple[str, ...] = JOINTS, **changes: Any) -> None:
        configuration = RobotConfiguration.from_parameters(PARAMETERS | changes)
        cameras = {"front": CameraOptions()}
        age, skew = configuration.max_age, configuration.max_skew
        self.inputs = ObservationInputs(SPEC, configuration.state, cameras, age, skew)
        self.publishers = [Publisher() for _ in configuration.controllers]
        made = zip(configuration.controllers, self.publishers, strict=True)
        commanders = [publishing_commander(controller, configuration, publisher) for controller, publisher in made]
        self.supervisor = Supervisor(configuration, self.inputs, commanders)
        self.now = START
        self.measured = measured
        self.positions = [0.0, 0.0, 0.0]
        self.supervisor.activate()
        self.feed()

    @property
    def trajectories(self) -> list[Any]:
        return self.publishers[0].sent

    @property
    def targets(self) -> list[float]:
        return [message.data[0] for message in self.publishers[1].sent]

    def feed(self) -> None:
        header = SimpleNamespace(stamp=stamp(self.now))
        image = SimpleNamespace(header=header, encoding="rgb8", height=2, width=2, step=6, data=bytes(12))
        image.is_bigendian = 0
        assert self.inputs.add_image("front", image, self.now) is None
        state = SimpleNamespace(header=header, name=self.measured, position=self.positions)
        self.supervisor.measure(state.name, state.position, self.now)
        assert self.inputs.add_state(state, self.now) is None

    def wait(self, duration: float, fed: bool = True) -> None:
        for _ in range(round(duration / 0.02)):
            self.now += 0.02
            if fed:
                self.feed()
            self.supervisor.tick(self.now)

    def chunk(self, target: float = 0.5, t_obs: float | None = None, generation: int | None = None) -> bool:
        """Take a chunk that moves every joint from where it is to `target`."""
        rows = np.linspace(self.positions, target, 10).astype(np.float32)
        t_obs = self.now if t_obs is None else t_obs
        generation = self.supervisor.generation if generation is None else generation
        return self.supervisor.accept(rows, t_obs, self.now, generation)

    def silence(self) -> tuple[int, int]:
        """How much was sent so far: equal later if nothing more was."""
        return len(self.trajectories), len(self.targets)


def test_commands_flow_from_the_first_chunk_on_and_not_before() -> None:
    rig = Rig()
    rig.wait(0.1)
    assert rig.silence() == (0, 0)
    assert rig.chunk()
    rig.wait(0.1)
    assert rig.silence() == (1, 6)
    assert rig.supervisor.holding is None


def test_a_stream_starts_where_the_arm_was_measured() -> None:
    rig = Rig()
    rig.positions = [0.0, 0.0, 0.7]
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
    assert rig.supervisor.holding is None
    assert rig.targets[-10:] == pytest.approx([0.5] * 10)
    rig.wait(0.06)
    assert rig.supervisor.holding == "plan ran out"
    before = rig.silence()
    rig.wait(0.5)
    assert rig.silence() == before
    assert len(rig.trajectories) == 1  # the trajectory came to rest by itself


def test_a_hold_is_sent_once_and_counted_once_however_long_it_lasts() -> None:
    rig = Rig()
    rig.chunk()
    rig.wait(0.1)
    rig.wait(0.5, fed=False)
    assert [is_hold(message) for message in rig.trajectories] == [False, True]
    assert rig.targets[-1] == rig.targets[-2] != rig.targets[-3]
    assert rig.supervisor.holds == {"stale: state": 1}


def test_a_chunk_of_stale_inputs_is_not_commanded() -> None:
    rig = Rig()
    rig.now += 0.3
    assert not rig.chunk()
    assert rig.silence() == (0, 0)
    assert rig.supervisor.holding == "stale: state"


def test_a_chunk_that_is_over_when_it_comes_is_not_commanded() -> None:
    rig = Rig()
    assert not rig.chunk(t_obs=rig.now - 1.0)
    assert rig.silence() == (0, 0)
    assert rig.supervisor.holding == "chunk too late"


def test_a_chunk_in_flight_during_a_reset_is_dropped() -> None:
    rig = Rig()
    generation = rig.supervisor.generation
    rig.supervisor.forget("reset")
    rig.feed()
    assert not rig.chunk(generation=generation)
    assert rig.silence() == (0, 0)
    assert rig.chunk()


def test_after_a_reset_old_inputs_and_measured_positions_are_worth_nothing() -> None:
    rig = Rig()
    rig.supervisor.forget("reset")
    assert rig.inputs.fresh(rig.now) is not None
    assert rig.supervisor.measured(rig.now) == {}


def test_a_stopped_arm_takes_no_chunk_even_of_its_own_generation() -> None:
    rig = Rig()
    rig.chunk()
    rig.supervisor.stop(rig.now, "inactive")
    before = rig.silence()
    rig.feed()
    assert not rig.chunk()
    rig.wait(0.3)
    assert rig.silence() == before
    assert rig.supervisor.holding == "inactive"


def test_after_a_pause_the_motion_starts_from_where_the_arm_is_then() -> None:
    rig = Rig()
    rig.chunk(target=0.5)
    rig.wait(0.4)
    rig.wait(0.4, fed=False)
    rig.positions = [-0.3, -0.3, -0.3]
    rig.feed()
    rig.chunk(target=-0.3)
    assert rig.targets[-1] == pytest.approx(-0.3)
    assert np.allclose([point.positions for point in rig.trajectories[-1].points], -0.3)


def test_a_joint_that_is_not_measured_stops_everything_and_is_named() -> None:
    seen = ("pan", "lift", "wheel")
    rig = Rig(measured=seen, **{"state.joints": list(seen), "action.joints": list(JOINTS)})
    assert not rig.chunk()
    assert (rig.supervisor.holding, rig.silence()) == ("joint not measured", (0, 0))
    assert "grip" in rig.supervisor.detail


def test_a_clock_that_jumps_back_holds_in_the_new_time_where_the_arm_was_measured() -> None:
    rig = Rig()
    rig.positions = [0.1, 0.2, 0.3]
    rig.feed()
    rig.chunk(target=0.9)
    rig.wait(0.2)
    rig.now = 5.0
    rig.supervisor.tick(rig.now)
    hold = rig.trajectories[-1]
    assert is_hold(hold)
    assert hold.header.stamp.sec == 5
    assert list(hold.points[0].positions) == [0.2, 0.1]
    assert rig.targets[-1] == 0.3
    before = rig.silence()
    rig.wait(0.1)
    assert rig.silence() == before
    assert rig.chunk()


def test_new_limits_apply_to_the_motion_under_way() -> None:
    rig = Rig()
    rig.chunk(target=0.5)
    rig.wait(0.1)
    limited = PARAMETERS | {"joint.grip.max": 0.1}
    rig.supervisor.configure(RobotConfiguration.from_parameters(limited))
    rig.wait(0.7)
    assert max(rig.targets) == pytest.approx(0.1)
    assert rig.supervisor.clamped > 0
    assert rig.supervisor.holding is None


def test_another_way_of_merging_forgets_the_plan() -> None:
    rig = Rig()
    rig.chunk()
    rig.supervisor.configure(RobotConfiguration.from_parameters(PARAMETERS | {"merge": "temporal_ensemble"}))
    assert rig.supervisor.horizon(rig.now) == 0.0
