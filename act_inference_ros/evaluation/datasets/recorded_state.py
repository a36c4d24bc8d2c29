"""RecordedState: the state of a data set's frames in the form of a driver's messages."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt

from act_inference_ros.evaluation.datasets.description import DatasetInfo
from act_inference_ros.evaluation.datasets.stand_in import state_feature
from act_inference_ros.joints import EFFORT, POSITION, VELOCITY, JointBinding, StateBinding
from act_inference_ros.robot.configuration import RobotConfiguration
from act_inference_ros.spec import PolicySpec

_FIELDS = (POSITION, VELOCITY, EFFORT)


class RecordedState:
    """Makes a message of each frame's state, in the units of the configuration's joints.

    `unmeasured` are the joints of the action whose positions are not in the state: when a motion starts, their commands
    are used instead.
    """

    def __init__(self, info: DatasetInfo, spec: PolicySpec, configuration: RobotConfiguration) -> None:
        self._action: JointBinding = configuration.action
        self._feature = state_feature(info, spec)
        self._binding = configuration.state if spec.state_dim is not None else None
        if self._binding is None and self._feature is not None:
            # The policy reads no state. The joints of the action are in it in the same units as in the action.
            known = [joint for joint in self._action.joints if joint.name in self._feature.names]
            self._places = [self._feature.names.index(joint.name) for joint in known]
            self._binding = StateBinding.of_positions(known) if known else None
        else:
            self._places = list(range(len(self._binding))) if self._binding is not None else []
        entries = self._binding.entries if self._binding is not None else ()
        self._entries = [(entry.joint.name, entry.field) for entry in entries]
        self._measured = [name for name, field in self._entries if field == POSITION]
        self.unmeasured = tuple(name for name in self._action.names if name not in self._measured)
        self._commands = [self._action.names.index(name) for name in self.unmeasured]
        self._names = list(dict.fromkeys([*(name for name, _ in self._entries), *self.unmeasured]))
        self._place = {name: i for i, name in enumerate(self._names)}
        self._present = {POSITION, *(field for _, field in self._entries)}

    def message(self, vectors: Mapping[str, npt.NDArray[Any]], command: npt.NDArray[np.float64]) -> SimpleNamespace:
        """Return the message that a driver would publish for a frame with these vectors (feature -> numbers).

        `command` (n,) is the frame's action in ROS units. A field that the state does not have is empty.
        """
        rows = {field: np.full(len(self._names), np.nan) for field in self._present}
        if self._binding is not None and self._feature is not None:
            values = self._binding.to_ros(vectors[self._feature.key][self._places])
            for (name, field), value in zip(self._entries, values, strict=True):
                rows[field][self._place[name]] = value
        for name, at in zip(self.unmeasured, self._commands, strict=True):
            rows[POSITION][self._place[name]] = command[at]
        return SimpleNamespace(
            name=self._names, **{field: rows[field].tolist() if field in rows else [] for field in _FIELDS}
        )

    def measured_in(self, message: SimpleNamespace) -> dict[str, float]:
        """Joint -> position of the joints that were measured, in a message that `message` made."""
        positions = dict(zip(message.name, message.position, strict=True))
        return {name: positions[name] for name in self._measured}
