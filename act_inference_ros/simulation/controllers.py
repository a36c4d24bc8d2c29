"""What stands between a command message and the arm: the controllers of a ros2_control robot, in numpy.

`TrajectoryController` follows ros2_controllers' joint_trajectory_controller (`validate_trajectory_msg` and
`Trajectory::sample`, Humble to Kilted), `PositionController` its forward_command_controller, and
`NamedPositionController` the drivers of small arms that take a JointState. A command is accepted or refused whole:
`command` returns None, or the reason for the refusal, and a refused command changes nothing. Angles are in rad and
lengths in m; times are in s on whatever clock the caller uses.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

Vector = npt.NDArray[np.float64]

# joint_trajectory_controller compares with numeric_limits<float>::epsilon.
_ZERO_VELOCITY = float(np.finfo(np.float32).eps)


class Controller(Protocol):
    """Turns accepted commands into one target per joint, in the order of `joints`."""

    joints: tuple[str, ...]

    def hold(self, positions: Sequence[float] | Vector) -> None:
        """Drop every plan and stay at `positions` (n_joints,)."""

    def sample(self, now_s: float) -> Vector:
        """Target (n_joints,) at `now_s`."""


@dataclass(frozen=True)
class TrajectoryPoint:
    """One point of a trajectory: positions (and velocities, or none) in the order of the trajectory's joints."""

    time_from_start_s: float
    positions: tuple[float, ...]
    velocities: tuple[float, ...] = ()
    accelerations: tuple[float, ...] = ()
    effort: tuple[float, ...] = ()


@dataclass(frozen=True)
class Trajectory:
    """A command to follow: `stamp_s` is when time_from_start 0 is, with 0.0 meaning on arrival."""

    joints: tuple[str, ...]
    stamp_s: float
    points: tuple[TrajectoryPoint, ...]


@dataclass(frozen=True)
class _Plan:
    """Knots in the controller's joint order: times (n,), positions and velocities (n, n_joints), has_velocity (n,)."""

    start_time_s: float
    start_positions: Vector
    start_velocities: Vector | None
    times: Vector
    positions: Vector
    velocities: Vector
    has_velocity: npt.NDArray[np.bool_]


class TrajectoryController:
    """Follows the newest trajectory, as joint_trajectory_controller does with its defaults.

    A new trajectory replaces the running one on arrival. Until its first point the controller goes from the arm's
    measured state on arrival to that point: in a straight line, or along a cubic where velocities are given.
    Points that have passed are skipped, and the last point is held. With `from_last_command` the way to the first
    point starts at the last target instead (the real controller's `interpolate_from_desired_state`).
    """

    def __init__(
        self, joints: Sequence[str], *, from_last_command: bool = False, allow_final_velocity: bool = False
    ) -> None:
        self.joints = tuple(joints)
        self._from_last_command = from_last_command
        self._allow_final_velocity = allow_final_velocity
        self._held: Vector = np.zeros(len(self.joints))
        self._plan: _Plan | None = None

    @property
    def end_time_s(self) -> float | None:
        """When the running trajectory reaches its last point; None when there is none."""
        return None if self._plan is None else float(self._plan.times[-1])

    def hold(self, positions: Sequence[float] | Vector) -> None:
        """Drop the running trajectory and stay at `positions` (n_joints,)."""
        self._held = _vector(positions, len(self.joints))
        self._plan = None

    def command(
        self, trajectory: Trajectory, now_s: float, positions: Sequence[float] | Vector, velocities: Vector | None
    ) -> str | None:
        """Follow `trajectory` from now on; `positions` and `velocities` (n_joints,) are the measured state.

        Returns None, or why it is refused (the running trajectory then goes on). Three refusals are stricter than the
        real controller's: non-finite numbers, negative times, and a joint that is named twice.
        """
        reason = self._reason_to_refuse(trajectory, now_s)
        if reason is not None:
            return reason
        order = [trajectory.joints.index(joint) for joint in self.joints]
        start_s = trajectory.stamp_s if trajectory.stamp_s != 0.0 else now_s
        points = trajectory.points
        none = (0.0,) * len(self.joints)
        origin = self.sample(now_s) if self._from_last_command else _vector(positions, len(self.joints))
        self._held = self.sample(now_s)
        self._plan = _Plan(
            start_time_s=now_s,
            start_positions=origin,
            start_velocities=None if velocities is None else _vector(velocities, len(self.joints)),
            times=np.array([start_s + point.time_from_start_s for point in points]),
            positions=np.array([point.positions for point in points])[:, order],
            velocities=np.array([point.velocities or none for point in points])[:, order],
            has_velocity=np.array([bool(point.velocities) for point in points]),
        )
        return None

    def sample(self, now_s: float) -> Vector:
        """Target (n_joints,) at `now_s`; times before the newest trajectory's arrival repeat the target held then."""
        plan = self._plan
        if plan is None or now_s < plan.start_time_s:
            return self._held.copy()
        if now_s >= plan.times[-1]:
            return np.array(plan.positions[-1])
        after = int(np.searchsorted(plan.times, now_s, side="right"))
        has_velocity = bool(plan.has_velocity[after])
        if after == 0:
            start_time, start = plan.start_time_s, plan.start_positions
            start_velocity = np.zeros_like(start) if plan.start_velocities is None else plan.start_velocities
        else:
            before = after - 1
            start_time, start = float(plan.times[before]), plan.positions[before]
            start_velocity = plan.velocities[before]
            has_velocity = has_velocity and bool(plan.has_velocity[before])
        duration = float(plan.times[after]) - start_time
        fraction = (now_s - start_time) / duration
        end = plan.positions[after]
        if not has_velocity:
            return np.asarray(start + (end - start) * fraction)
        return _hermite(fraction, duration, start, start_velocity, end, plan.velocities[after])

    def _reason_to_refuse(self, trajectory: Trajectory, now_s: float) -> str | None:
        points = trajectory.points
        wrong_joints = _reason_names_differ(trajectory.joints, self.joints)
        if wrong_joints is not None:
            return wrong_joints
        if not points:
            # Also the real controller's answer: an empty trajectory does not stop it, the old plan goes on.
            return "empty trajectory: at least one point is needed (to stop, send one point at the present position)"
        for index, point in enumerate(points):
            reason = self._reason_to_refuse_point(index, point)
            if reason is not None:
                return reason
        times = [point.time_from_start_s for point in points]
        for index in range(1, len(times)):
            if times[index] <= times[index - 1]:
                return (
                    f"time_from_start must strictly increase: point {index - 1} is at {times[index - 1]:.6f} s, "
                    f"point {index} at {times[index]:.6f} s"
                )
        if not self._allow_final_velocity and any(abs(v) > _ZERO_VELOCITY for v in points[-1].velocities):
            return f"the last point's velocities must be zero, got {list(points[-1].velocities)}"
        if not math.isfinite(trajectory.stamp_s):
            return f"the stamp must be finite, got {trajectory.stamp_s}"
        end_s = trajectory.stamp_s + times[-1]
        if trajectory.stamp_s != 0.0 and end_s < now_s:
            return f"the trajectory ends in the past: it ends at {end_s:.3f} s, now is {now_s:.3f} s"
        return None

    def _reason_to_refuse_point(self, index: int, point: TrajectoryPoint) -> str | None:
        if point.accelerations or point.effort:
            return f"point {index} has accelerations or effort: this arm takes positions and velocities"
        if len(point.positions) != len(self.joints):
            return f"point {index} has {len(point.positions)} positions, expected {len(self.joints)}"
        if point.velocities and len(point.velocities) != len(self.joints):
            return f"point {index} has {len(point.velocities)} velocities, expected {len(self.joints)} or none"
        if not all(math.isfinite(x) for x in (point.time_from_start_s, *point.positions, *point.velocities)):
            return f"point {index} has a non-finite number"
        if point.time_from_start_s < 0.0:
            return f"point {index} is at time_from_start {point.time_from_start_s:.6f} s: it must not be negative"
        return None


class PositionController:
    """Goes to the newest vector of positions, as forward_command_controller does (one position interface a joint)."""

    def __init__(self, joints: Sequence[str]) -> None:
        self.joints = tuple(joints)
        self._target: Vector = np.zeros(len(self.joints))

    def hold(self, positions: Sequence[float] | Vector) -> None:
        """Stay at `positions` (n_joints,)."""
        self._target = _vector(positions, len(self.joints))

    def command(self, positions: Sequence[float]) -> str | None:
        """Go to `positions`, in the order of `joints`. Returns None, or why the command is refused."""
        if len(positions) != len(self.joints):
            return f"got {len(positions)} positions, expected {len(self.joints)}: {list(self.joints)}"
        if not all(math.isfinite(x) for x in positions):
            return f"the positions must be finite, got {list(positions)}"
        self._target = _vector(positions, len(self.joints))
        return None

    def sample(self, now_s: float) -> Vector:
        """Target (n_joints,); the time makes no difference."""
        return self._target.copy()


class NamedPositionController(PositionController):
    """Goes to the positions of a JointState command: any of the joints, by name; the others stay."""

    def command_named(self, names: Sequence[str], positions: Sequence[float]) -> str | None:
        """Go to `positions` of the joints `names`. Returns None, or why the command is refused."""
        unknown = sorted(set(names) - set(self.joints))
        if not names or unknown or len(set(names)) != len(names):
            return f"got joints {list(names)}, expected some of {list(self.joints)}, each once"
        if len(positions) != len(names):
            return f"got {len(positions)} positions for {len(names)} joints"
        target = self._target.copy()
        for name, position in zip(names, positions, strict=True):
            target[self.joints.index(name)] = position
        return self.command(target.tolist())


def _reason_names_differ(got: Sequence[str], expected: Sequence[str]) -> str | None:
    if sorted(got) == sorted(expected):
        return None
    return f"got joints {list(got)}, expected each of {list(expected)} once, in any order"


def _hermite(fraction: float, duration_s: float, p0: Vector, v0: Vector, p1: Vector, v1: Vector) -> Vector:
    """Cubic through positions p0, p1 with velocities v0, v1, at `fraction` 0..1 of `duration_s`."""
    s = fraction
    return np.asarray(
        (2 * s**3 - 3 * s**2 + 1) * p0
        + (s**3 - 2 * s**2 + s) * duration_s * v0
        + (3 * s**2 - 2 * s**3) * p1
        + (s**3 - s**2) * duration_s * v1
    )


def _vector(values: Sequence[float] | Vector, length: int) -> Vector:
    vector = np.array(values, dtype=np.float64)
    if vector.shape != (length,):
        raise ValueError(f"expected {length} numbers, got shape {vector.shape}")
    return vector
