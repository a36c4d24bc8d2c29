"""The message definitions that are made from a message's class equal those that ROS distributes for its type."""

from typing import Any, ClassVar

import pytest
from diagnostic_msgs.msg import DiagnosticArray
from sensor_msgs.msg import CompressedImage, Imu, JointState, PointCloud2
from std_msgs.msg import Float64MultiArray
from trajectory_msgs.msg import JointTrajectory

from act_inference_ros.ros.messages import definitions_of

typesys = pytest.importorskip("rosbags.typesys", reason="rosbags is not installed")
STORE = typesys.get_typestore(typesys.Stores.ROS2_JAZZY)


@pytest.mark.parametrize(
    "kind", [JointState, JointTrajectory, DiagnosticArray, CompressedImage, Imu, PointCloud2, Float64MultiArray]
)
def test_definitions_are_complete_and_equal_those_that_ros_distributes(kind: Any) -> None:
    found: dict[str, Any] = {}
    for name, text in definitions_of(kind()).items():
        found |= typesys.get_types_from_msg(text, name)
    outermost = next(iter(found))
    assert outermost.rpartition("/")[2] == kind.__name__
    assert {name: fields for name, (_, fields) in found.items()} == {name: STORE.fielddefs[name][1] for name in found}
    store = typesys.get_typestore(typesys.Stores.EMPTY)
    store.register(found)
    store.generate_msgdef(outermost)  # raises where a type is missing


class Bounded:
    """A class as rosidl makes one."""

    __module__ = "cell_msgs.msg._bounded"
    FIELDS: ClassVar[dict[str, str]] = {
        "name": "string<8>",
        "flags": "sequence<octet, 4>",
        "text": "sequence<string<5>>",
        "pair": "float[2]",
        "on": "boolean",
    }

    @classmethod
    def get_fields_and_field_types(cls) -> dict[str, str]:
        return cls.FIELDS


def test_bounds_and_arrays_are_kept() -> None:
    assert definitions_of(Bounded()) == {
        "cell_msgs/msg/Bounded": "string<=8 name\nbyte[<=4] flags\nstring<=5[] text\nfloat32[2] pair\nbool on\n"
    }
