"""A serialized look-alike of control_msgs/msg/JointTrajectoryControllerState, which rosbags does not know."""

from typing import Any

import numpy as np
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

TYPE = "control_msgs/msg/JointTrajectoryControllerState"
POINT = "trajectory_msgs/msg/JointTrajectoryPoint"
DEFINITIONS = {
    TYPE: "std_msgs/Header header\nstring[] joint_names\n"
    "trajectory_msgs/JointTrajectoryPoint reference\ntrajectory_msgs/JointTrajectoryPoint feedback\n"
    "float64 speed_scaling_factor\n",
    POINT: "float64[] positions\nfloat64[] velocities\nfloat64[] accelerations\nfloat64[] effort\n"
    "builtin_interfaces/Duration time_from_start\n",
    "std_msgs/msg/Header": "builtin_interfaces/Time stamp\nstring frame_id\n",
    "builtin_interfaces/msg/Time": "int32 sec\nuint32 nanosec\n",
    "builtin_interfaces/msg/Duration": "int32 sec\nuint32 nanosec\n",
}
STORE = get_typestore(Stores.ROS2_JAZZY)
STORE.register(get_types_from_msg(DEFINITIONS[TYPE], TYPE))


def controller_state(reference: dict[str, float], feedback: dict[str, float]) -> bytes:
    """A serialized message."""
    types = STORE.types
    stamp = types["builtin_interfaces/msg/Time"](sec=999, nanosec=0)
    duration = types["builtin_interfaces/msg/Duration"](sec=0, nanosec=0)

    def point(positions: dict[str, float]) -> Any:
        empty = np.empty(0)
        values = np.array([positions[name] for name in reference])
        return types[POINT](
            positions=values, velocities=empty, accelerations=empty, effort=empty, time_from_start=duration
        )

    message = types[TYPE](
        header=types["std_msgs/msg/Header"](stamp=stamp, frame_id=""),
        joint_names=list(reference),
        reference=point(reference),
        feedback=point(feedback),
        speed_scaling_factor=1.0,
    )
    return bytes(STORE.serialize_cdr(message, TYPE))
