"""ros2_controllers' joint_trajectory_controller in numpy, with what differs between the ROS distributions.

The distributions differ in how a new trajectory joins the running motion, in what they refuse, and in the parameters
they have. `Distro` holds one row for each. Angles are in rad and lengths in m; times are in s on whatever clock the
caller uses.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from act_inference_ros.errors import ConfigurationError
from act_inference_ros.simulation.controllers import Vector, joint_vector
from act_inference_ros.simulation.trajectory import MotionState, Path, Trajectory, TrajectoryPoint, reason_to_refuse

ParameterValue = bool | float | str | list[str]


@dataclass(frozen=True)
class Distro:
    """How the joint_trajectory_controller of one ROS distribution behaves.

    `looks_ahead`: each update commands what the trajectory says one period later, and not what it says now.
    `allows_final_velocity`: the default of allow_nonzero_velocity_at_trajectory_end.
    `last_command_parameters`: the parameters that make a new trajectory start from the last command. The first one is
    the one to set; a second one is deprecated.
    `has_speed_scaling`: there is a parameter speed_scaling.state_interface.
    """

    name: str
    looks_ahead: bool
    allows_final_velocity: bool
    last_command_parameters: tuple[str, ...]
    has_speed_scaling: bool


HUMBLE = Distro(
    "humble",
    looks_ahead=False,
    allows_final_velocity=True,
    last_command_parameters=("open_loop_control",),
    has_speed_scaling=False,
)
JAZZY = Distro(
    "jazzy",
    looks_ahead=True,
    allows_final_velocity=False,
    last_command_parameters=("interpolate_from_desired_state", "open_loop_control"),
    has_speed_scaling=True,
)
KILTED = Distro(
    "kilted",
    looks_ahead=True,
    allows_final_velocity=False,
    last_command_parameters=("interpolate_from_desired_state",),
    has_speed_scaling=True,
)
DISTROS = {distro.name: distro for distro in (HUMBLE, JAZZY, KILTED)}


def distro_named(name: str) -> Distro:
    """The distribution with that lower-case name. Raises ConfigurationError, which lists the known ones."""
    if name not in DISTROS:
        raise ConfigurationError(f"unknown ROS distribution '{name}', expected one of {', '.join(DISTROS)}")
    return DISTROS[name]


class TrajectoryController:
    """Follows the newest trajectory, as joint_trajectory_controller does.

    A new trajectory replaces the running one. Until its first point the controller goes from a start state to that
    point: in a straight line, or along a cubic where the point has velocities. The start state is the arm's measured
    state, or the last command with `from_last_command`. Points that have passed are skipped; if there is one, the
    start state is not used at all. The last point is held.

    There are two ways to use it, and one controller should be used in only one of them:

    * `receive` and `update` are the real controller's steps. A message waits until the next update takes it. With
      `from_last_command` this shows what the real one does: on Humble the last command is stamped with the time of the
      update, so the arm gets the same command twice. From Jazzy on the last command was made for the present time, but
      is stamped one period earlier, so one update moves up to twice as far as the others.
    * `command` and `sample` take a trajectory at once and tell the target for any time, as if the period were zero.
      They look at neither `path_tolerance` nor `speed_scaling_factor`.

    `period_s` is the time between two updates, `allow_final_velocity` overrides the distribution's default, and
    `path_tolerance` gives the largest |measured - reference| of a joint by its name (0.0, or no entry, is no limit).
    `speed_scaling_factor` may be set at any time: 1.0 goes along the trajectory as planned, 0.0 stands still. A new
    message is played from the present time on, however far the old one had fallen behind. Humble's own controller
    cannot do this, but the scaled controllers that some arms bring along for it can.
    """

    def __init__(
        self,
        joints: Sequence[str],
        *,
        distro: Distro = JAZZY,
        from_last_command: bool = False,
        allow_final_velocity: bool | None = None,
        path_tolerance: Mapping[str, float] | None = None,
        period_s: float = 0.002,
    ) -> None:
        self.joints = tuple(joints)
        self.speed_scaling_factor = 1.0
        tolerance = path_tolerance or {}
        unknown = sorted(set(tolerance) - set(self.joints))
        if unknown:
            raise ConfigurationError(f"path tolerance for {unknown}, but the joints are {list(self.joints)}")
        self._tolerance = np.array([tolerance.get(joint, 0.0) for joint in self.joints])
        self._distro = distro
        self._from_last_command = from_last_command
        self._allow_final_velocity = (
            distro.allows_final_velocity if allow_final_velocity is None else allow_final_velocity
        )
        self._period_s = period_s
        self._active = True
        self.hold(np.zeros(len(self.joints)))

    @property
    def active(self) -> bool:
        """Whether the controller takes commands."""
        return self._active

    @property
    def end_time_s(self) -> float | None:
        """When the running trajectory reaches its last point; None when there is none."""
        return None if self._path is None or self._gave_up else self._path.end_s + self._behind_s

    @property
    def reference(self) -> MotionState:
        """Where the last `update` wanted the joints at its own time: `reference` of the controller_state message.

        From Jazzy on the command of that update is for one period later.
        """
        return MotionState(self._reference.positions.copy(), self._reference.velocities.copy())

    def hold(self, positions: Sequence[float] | Vector) -> None:
        """Drop every trajectory and stay at `positions` (n_joints,)."""
        self._held = self._reference = self._commanded = MotionState.at_rest(joint_vector(positions, len(self.joints)))
        self._commanded_s: float | None = None
        self._path: Path | None = None
        self._waiting: Trajectory | None = None
        # The tolerance was exceeded: the joints are held where they were, and the tolerance no longer counts.
        self._gave_up = False
        # How far the trajectory is behind its own times, because of speed scaling.
        self._behind_s = 0.0
        self._updated_s: float | None = None

    def deactivate(self) -> None:
        """Drop every trajectory, stay at the last command of `update`, and ignore what comes, without a word."""
        self.hold(self._commanded.positions)
        self._active = False

    def activate(self) -> None:
        """Take commands again, holding the last command until one comes."""
        self._active = True

    def receive(self, trajectory: Trajectory, now_s: float) -> str | None:
        """Keep `trajectory` for the next `update`, in place of one that still waits.

        Returns None, or why it is refused. None does not mean that it will be followed: a controller that is not active
        drops it silently, as the real one does.
        """
        reason = self._reason_to_refuse(trajectory, now_s)
        if reason is None and self._active:
            self._waiting = trajectory
            self._gave_up = False
        return reason

    def update(self, now_s: float, positions: Sequence[float] | Vector, velocities: Vector | None = None) -> Vector:
        """One period of the control loop: the positions (n_joints,) to command now.

        `positions` and `velocities` (n_joints,) are the measured state; velocities are None where the arm does not
        measure them. If a joint is further from its reference than its tolerance while the trajectory runs, this
        update repeats the last command, and the next one holds the positions measured now.
        """
        if not self._active:
            return self._commanded.positions.copy()
        measured = self._measured(positions, velocities)
        is_first = self._waiting is not None
        if self._waiting is not None:
            start_s, start = self._start(now_s, measured)
            self._follow(self._waiting, now_s, start_s, start)
            self._waiting = None
        elif self._updated_s is not None:
            self._behind_s += (1.0 - self.speed_scaling_factor) * (now_s - self._updated_s)
        self._updated_s = now_s
        reference_s = now_s - self._behind_s
        command_s = reference_s + self._period_s if self._distro.looks_ahead else reference_s
        self._reference = self._at(reference_s)
        runs = self._path is not None and (is_first or command_s < self._path.end_s)
        if runs and not self._gave_up and self._is_too_far(measured.positions):
            self._waiting = Trajectory(self.joints, 0.0, (TrajectoryPoint(0.0, tuple(measured.positions.tolist())),))
            self._gave_up = True
        else:
            self._commanded, self._commanded_s = self._at(command_s), now_s
        return self._commanded.positions.copy()

    def command(
        self, trajectory: Trajectory, now_s: float, positions: Sequence[float] | Vector, velocities: Vector | None
    ) -> str | None:
        """Follow `trajectory` from now on; `positions` and `velocities` (n_joints,) are the measured state.

        Returns None, or why it is refused (the running trajectory then goes on).
        """
        reason = self._reason_to_refuse(trajectory, now_s)
        if reason is None and self._active:
            before = self._at(now_s - self._behind_s)
            start = before if self._from_last_command else self._measured(positions, velocities)
            self._held = before
            self._follow(trajectory, now_s, now_s, start)
        return reason

    def sample(self, now_s: float) -> Vector:
        """Target (n_joints,) at `now_s`; times before the newest trajectory's arrival repeat the target held then."""
        return self._at(now_s - self._behind_s).positions.copy()

    def parameters(self, *, use_sim_time: bool = False) -> dict[str, ParameterValue]:
        """What the controller's parameter service would answer, by parameter name; names not in it are undeclared."""
        values: dict[str, ParameterValue] = {
            "interpolation_method": "splines",
            "joints": list(self.joints),
            "allow_partial_joints_goal": False,
            "allow_nonzero_velocity_at_trajectory_end": self._allow_final_velocity,
            "cmd_timeout": 0.0,
            "use_sim_time": use_sim_time,
        }
        for joint, tolerance in zip(self.joints, self._tolerance.tolist(), strict=True):
            values[f"constraints.{joint}.trajectory"] = tolerance
        for name in self._distro.last_command_parameters:
            values[name] = self._from_last_command and name == self._distro.last_command_parameters[0]
        if self._distro.has_speed_scaling:
            values["speed_scaling.state_interface"] = ""
        return values

    def _reason_to_refuse(self, trajectory: Trajectory, now_s: float) -> str | None:
        return reason_to_refuse(trajectory, self.joints, now_s, allow_final_velocity=self._allow_final_velocity)

    def _at(self, time_s: float) -> MotionState:
        """What the trajectory says at `time_s`, on its own clock."""
        if self._path is None or time_s < self._path.start_time_s:
            return self._held
        return self._path.at(time_s)

    def _measured(self, positions: Sequence[float] | Vector, velocities: Vector | None) -> MotionState:
        count = len(self.joints)
        # An unmeasured velocity counts as zero: the way to a point that has a velocity is a cubic in any case.
        return MotionState(
            joint_vector(positions, count), np.zeros(count) if velocities is None else joint_vector(velocities, count)
        )

    def _start(self, now_s: float, measured: MotionState) -> tuple[float, MotionState]:
        """The time and the state that the way to the first point begins with, at the update of `now_s`."""
        if not self._from_last_command:
            return now_s, measured
        # A controller that looks ahead keeps the time at which it gave the last command, not the time it was meant for.
        if self._distro.looks_ahead and self._commanded_s is not None:
            return self._commanded_s, self._commanded
        return now_s, self._commanded

    def _follow(self, trajectory: Trajectory, now_s: float, start_s: float, start: MotionState) -> None:
        self._path = Path.through(trajectory, self.joints, now_s, start_s, start)
        self._behind_s = 0.0

    def _is_too_far(self, positions: Vector) -> bool:
        error = np.abs(positions - self._reference.positions)
        return bool(np.any((self._tolerance > 0.0) & (error > self._tolerance)))
