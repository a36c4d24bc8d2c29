"""The simulated robot's parameters: one table that is declared, checked and shown by --help."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rclpy.node import Node

from act_inference_ros.robot.given_parameters import complete
from act_inference_ros.robot.parameters import Parameter
from act_inference_ros.ros import declared_parameters as parameters
from act_inference_ros.simulation.command_inputs import DEMO_INTERFACES
from act_inference_ros.simulation.trajectory_controller import DISTROS, JAZZY


@dataclass(frozen=True)
class SimSettings:
    """The values of all parameters at start."""

    interface: str
    interpolate_from_desired_state: bool
    distro: str
    seed: int
    episodes: int
    episode_time_s: float
    first_command_timeout_s: float
    policy_node: str
    clear_stops: bool
    block_after_s: float
    block_for_s: float
    cover_camera: bool
    publish_clock: bool
    real_time_factor: float
    camera_rate: float
    joint_state_rate: float
    control_rate: float
    image_width: int
    image_height: int


PARAMETERS = (
    Parameter("interface", "joint_trajectory", "how the arm is commanded", choices=DEMO_INTERFACES),
    Parameter(
        "interpolate_from_desired_state",
        False,
        "a new trajectory starts at the last target, not at the measured state (as the trajectory controller's option)",
    ),
    Parameter("distro", JAZZY.name, "whose joint_trajectory_controller is simulated", choices=tuple(DISTROS)),
    Parameter("seed", 0, "of the cube's places: the same seed, the same sequence", 0, 2**31 - 1),
    Parameter("episodes", 0, "exit after so many episodes; 0: no episodes, run until stopped", 0, 100_000),
    Parameter("episode_time_s", 8.0, "an episode in which the cube isn't lifted by then has failed", 0.5, 600.0),
    Parameter("first_command_timeout_s", 60.0, "give up (exit status 1) when an episode gets no command", 1.0, 3600.0),
    Parameter(
        "policy_node",
        "policy_node",
        "its ~/pause, ~/reset and ~/resume are called between episodes, those that are there; empty: none is called",
    ),
    Parameter(
        "clear_stops", False, "if the policy node stopped because the arm was blocked, let it go on when it is free"
    ),
    Parameter("block_after_s", 0.0, "the arm is held so long after each episode's first command; 0: never", 0.0, 600.0),
    Parameter("block_for_s", 1.0, "s; how long it is held", 0.0, 600.0),
    Parameter("cover_camera", False, "black images; can be set while running", live=True),
    Parameter("publish_clock", False, "publish /clock: time slows down with a busy machine (use_sim_time nodes)"),
    Parameter("real_time_factor", 1.0, "speed limit with publish_clock, 1.0: real time", 0.05, 1.0),
    Parameter("camera_rate", 20.0, "images per second", 1.0, 60.0),
    Parameter("joint_state_rate", 50.0, "joint states per second", 1.0, 200.0),
    Parameter("control_rate", 100.0, "control steps per second", 20.0, 200.0),
    Parameter("image_width", 96, "pixels", 16, 640),
    Parameter("image_height", 96, "pixels", 16, 480),
)


def read_settings(node: Node) -> SimSettings:
    """Declare every parameter on `node`, whose overrides are declared already, and return their values.

    Raises one ConfigurationError that names every wrong value.
    """
    parameters.declare(node, PARAMETERS)
    values: dict[str, Any] = complete(parameters.given(node), {parameter.name: parameter for parameter in PARAMETERS})
    return SimSettings(**values)
