"""Every parameter of the policy node, declared once: name, type, default, range, description, and when it is read.

The node declares these to ROS, the bag evaluator reads the same file without ROS, and `docs/parameters.md` is
generated from them. The words that are allowed as values are listed in `interfaces`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

from act_inference_ros.errors import ConfigurationError
from act_inference_ros.interfaces import (
    AUTO,
    COMMAND_INTERFACES,
    ENGINES,
    FALLBACKS,
    ISOLATIONS,
    MERGES,
    MODES,
    OVERLAP_AUTO,
    OVERLAPS,
    PRECISIONS,
    PROCESS,
    SHARED_MEMORY,
    STAMPS,
    STUCK,
    TORCH,
    TRANSPORTS,
)
from act_inference_ros.joints import DEFAULT_MAX_ACCELERATION, DEFAULT_MAX_VELOCITY, UNITS

Value: TypeAlias = bool | int | float | str | list[str] | list[float]

INFINITY = float("inf")
MOST_ENTRIES = 512
"""Most entries of a list. A humanoid with two hands has about a hundred joints."""
UNSET = float("nan")
"""Default of a number that is taken from another source if the user gives none; a file spells it `.nan`."""

UNKNOWN = "???"
"""Marks what a person must fill in, in a drafted file; alone or before a name: `???`, `???left.j0`."""


def _double(number: float) -> float:
    """The number as a float, infinite beyond its range, as ROS reads it."""
    try:
        return float(number)
    except OverflowError:
        return INFINITY if number > 0 else -INFINITY


@dataclass(frozen=True)
class Parameter:
    """One parameter. `<...>` in `name` stands for each camera, joint or controller that the file names.

    Its type is the type of the default; a list holds strings, or numbers if `numbers`. `live` parameters take effect
    while the node runs; the others are read at configure.
    """

    name: str
    default: Value
    description: str
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()
    live: bool = False
    numbers: bool = False

    def converted(self, value: Any) -> Value:
        """Return `value` in the parameter's type (an integer is accepted for a float), or raise ConfigurationError."""
        if isinstance(self.default, float) and isinstance(value, int) and not isinstance(value, bool):
            value = _double(value)
        if isinstance(self.default, list) and isinstance(value, (list, tuple)):
            if len(value) > MOST_ENTRIES:
                raise ConfigurationError(f"{self.name}: expected at most {MOST_ENTRIES} entries, got {len(value)}")
            value = [_double(v) if self.numbers and type(v) in (int, float) else v for v in value]
        wanted_type = float if self.numbers else str
        if type(value) is not type(self.default) or (
            isinstance(value, list) and not all(type(v) is wanted_type for v in value)
        ):
            raise ConfigurationError(f"{self.name}: expected {self.type_name}, got {value!r}")
        if self.choices and value not in self.choices:
            wanted = ", ".join(choice or "(empty)" for choice in self.choices)
            raise ConfigurationError(f"{self.name}: expected one of {wanted}, got {value!r}")
        if isinstance(value, (int, float)) and not self._holds(value):
            wanted = f"a number {self.range_text}".rstrip()
            raise ConfigurationError(f"{self.name}: expected {wanted}, got {value}")
        converted: Value = value
        return converted

    def _holds(self, value: float) -> bool:
        if is_unset(value):
            return is_unset(self.default)
        lowest = -INFINITY if self.minimum is None else self.minimum
        highest = INFINITY if self.maximum is None else self.maximum
        return lowest <= value <= highest

    @property
    def type_name(self) -> str:
        """The type's name in plain words."""
        return {
            bool: "true or false",
            int: "an integer",
            float: "a number",
            str: "a string",
            list: "a list of numbers" if self.numbers else "a list of strings",
        }[type(self.default)]

    @property
    def range_text(self) -> str:
        """The permitted interval, such as `from 0 to 10`; empty if there is none."""
        lowest = "" if self.minimum is None else f"from {self.minimum:g}"
        highest = "" if self.maximum is None else f"to {self.maximum:g}"
        return " ".join(part for part in (lowest, highest) if part)


def is_unset(value: Any) -> bool:
    """Return whether a number was left unset, so that it is taken from another source."""
    return isinstance(value, float) and value != value


PARAMETERS = (
    Parameter("autostart", True, "Configure and activate by itself at start; false: wait for lifecycle transitions."),
    Parameter("mode", "", "Where the policy runs; empty: INFERENCE_MODE, else local.", choices=("", *MODES)),
    Parameter(
        "checkpoint",
        "",
        "Local mode: LeRobot checkpoint directory, hub id hf:owner/name or exported repository; empty: CHECKPOINT_DIR.",
    ),
    Parameter(
        "engine",
        TORCH,
        "Local mode: what computes the network; auto: onnxruntime if an export is at hand or torch absent.",
        choices=ENGINES,
    ),
    Parameter("providers", [AUTO], "Engine onnxruntime: auto, or some of tensorrt, cuda, openvino, cpu."),
    Parameter(
        "isolation", PROCESS, "Local mode: compute in a process of its own, or in the node's.", choices=ISOLATIONS
    ),
    Parameter("threads", 0, "Local mode: CPU threads of inference; 0: all cores, but one if there are three.", 0, 1024),
    Parameter(
        "niceness", 5, "Isolation process: niceness of inference; a higher one gives way to other programs.", 0, 19
    ),
    Parameter(
        "thread_priority", 0, "Real-time priority (SCHED_FIFO) of the node; 0: none. See docs/operating.md.", 0, 99
    ),
    Parameter("device", "auto", "Local mode: auto, cpu, cuda, cuda:N or mps."),
    Parameter("precision", "float32", "Local mode: arithmetic of the network.", choices=PRECISIONS),
    Parameter("compile", False, "Local mode: torch.compile at configure (needs a C++ compiler, takes up to a minute)."),
    Parameter("server", "", "Triton mode: gRPC address host:port, or several, comma-separated; empty: TRITON_URL."),
    Parameter("model", "", "Triton mode: the model's name on the server; empty: MODEL_NAME, else act_policy."),
    Parameter("model_version", 0, "Triton mode: the model's version; 0: MODEL_VERSION, else the server's choice.", 0),
    Parameter("request_timeout", 1.0, "Triton mode: s; deadline of each request, retries included.", 0.001, 3600.0),
    Parameter("server_timeout", 10.0, "Triton mode: s; how long configure waits for a server.", 0.0, 3600.0),
    Parameter(
        "shared_memory", "auto", "Triton mode: hand images over in memory if the server is here.", choices=SHARED_MEMORY
    ),
    Parameter(
        "ca_file", "", "Triton mode: PEM file of who may sign the server's certificate (TLS); empty: TRITON_CA_FILE."
    ),
    Parameter(
        "certificate_file", "", "Triton mode: this robot's certificate (mutual TLS); empty: TRITON_CERTIFICATE_FILE."
    ),
    Parameter("key_file", "", "Triton mode: the certificate's key; empty: TRITON_KEY_FILE."),
    Parameter(
        "token_file", "", "Triton mode: file with the server's token; empty: TRITON_TOKEN_FILE, else TRITON_TOKEN."
    ),
    Parameter(
        "fallback", "", "Triton mode: local computes with checkpoint while no server answers.", choices=FALLBACKS
    ),
    Parameter("fps", 30.0, "Rate of the training data: actions in a chunk are 1/fps s apart.", 0.1, 1000.0),
    Parameter("inference_rate", 10.0, "Chunks per second at most.", 0.01, 1000.0, live=True),
    Parameter("state.topic", "", "sensor_msgs/JointState with the measured joint positions."),
    Parameter("state.topics", [], "Instead of state.topic: several such topics, each with a part of the joints."),
    Parameter(
        "state.joints",
        [],
        "observation.state in the policy's order: joints; joint/velocity and joint/effort are those of a joint.",
    ),
    Parameter("environment_state.topic", "", "std_msgs/Float64MultiArray for observation.environment_state, if read."),
    Parameter("cameras", [], "Cameras the policy reads: observation.images.<camera>."),
    Parameter("camera.<camera>.topic", "", "Image topic of this camera."),
    Parameter(
        "camera.<camera>.transport",
        "raw",
        "sensor_msgs/Image or sensor_msgs/CompressedImage.",
        choices=tuple(TRANSPORTS),
    ),
    Parameter("resize", False, "Resize images to the policy's size; false: another size is refused."),
    Parameter("stamps", "header", "Time of an input: its header's stamp, or its arrival (no stamps).", choices=STAMPS),
    Parameter("max_age", 0.2, "s; an older input is stale: no observation, no command.", 0.001, 60.0, live=True),
    Parameter("max_skew", 0.05, "s; the inputs of one observation lie at most this far apart.", 0.0, 60.0, live=True),
    Parameter(
        "action.joints", [], "Joints of the action, in the policy's order; empty: the positions of state.joints."
    ),
    Parameter("joint.<joint>.unit", "", "The policy's unit; empty: ROS units as they are.", choices=("", *UNITS)),
    Parameter("joint.<joint>.scale", 1.0, "policy = scale * ros + offset."),
    Parameter("joint.<joint>.offset", 0.0, "policy = scale * ros + offset."),
    Parameter(
        "joint.<joint>.min",
        UNSET,
        "Lowest commanded position, ROS units (rad, m); .nan: the robot description's; -.inf: none.",
        live=True,
    ),
    Parameter(
        "joint.<joint>.max",
        UNSET,
        "Highest commanded position, ROS units (rad, m); .nan: the robot description's; .inf: none.",
        live=True,
    ),
    Parameter(
        "joint.<joint>.max_velocity",
        DEFAULT_MAX_VELOCITY,
        "Fastest commanded motion, ROS units/s.",
        1e-6,
        1000.0,
        live=True,
    ),
    Parameter(
        "joint.<joint>.max_acceleration",
        DEFAULT_MAX_ACCELERATION,
        "Fastest change of the commanded velocity, ROS units/s2.",
        1e-6,
        10000.0,
        live=True,
    ),
    Parameter(
        "joint.<joint>.smooth",
        True,
        "false for grippers: the newest chunk at once, within max_velocity; a hold keeps what they were told.",
    ),
    Parameter(
        "joint.<joint>.max_deviation",
        UNSET,
        "Furthest from where it was told to be, ROS units; .nan: 0.3, 0.05 if prismatic, none if not smooth.",
    ),
    Parameter("joint.<joint>.continuous", False, "Turns without end: the nearest turn is commanded."),
    Parameter(
        "robot_description",
        "",
        "URDF with limits and continuous joints; empty: robot_description_topic's, if any.",
    ),
    Parameter("robot_description_topic", "robot_description", "std_msgs/String with the URDF; empty: not asked for."),
    Parameter("controllers", [], "Controllers that share the action's joints between them."),
    Parameter(
        "controller.<controller>.interface",
        "joint_trajectory",
        "What it listens to.",
        choices=tuple(COMMAND_INTERFACES),
    ),
    Parameter("controller.<controller>.topic", "", "Its command topic; of a gripper action, the action's name."),
    Parameter("controller.<controller>.joints", [], "Its joints, in its own order."),
    Parameter(
        "controller.<controller>.lead",
        0.02,
        "s; trajectories start this far ahead: 1 to 2 controller periods.",
        0.0,
        1.0,
        live=True,
    ),
    Parameter(
        "controller.<controller>.overlap",
        OVERLAP_AUTO,
        "Begin trajectories with what was told before; auto: where the controller's parameters show that it may be.",
        choices=OVERLAPS,
        live=True,
    ),
    Parameter(
        "controller.<controller>.deadband",
        UNSET,
        "Gripper actions: a goal is sent when the target has moved this far since the last, ROS units; .nan: 0.001.",
        0.0,
    ),
    Parameter(
        "controller.<controller>.max_effort",
        UNSET,
        "Gripper actions: effort at most, N or Nm; .nan: none is said (gripper_action, which must say one: 0).",
        0.0,
    ),
    Parameter("command_rate", 100.0, "Commands per second of streaming interfaces.", 1.0, 1000.0, live=True),
    Parameter("merge", "blend", "How overlapping chunks become one plan.", choices=MERGES, live=True),
    Parameter("blend_time", 0.2, "s; blend: cross-fade from the old plan to the new one.", 0.0, 10.0, live=True),
    Parameter(
        "ensemble_coeff", 0.01, "temporal_ensemble: weights exp(-coeff * i), i = 0 the oldest.", -10.0, 10.0, live=True
    ),
    Parameter(
        "coast_time", 0.3, "s to hold the last target when the plan has run out, then hold.", 0.0, 10.0, live=True
    ),
    Parameter(
        "max_plan_age",
        0.0,
        "s; a plan whose newest observation is older is not followed; 0: 3 inference times and 3 chunk intervals.",
        0.0,
        60.0,
        live=True,
    ),
    Parameter("following_lag", 0.3, "s; the arm may be at a commanded position this much later.", 0.0, 5.0, live=True),
    Parameter("resume_within", 5.0, "s; after a longer hold the node waits for ~/resume.", 0.0, 86400.0, live=True),
    Parameter("max_still", 1.0, "s; the same pixels for longer look like a stuck camera.", 0.01, 3600.0, live=True),
    Parameter("stuck", "warn", "What a stuck camera causes.", choices=STUCK, live=True),
    Parameter("enable.topic", "", "std_msgs/Bool that must be true for the arm to be commanded; empty: none."),
    Parameter("enable.timeout", 0.5, "s; an older word of enable.topic counts as false.", 0.01, 60.0, live=True),
    Parameter("share_topics", False, "Command although somebody else publishes on a command topic."),
    Parameter("start_pose", [], "Where ~/go_to_start goes, ROS units, in the order of action.joints.", numbers=True),
    Parameter("start_paused", False, "Wait for ~/resume after activation; for a node that a supervisor starts again."),
    Parameter("shadow", False, "Commands go to ~/shadow/<controller> and to no controller."),
    Parameter("black_box", "", "Directory: the last 60 s are written there at a stop, a hold, on ~/dump; empty: none."),
)
