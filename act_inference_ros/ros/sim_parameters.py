"""The simulated robot's parameters: one table that is declared, checked and shown by --help."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.exceptions import InvalidParameterTypeException, InvalidParameterValueException
from rclpy.node import Node

from act_inference_ros.errors import ConfigurationError

Value: TypeAlias = bool | int | float | str

INTERFACES = ("joint_trajectory", "position_stream", "joint_state")


@dataclass(frozen=True)
class SimParameter:
    """One parameter: its default gives the type, `bounds` are inclusive."""

    name: str
    default: Value
    description: str
    bounds: tuple[float, float] | None = None
    choices: tuple[str, ...] = ()
    may_change: bool = False

    def descriptor(self) -> Any:
        """The ParameterDescriptor to declare it with."""
        descriptor = ParameterDescriptor(
            description=self.description,
            additional_constraints=f"one of {', '.join(self.choices)}" if self.choices else "",
            read_only=not self.may_change,
        )
        if self.bounds is not None and isinstance(self.default, float):
            low, high = self.bounds
            descriptor.floating_point_range = [FloatingPointRange(from_value=low, to_value=high, step=0.0)]
        elif self.bounds is not None:
            low, high = self.bounds
            descriptor.integer_range = [IntegerRange(from_value=int(low), to_value=int(high), step=1)]
        return descriptor

    def expectation(self) -> str:
        """What a value must be, for an error message."""
        kind = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}
        text = f"one of {', '.join(self.choices)}" if self.choices else kind[type(self.default)]
        return text if self.bounds is None else f"{text} from {self.bounds[0]} to {self.bounds[1]}"


@dataclass(frozen=True)
class SimSettings:
    """The values of all parameters at start."""

    interface: str
    interpolate_from_desired_state: bool
    seed: int
    episodes: int
    episode_time_s: float
    first_command_timeout_s: float
    policy_reset_service: str
    cover_camera: bool
    publish_clock: bool
    real_time_factor: float
    camera_rate: float
    joint_state_rate: float
    control_rate: float
    image_width: int
    image_height: int


PARAMETERS = (
    SimParameter("interface", "joint_trajectory", "how the arm is commanded", choices=INTERFACES),
    SimParameter(
        "interpolate_from_desired_state",
        False,
        "a new trajectory starts at the last target, not at the measured state (as the trajectory controller's option)",
    ),
    SimParameter("seed", 0, "of the cube's places: the same seed, the same sequence", (0, 2**31 - 1)),
    SimParameter("episodes", 0, "exit after so many episodes; 0: no episodes, run until stopped", (0, 100_000)),
    SimParameter("episode_time_s", 8.0, "an episode in which the cube isn't lifted by then has failed", (0.5, 600.0)),
    SimParameter(
        "first_command_timeout_s", 60.0, "give up (exit status 1) when an episode gets no command", (1.0, 3600.0)
    ),
    SimParameter(
        "policy_reset_service", "/policy_node/reset", "called between episodes if it is there; empty: none is called"
    ),
    SimParameter("cover_camera", False, "black images; can be set while running", may_change=True),
    SimParameter("publish_clock", False, "publish /clock: time slows down with a busy machine (use_sim_time nodes)"),
    SimParameter("real_time_factor", 1.0, "speed limit with publish_clock, 1.0: real time", (0.05, 1.0)),
    SimParameter("camera_rate", 20.0, "images per second", (1.0, 60.0)),
    SimParameter("joint_state_rate", 50.0, "joint states per second", (1.0, 200.0)),
    SimParameter("control_rate", 100.0, "control steps per second", (20.0, 200.0)),
    SimParameter("image_width", 96, "pixels", (16, 640)),
    SimParameter("image_height", 96, "pixels", (16, 480)),
)


def declare_parameters(node: Node) -> SimSettings:
    """Declare every parameter on `node` and return their values. Raises ConfigurationError for a wrong one."""
    values: dict[str, Any] = {parameter.name: _declared(node, parameter) for parameter in PARAMETERS}
    return SimSettings(**values)


def unknown_parameters(node: Node) -> list[str]:
    """Names given on the command line or in a parameter file that nothing declares, such as misspelt ones."""
    return sorted(name for name in _overrides(node) if not node.has_parameter(name))


def parameter_rows() -> list[tuple[str, str]]:
    """For --help, one row per parameter: name and default, description."""
    rows = []
    for parameter in PARAMETERS:
        default = str(parameter.default).lower() if isinstance(parameter.default, bool) else parameter.default
        limits = f" ({parameter.expectation()})" if parameter.bounds or parameter.choices else ""
        rows.append((f"{parameter.name}:={default}", f"{parameter.description}{limits}"))
    return rows


def _declared(node: Node, parameter: SimParameter) -> Value:
    given = _overrides(node).get(parameter.name)
    default = parameter.default
    # rclpy would refuse camera_rate:=20 for want of a decimal point.
    is_whole_number = given is not None and isinstance(default, float) and type(given.value) is int
    if is_whole_number:
        default = float(given.value)
    try:
        declared = node.declare_parameter(
            parameter.name, default, parameter.descriptor(), ignore_override=is_whole_number
        )
    except (InvalidParameterTypeException, InvalidParameterValueException) as error:
        value = default if given is None else given.value
        raise ConfigurationError(
            f"parameter {parameter.name}: expected {parameter.expectation()}, got {value!r}"
        ) from error
    value = declared.value
    if parameter.choices and value not in parameter.choices:
        raise ConfigurationError(f"parameter {parameter.name}: expected {parameter.expectation()}, got {value!r}")
    return value  # type: ignore[no-any-return]  # rclpy is untyped here


def _overrides(node: Node) -> Any:
    # The only place where rclpy keeps what was given on the command line and in parameter files.
    return getattr(node, "_parameter_overrides", {})
