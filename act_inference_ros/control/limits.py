"""TargetLimiter: position and velocity limits, applied to targets on their way to the arm."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from act_inference_ros.errors import BadOutputError, ObservationError
from act_inference_ros.joints import Joint

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class LimitedTargets:
    """Safe targets (n, n_joints) in ROS units, and how many of the n * n_joints values each clamp changed."""

    positions: Floats
    clamped_position: int
    clamped_velocity: int


class TargetLimiter:
    """Clamps targets to each joint's position limits, then to its velocity limit, step by step from where the arm is.

    The velocity clamp also turns a far first target into a slow approach. A joint that starts outside its position
    limits is not thrown back inside but approaches them at `max_velocity`. Stateless.
    """

    def __init__(self, joints: Sequence[Joint]) -> None:
        self.joints = tuple(joints)
        self._minimum = np.array([-np.inf if joint.minimum is None else joint.minimum for joint in self.joints])
        self._maximum = np.array([np.inf if joint.maximum is None else joint.maximum for joint in self.joints])
        self._max_velocity = np.array([joint.max_velocity for joint in self.joints])

    @property
    def unlimited_joints(self) -> tuple[str, ...]:
        """Names of the joints that lack a minimum or a maximum."""
        return tuple(joint.name for joint in self.joints if joint.minimum is None or joint.maximum is None)

    def limit(
        self, times: npt.ArrayLike, targets: npt.ArrayLike, start_time: float, start_position: npt.ArrayLike
    ) -> LimitedTargets:
        """Limit `targets` (n, n_joints) at `times` (n,), coming from `start_position` (n_joints,) at `start_time`.

        Positions in ROS units, times in s, increasing and not before `start_time` (ValueError otherwise). Raises
        BadOutputError for targets, ObservationError for a start position, that are non-finite or of another shape.
        """
        instants = np.asarray(times, dtype=np.float64)
        wanted = np.asarray(targets, dtype=np.float64)
        position = np.asarray(start_position, dtype=np.float64)
        if wanted.shape != (len(instants), len(self.joints)) or not np.isfinite(wanted).all():
            raise BadOutputError(
                f"targets: expected finite numbers ({len(instants)}, {len(self.joints)}), got {wanted.shape}"
                + ("" if np.isfinite(wanted).all() else " with a non-finite one")
            )
        if position.shape != (len(self.joints),) or not np.isfinite(position).all():
            raise ObservationError(f"start position: expected {len(self.joints)} finite numbers, got {position}")
        elapsed = np.diff(instants, prepend=start_time)
        if not (np.isfinite(elapsed).all() and (elapsed >= 0.0).all()):
            raise ValueError(f"times must be finite, increasing and not before {start_time}, got {instants}")
        allowed = np.clip(wanted, self._minimum, self._maximum)
        reach = elapsed[:, None] * self._max_velocity
        limited = allowed.copy()
        if (np.abs(np.diff(allowed, axis=0, prepend=position[None])) > reach).any():
            for i in range(len(instants)):
                position = np.clip(allowed[i], position - reach[i], position + reach[i])
                limited[i] = position
        return LimitedTargets(
            positions=limited,
            clamped_position=int(np.count_nonzero(allowed != wanted)),
            clamped_velocity=int(np.count_nonzero(limited != allowed)),
        )
