import math
from array import array
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from act_inference_ros.errors import BadOutputError, ConfigurationError, ObservationError
from act_inference_ros.joints import UNITS, Joint, JointBinding

STEADY = settings(deadline=None, derandomize=True)
SCALES = st.floats(0.01, 100.0) | st.floats(-100.0, -0.01)
ARM = JointBinding([Joint("pan", scale=UNITS["deg"]), Joint("lift"), Joint("grip", scale=100.0, offset=5.0)])


@STEADY
@given(st.permutations(["pan", "lift", "grip", "wheel", "mast"]))
def test_joints_are_picked_by_name_whatever_their_order_and_company(names: list[str]) -> None:
    positions = {"pan": math.pi, "lift": -0.5, "grip": 0.25, "wheel": math.nan, "mast": 7.0}
    bound = ARM.to_policy(names, [positions[name] for name in names])
    assert bound.dtype == np.float32
    np.testing.assert_allclose(bound, [180.0, -0.5, 30.0], rtol=1e-6)


@STEADY
@given(st.lists(st.tuples(SCALES, st.floats(-100, 100), st.floats(-10, 10)), min_size=1, max_size=14))
def test_conversion_to_ros_is_the_inverse_of_conversion_to_the_policy(
    numbers: list[tuple[float, float, float]],
) -> None:
    binding = JointBinding([Joint(f"j{i}", scale=scale, offset=off) for i, (scale, off, _) in enumerate(numbers)])
    positions = np.array([position for _, _, position in numbers])
    there = binding.to_policy(binding.names, positions)  # type: ignore[arg-type]  # an array will do
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
        ARM.to_policy(["lift", "mast"], [0.0, 0.0])


def test_a_needed_joint_given_twice_is_refused_and_another_one_is_not() -> None:
    with pytest.raises(ObservationError, match=r"\['lift'\] more than once"):
        ARM.to_policy(["pan", "lift", "grip", "lift"], [0.0, 1.0, 2.0, 3.0])
    assert ARM.to_policy(["pan", "lift", "grip", "mast", "mast"], [0.0, 1.0, 0.0, 3.0, 4.0])[1] == 1.0


def test_a_joint_state_without_positions_is_refused() -> None:
    with pytest.raises(ObservationError, match="3 names but 0 positions"):
        ARM.to_policy(["pan", "lift", "grip"], array("d"))


@pytest.mark.parametrize("value", [math.nan, math.inf, 1e39])
def test_a_position_that_is_no_finite_float32_is_refused_by_name(value: float) -> None:
    with pytest.raises(ObservationError, match=r"finite.*lift"):
        ARM.to_policy(["pan", "lift", "grip"], array("d", [0.0, value, 0.0]))


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
