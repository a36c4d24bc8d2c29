"""What a controller publishes of itself: read where it can be read, ignored and counted where not."""

import math
from types import SimpleNamespace
from typing import Any

import pytest

from act_inference_ros.execution.controller_parameters import fills_speed
from act_inference_ros.execution.controller_state import ControllerStateReader
from act_inference_ros.simulation.trajectory_controller import DISTROS, TrajectoryController


def message(time: float = 5.0, **changes: Any) -> Any:
    """A look-alike of control_msgs/msg/JointTrajectoryControllerState."""
    header = SimpleNamespace(stamp=SimpleNamespace(sec=int(time), nanosec=round(time % 1.0 * 1e9)))
    fields = {
        "header": header,
        "joint_names": ["pan", "lift"],
        "reference": SimpleNamespace(positions=[0.1, 0.2]),
        "speed_scaling_factor": 1.0,
    }
    return SimpleNamespace(**(fields | changes))


@pytest.fixture
def reader() -> ControllerStateReader:
    return ControllerStateReader(("lift", "pan"))


def test_positions_are_read_by_name(reader: ControllerStateReader) -> None:
    state = reader.read(message(joint_names=["pan", "rail", "lift"], reference=SimpleNamespace(positions=[1, 2, 3])))
    assert state is not None
    assert (state.positions, state.time, state.speed) == ({"lift": 3.0, "pan": 1.0}, 5.0, 1.0)


def test_before_there_was_a_reference_it_was_called_desired(reader: ControllerStateReader) -> None:
    old = message(desired=SimpleNamespace(positions=[0.1, 0.2]))
    del old.reference, old.speed_scaling_factor
    state = reader.read(old)
    assert state is not None
    assert (state.positions, state.speed) == ({"lift": 0.2, "pan": 0.1}, 1.0)


@pytest.mark.parametrize(
    "wrong",
    [
        message(time=0.0),
        message(joint_names=["pan", "elbow"]),
        message(joint_names=["pan"]),
        message(reference=SimpleNamespace(positions=[])),
        message(reference=SimpleNamespace(positions=[0.1, math.nan])),
        message(reference=SimpleNamespace(positions=[0.1, "x"])),
        message(reference=SimpleNamespace()),
        message(speed_scaling_factor=math.nan),
        message(speed_scaling_factor=-0.5),
        message(speed_scaling_factor=None),
        message(joint_names=None),
        message(header=None),
        SimpleNamespace(),
        None,
    ],
)
def test_what_cannot_be_read_is_ignored_and_counted(reader: ControllerStateReader, wrong: Any) -> None:
    assert reader.read(wrong) is None
    assert reader.ignored == 1
    assert reader.last_ignored
    assert reader.read(message()) is not None


def test_a_zero_is_a_standstill_only_of_a_controller_that_fills_it_in(reader: ControllerStateReader) -> None:
    unknown = reader.read(message(1.0, speed_scaling_factor=0.0))
    half = reader.read(message(2.0, speed_scaling_factor=0.5))
    still = reader.read(message(3.0, speed_scaling_factor=0.0))
    assert [state and state.speed for state in (unknown, half, still)] == [1.0, 0.5, 0.0]
    declared = ControllerStateReader(("pan",))
    declared.fills_speed = True
    state = declared.read(message(speed_scaling_factor=0.0))
    assert state is not None
    assert state.speed == 0.0


@pytest.mark.parametrize("name", DISTROS)
def test_a_controller_fills_it_in_from_the_version_on_that_has_speed_scaling(name: str) -> None:
    assert fills_speed(TrajectoryController(("pan",), distro=DISTROS[name]).parameters()) is (name != "humble")


def test_a_scaled_controller_of_an_arm_need_not_fill_it_in() -> None:
    assert not fills_speed({"speed_scaling_interface_name": "speed_scaling/speed_scaling_factor"})


def test_of_states_in_quick_succession_one_is_read_and_none_is_counted(reader: ControllerStateReader) -> None:
    read = [reader.read(message(10.0 + 0.002 * cycle)) for cycle in range(100)]
    assert 16 <= sum(state is not None for state in read) <= 20
    assert reader.ignored == 0
    assert reader.read(message(3.0)) is not None  # a clock that was set back
