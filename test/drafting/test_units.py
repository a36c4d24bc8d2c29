"""A unit is told by numbers only where they leave no doubt."""

import math

import pytest

from act_inference_ros.drafting.units import Interval, JointUnit, looks_alike, unit_of
from act_inference_ros.robot.robot_description import DescribedJoint

DEG = 180.0 / math.pi
SLIDES = DescribedJoint("grip", "prismatic")
TURNS = DescribedJoint("pan", "revolute")


def unit(data: Interval | None, robot: Interval | None, gripper: bool = False, about: object = None) -> JointUnit:
    assert about is None or isinstance(about, DescribedJoint)
    return unit_of(data, robot, gripper, about, "the bag")


@pytest.mark.parametrize(
    ("data", "robot", "expected"),
    [
        ((-0.7, 0.6), (-0.7, 0.6), "rad"),
        ((-0.7, 0.6), (-0.66, 0.6), "rad"),
        ((-40.0, 35.0), (-0.7, 0.6), "deg"),
        # Still, but not at 0: only an equal number means the same unit.
        ((0.312, 0.3138), (0.312, 0.3138), "rad"),
        ((17.9, 18.0), (0.3135, 0.3138), "deg"),
    ],
)
def test_the_unit_in_which_the_robots_motion_fits_the_data_sets_is_the_policys(
    data: Interval, robot: Interval, expected: str
) -> None:
    found = unit(data, robot)
    assert found.word == expected
    assert found.scale == pytest.approx({"rad": 1.0, "deg": DEG}[expected])


@pytest.mark.parametrize(
    ("data", "robot"),
    [
        ((-0.7, 0.6), (0.0, 0.01)),  # it hardly moved: 0.57 degrees would fit, too
        ((-0.001, -0.001), (-0.001, -0.001)),
        ((0.0, 0.0), (0.0, 0.0)),
        ((-80.0, 90.0), (-1.2, 1.3)),  # percentages of a joint's range, which are not far from degrees
        ((-0.9, 0.8), (-0.5, 0.4)),  # another motion, or parts of a joint's range
        ((-0.7, 0.6), None),
        (None, (-0.7, 0.6)),
    ],
)
def test_a_unit_that_the_numbers_do_not_show_stays_open_with_candidates(
    data: Interval | None, robot: Interval | None
) -> None:
    found = unit(data, robot)
    assert found.word == "???"
    assert {found.likely, *found.others} == {"rad", "deg"}


def test_numbers_larger_than_a_turn_are_likelier_degrees() -> None:
    assert unit((-90.0, 20.0), None).likely == "deg"
    assert unit((-0.9, 2.0), None).likely == "rad"


def test_a_gripper_that_counts_as_ros_does_needs_no_unit() -> None:
    assert unit((0.0, 0.08), (0.0, 0.078), gripper=True).word == ""


@pytest.mark.parametrize("data", [(0.0, 100.0), (0.0, 1.0)])
@pytest.mark.parametrize("robot", [(0.0, 0.041), (0.0, 0.8)])
def test_a_gripper_that_counts_parts_of_its_stroke_stays_open(data: Interval, robot: Interval) -> None:
    assert unit(data, robot, gripper=True).word == "???"


def test_a_description_says_whether_it_turns_or_slides() -> None:
    assert unit((0.0, 80.0), (0.0, 0.08), gripper=True, about=SLIDES).word == "mm"
    assert unit((0.0, 80.0), None, about=SLIDES).others == ("m", "mm")
    assert unit((-0.7, 0.6), (-0.7, 0.6), about=TURNS).word == "rad"


def test_joints_that_went_to_the_same_places_are_similar() -> None:
    assert looks_alike((-0.7, 0.6), (-0.68, 0.6), gripper=False)
    assert looks_alike((-40.0, 35.0), (-0.7, 0.6), gripper=False)
    assert looks_alike((0.0, 80.0), (0.0, 0.08), gripper=True)
    assert not looks_alike((-0.7, 0.6), (0.0, 1.3), gripper=False)
