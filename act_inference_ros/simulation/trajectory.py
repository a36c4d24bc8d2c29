"""A trajectory command, the path that a controller makes of it, and the reasons for which it is refused.

The rules follow ros2_controllers' joint_trajectory_controller from Humble to Kilted: `validate_trajectory_msg` says
what is refused, and `Trajectory::sample` how the path runs between the points. The real one also joins points by a
quintic where both have accelerations; that is left out, and accelerations are refused. Angles are in rad and
lengths in m; times are in s on whatever clock the caller uses.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from act_inference_ros.simulation.controllers import Vector

# joint_trajectory_controller compares with numeric_limits<float>::epsilon.
_ZERO_VELOCITY = float(np.finfo(np.float32).eps)


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
class MotionState:
    """Positions (n_joints,) and velocities (n_joints,) of the joints at one moment."""

    positions: Vector
    velocities: Vector

    @classmethod
    def at_rest(cls, positions: Vector) -> MotionState:
        """The state that stays at `positions` (n_joints,)."""
        return cls(positions, np.zeros_like(positions))


@dataclass(frozen=True)
class Path:
    """The way from a start state through the points of a trajectory, in the controller's joint order.

    `times` (n,) are the moments of the points, `positions` and `velocities` (n, n_joints), and `has_velocity` (n,) says
    which points came with velocities. `start` is only used where all points lie ahead.
    """

    start_time_s: float
    start: MotionState
    times: Vector
    positions: Vector
    velocities: Vector
    has_velocity: npt.NDArray[np.bool_]

    @classmethod
    def through(
        cls, trajectory: Trajectory, joints: Sequence[str], now_s: float, start_time_s: float, start: MotionState
    ) -> Path:
        """The path of an acceptable `trajectory`, its joints put into the order of `joints`; stamp 0.0 is `now_s`."""
        order = [trajectory.joints.index(joint) for joint in joints]
        stamp_s = trajectory.stamp_s if trajectory.stamp_s != 0.0 else now_s
        points = trajectory.points
        none = (0.0,) * len(order)
        return cls(
            start_time_s,
            start,
            times=np.array([stamp_s + point.time_from_start_s for point in points]),
            positions=np.array([point.positions for point in points])[:, order],
            velocities=np.array([point.velocities or none for point in points])[:, order],
            has_velocity=np.array([bool(point.velocities) for point in points]),
        )

    @property
    def end_s(self) -> float:
        """The moment of the last point."""
        return float(self.times[-1])

    def at(self, time_s: float) -> MotionState:
        """The state at `time_s`, which must not be before the start."""
        states = self.states_at(np.array([time_s]))
        return MotionState(states.positions[0], states.velocities[0])

    def states_at(self, times_s: Vector) -> MotionState:
        """The states at `times_s` (n,), none of which is before the start; both arrays are (n, n_joints).

        Two neighbouring points are joined by a cubic where both have velocities, and by a straight line otherwise. The
        last point is held, and keeps the velocity that the message gave it.
        """
        after = np.searchsorted(self.times, times_s, side="right")
        ended = after == len(self.times)
        if ended.all():  # as it is for most of a path that is a point for now
            return MotionState(self.positions[np.full(len(after), -1)], self.velocities[np.full(len(after), -1)])
        after = np.minimum(after, len(self.times) - 1)
        before, first = after - 1, (after == 0)[:, None]  # before the first point lies the start
        start = MotionState(
            np.where(first, self.start.positions, self.positions[before]),
            np.where(first, self.start.velocities, self.velocities[before]),
        )
        end = MotionState(self.positions[after], self.velocities[after])
        start_s = np.where(after == 0, self.start_time_s, self.times[before])
        duration_s = np.where(ended, 1.0, self.times[after] - start_s)[:, None]
        fraction = (times_s - start_s)[:, None] / duration_s
        way = end.positions - start.positions
        positions, velocities = start.positions + way * fraction, way / duration_s
        cubic = self.has_velocity[after] & (self.has_velocity[before] | (after == 0))
        if cubic.any():
            curved = _on_cubic(fraction, duration_s, start, end)
            positions = np.where(cubic[:, None], curved.positions, positions)
            velocities = np.where(cubic[:, None], curved.velocities, velocities)
        last = ended[:, None]
        return MotionState(
            np.where(last, self.positions[-1], positions), np.where(last, self.velocities[-1], velocities)
        )


def reason_to_refuse(
    trajectory: Trajectory, joints: Sequence[str], now_s: float, *, allow_final_velocity: bool
) -> str | None:
    """Why a controller of `joints` refuses `trajectory` at `now_s`, or None if it accepts it.

    Four refusals are stricter than the real controller's: non-finite numbers, negative times, a joint that is named
    twice, and accelerations.
    """
    points = trajectory.points
    if sorted(trajectory.joints) != sorted(joints):
        return f"got joints {list(trajectory.joints)}, expected each of {list(joints)} once, in any order"
    if not points:
        # Also the real controller's answer: an empty trajectory does not stop it, the old plan goes on.
        return "empty trajectory: at least one point is needed (to stop, send one point at the present position)"
    for index, point in enumerate(points):
        reason = _reason_to_refuse_point(index, point, len(joints))
        if reason is not None:
            return reason
    times = [point.time_from_start_s for point in points]
    for index in range(1, len(times)):
        if times[index] <= times[index - 1]:
            return (
                f"time_from_start must strictly increase: point {index - 1} is at {times[index - 1]:.6f} s, "
                f"point {index} at {times[index]:.6f} s"
            )
    if not allow_final_velocity and any(abs(v) > _ZERO_VELOCITY for v in points[-1].velocities):
        return f"the last point's velocities must be zero, got {list(points[-1].velocities)}"
    if not math.isfinite(trajectory.stamp_s):
        return f"the stamp must be finite, got {trajectory.stamp_s}"
    end_s = trajectory.stamp_s + times[-1]
    if trajectory.stamp_s != 0.0 and end_s < now_s:
        return f"the trajectory ends in the past: it ends at {end_s:.3f} s, now is {now_s:.3f} s"
    return None


def _reason_to_refuse_point(index: int, point: TrajectoryPoint, joint_count: int) -> str | None:
    if point.accelerations or point.effort:
        return f"point {index} has accelerations or effort: this arm takes positions and velocities"
    if len(point.positions) != joint_count:
        return f"point {index} has {len(point.positions)} positions, expected {joint_count}"
    if point.velocities and len(point.velocities) != joint_count:
        return f"point {index} has {len(point.velocities)} velocities, expected {joint_count} or none"
    if not all(math.isfinite(x) for x in (point.time_from_start_s, *point.positions, *point.velocities)):
        return f"point {index} has a non-finite number"
    if point.time_from_start_s < 0.0:
        return f"point {index} is at time_from_start {point.time_from_start_s:.6f} s: it must not be negative"
    return None


def _on_cubic(fraction: Vector, duration_s: Vector, start: MotionState, end: MotionState) -> MotionState:
    """The states at `fraction` 0..1 of the cubic Hermite segments from `start` to `end`, which take `duration_s`."""
    s = fraction
    p0, v0, p1, v1 = start.positions, start.velocities, end.positions, end.velocities
    positions = (
        (2 * s**3 - 3 * s**2 + 1) * p0
        + (s**3 - 2 * s**2 + s) * duration_s * v0
        + (3 * s**2 - 2 * s**3) * p1
        + (s**3 - s**2) * duration_s * v1
    )
    velocities = 6 * (s - s**2) / duration_s * (p1 - p0) + (3 * s**2 - 4 * s + 1) * v0 + (3 * s**2 - 2 * s) * v1
    return MotionState(np.asarray(positions), np.asarray(velocities))
