"""Chooses the commander for a controller's interface."""

from __future__ import annotations

from act_inference_ros.control.commander import Commander, Send
from act_inference_ros.control.gripper_commander import GripperCommander
from act_inference_ros.control.stream_commander import StreamCommander
from act_inference_ros.control.trajectory_commander import TrajectoryCommander
from act_inference_ros.robot.configuration import RobotConfiguration
from act_inference_ros.robot.devices import Controller


def make_commander(controller: Controller, configuration: RobotConfiguration, send: Send) -> Commander:
    """Return the commander for the controller's interface; its commands go to `send`."""
    given = (controller.joints, configuration.action, controller.lead_s, configuration.command_rate, send)
    if controller.interface.action is not None:
        return GripperCommander(*given, controller.deadband, controller.max_effort)
    return (StreamCommander if controller.interface.streams else TrajectoryCommander)(*given)
