"""A controller in its own process, which a test can freeze: it prints for each trajectory whether it is a hold."""

import contextlib

import rclpy
from rclpy.executors import ExternalShutdownException
from trajectory_msgs.msg import JointTrajectory

from test.ros.robot_stand_in import is_hold


def main() -> None:
    """Listen to /arm/command until the process is ended."""
    rclpy.init()
    node = rclpy.create_node("arm_listener")
    node.create_subscription(JointTrajectory, "/arm/command", tell, 100)
    with contextlib.suppress(KeyboardInterrupt, ExternalShutdownException):
        rclpy.spin(node)


def tell(message: JointTrajectory) -> None:
    print("hold" if is_hold(message) else "motion", flush=True)


if __name__ == "__main__":
    main()
