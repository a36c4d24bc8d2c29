import math
import re
from array import array
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from act_inference_ros.errors import BadOutputError, ConfigurationError, ObservationError
from act_inference_ros.joints import PARTS_KEPT, UNITS, Joint, JointBinding, StateBinding, StateEntry, joint_and_field

STEADY = settings(deadline=None, derandomize=True)
SCALES = st.floats(0.01, 100.0) | st.floats(-100.0, -0.01)
ARM = JointBinding([Joint("pan", scale=UNITS["deg"]), Joint("lift"), Joint("grip", scale=100.0, offset=5.0)])
STATE = StateBinding.of_positions(ARM.joints)


def message(names: Sequence[str], positions: Any, velocities: Any = (), efforts: Any = ()) -> Any:
    """Shaped like a sensor_msgs/JointState."""
    return SimpleNamespace(name=list(names), position=positions, velocity=velocities, effort=efforts)


@STEADY
@given(st.permutations(["pan", "lift", "grip", "wheel", "mast"]))
def test_joints_are_picked_by_name_whatever_their_order_and_company(names: list[str]) -> None:
    positions = {"pan": math.pi, "lift": -0.5, "grip": 0.25, "wheel": math.nan, "mast": 7.0}
    bound = STATE.to_policy(message(names, [positions[name] for name in names]))
    assert bound.dtype == np.float32
    np.testing.assert_allclose(bound, [180.0, -0.5, 30.0], rtol=1e-6)


@STEADY
@given(st.lists(st.tuples(SCALES, st.floats(-100, 100), st.floats(-10, 10)), min_size=1, max_size=14))
def test_conversion_to_ros_is_the_inverse_of_conversion_to_the_policy(
    numbers: list[tuple[float, float, float]],
) -> None:
    binding = JointBinding([Joint(f"j{i}", scale=scale, offset=off) for i, (scale, off, _) in enumerate(numbers)])
    positions = np.array([position for _, _, position in numbers])
    there = StateBinding.of_positions(binding.joints).to_policy(message(binding.names, positions))
    np.testing.assert_array_equal(binding.to_actions(positions), there)
    rounding = np.spacing(np.abs(there)) / np.abs([scale for scale, _, _ in numbers])
    assert (np.abs(binding.to_ros(there) - positions) <= rounding + 1e-9).all()


def test_whole_chunks_are_converted_in_float64() -> None:
    chunk = np.full((5, 3), 90.0, dtype=np.float32)
    ros = ARM.to_ros(chunk)
    assert ros.dtype == np.float64
    np.testing.assert_allclose(ros, np.tile([math.pi / 2, 90.0, 0.85], (5, 1)), rtol=1e-12)
    with pytest.raises(BadOutputError, match=r"expected \(\.\.\., 3\)"):
        ARM.to_ros(chunk[:, :2])


def test_missing_joints_are_named_along_with_what_came() -> None:
    with pytest.raises(ObservationError, match=r"missing \['pan', 'grip'\]; the message has \['lift', 'mast'\]"):
        STATE.to_policy(message(["lift", "mast"], [0.0, 0.0]))


def test_a_needed_joint_given_twice_is_refused_and_another_one_is_not() -> None:
    with pytest.raises(ObservationError, match=r"\['lift'\] more than once"):
        STATE.to_policy(message(["pan", "lift", "grip", "lift"], [0.0, 1.0, 2.0, 3.0]))
    others = message(["pan", "lift", "grip", "mast", "mast"], [0.0, 1.0, 0.0, 3.0, 4.0])
    assert STATE.to_policy(others)[1] == 1.0


def test_a_joint_state_without_positions_is_refused() -> None:
    with pytest.raises(ObservationError, match="3 names but 0 positions"):
        STATE.to_policy(message(["pan", "lift", "grip"], array("d")))


@pytest.mark.parametrize("value", [math.nan, math.inf, 1e39])
def test_a_position_that_is_no_finite_float32_is_refused_by_name(value: float) -> None:
    with pytest.raises(ObservationError, match=r"finite.*lift"):
        STATE.to_policy(message(["pan", "lift", "grip"], array("d", [0.0, value, 0.0])))


@pytest.mark.parametrize(
    "wrong",
    [
        {"scale": 0.0},
        {"scale": math.nan},
        {"offset": math.inf},
        {"minimum": 1.0, "maximum": 1.0},
        {"minimum": math.nan},
        {"max_velocity": 0.0},
        {"max_velocity": math.inf},
        {"max_acceleration": 0.0},
        {"max_acceleration": -1.0},
        {"max_acceleration": math.nan},
        {"max_acceleration": math.inf},
    ],
)
def test_a_joint_that_makes_no_sense_is_refused_by_name(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="joint elbow: "):
        Joint("elbow", **wrong)


def test_joint_names_are_unique() -> None:
    with pytest.raises(ConfigurationError, match=r"\['a'\] come more than once"):
        JointBinding([Joint("a"), Joint("b"), Joint("a")])


def test_a_controllers_joints_are_found_in_its_own_order() -> None:
    assert ARM.indices(["grip", "pan"]) == [2, 0]
    with pytest.raises(ConfigurationError, match=r"\['nose'\] are unknown; the known joints are"):
        ARM.indices(["pan", "nose"])


WHOLE = StateBinding(
    [StateEntry(joint, field) for joint, field in ((ARM.joints[0], "position"), (ARM.joints[0], "velocity"),
     (ARM.joints[2], "effort"), (ARM.joints[2], "velocity"))]
)  # fmt: skip


def test_velocities_have_the_scale_but_not_the_offset_and_efforts_are_as_they_are() -> None:
    assert WHOLE.names == ("pan", "pan/velocity", "grip/effort", "grip/velocity")
    names = ["grip", "lift", "pan"]
    read = WHOLE.to_policy(message(names, [0.1, 0.2, math.pi], [0.5, math.nan, -math.pi / 2], [7.0, math.nan, 9.0]))
    np.testing.assert_allclose(read, [180.0, -90.0, 7.0, 50.0], rtol=1e-6)


@pytest.mark.parametrize(
    ("velocities", "efforts", "said"),
    [
        ([], [0.0, 0.0], "2 names but 0 velocities, so nothing is known of pan/velocity, grip/velocity"),
        ([0.0, 0.0], [], "2 names but 0 efforts, so nothing is known of grip/effort"),
        ([math.nan, 0.0], [0.0, 0.0], "expected finite numbers, got {'pan/velocity': nan}"),
        ([0.0, 0.0], [0.0, math.inf], "expected finite numbers, got {'grip/effort': inf}"),
    ],
)
def test_a_velocity_or_an_effort_that_is_not_there_is_refused_by_joint_and_field(
    velocities: list[float], efforts: list[float], said: str
) -> None:
    with pytest.raises(ObservationError, match=re.escape(said)):
        WHOLE.to_policy(message(["pan", "grip"], [0.0, 0.0], velocities, efforts))


def test_positions_are_not_needed_where_only_others_are_read() -> None:
    speed = StateBinding([StateEntry(ARM.joints[0], "velocity")])
    np.testing.assert_allclose(speed.to_policy(message(["pan"], [], [math.pi])), [180.0], rtol=1e-6)


@pytest.mark.parametrize(
    ("entry", "split"),
    [
        ("lift", ("lift", "position")),
        ("lift/velocity", ("lift", "velocity")),
        ("robot1/lift/effort", ("robot1/lift", "effort")),
        ("robot1/lift", ("robot1/lift", "position")),
        ("velocity", ("velocity", "position")),
        ("/velocity", ("/velocity", "position")),
    ],
)
def test_an_entry_is_a_joint_and_a_field(entry: str, split: tuple[str, str]) -> None:
    assert joint_and_field(entry) == split


def test_entries_of_a_state_are_unique() -> None:
    with pytest.raises(ConfigurationError, match=r"expected entries, each once; got \['pan', 'pan'\]"):
        StateBinding.of_positions([ARM.joints[0], ARM.joints[0]])


def test_the_bindings_of_parts_are_kept_but_not_without_end() -> None:
    whole = StateBinding.of_positions([Joint(f"j{i}") for i in range(8)])
    assert whole.part((1, 3)) is whole.part((1, 3))
    assert whole.part((1, 3)).names == ("j1", "j3")
    for bits in range(1, 256):
        whole.part(tuple(i for i in range(8) if bits >> i & 1))
    assert len(whole._parts) <= PARTS_KEPT
