"""The parts of a robot that a policy uses: the cameras that it reads and the controllers that it commands."""

from __future__ import annotations

from dataclasses import dataclass

from act_inference_ros.interfaces import OVERLAP_AUTO, CommandInterface

DEFAULT_DEADBAND = 0.001
"""ROS units: a millimetre, or a milliradian."""


@dataclass(frozen=True)
class Camera:
    """A camera the policy reads, and where its images come from."""

    name: str
    topic: str
    transport: str


@dataclass(frozen=True)
class Controller:
    """A controller that executes some of the action's joints.

    `lead_s` and `overlap` (see `interfaces.OVERLAPS`) apply where its interface does not stream.
    `deadband`, ROS units, and `max_effort`, N or Nm (None: the driver's default), apply to goals of an action (see
    `control.gripper_commander`).
    """

    name: str
    interface: CommandInterface
    topic: str
    joints: tuple[str, ...]
    lead_s: float
    overlap: str = OVERLAP_AUTO
    deadband: float = DEFAULT_DEADBAND
    max_effort: float | None = None
