"""EpisodeFile: writes an episode as an mcap while it is evaluated; Foxglove and Rerun open it directly.

It is an ordinary rosbag2 with ROS 2 messages and their definitions. Every message is recorded at the time that it
describes, so that all lines of a plot share one time axis.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from act_inference_ros.evaluation.episodes.bag_recorder import BagRecorder
from act_inference_ros.evaluation.episodes.messages import (
    CompressedImage,
    JointState,
    Message,
    header,
    trajectory_message,
)
from act_inference_ros.evaluation.export.jpeg import jpeg
from act_inference_ros.evaluation.watch import EpisodeWatch, Floats
from act_inference_ros.interfaces import NANOSECONDS
from act_inference_ros.robot.configuration import RobotConfiguration
from act_inference_ros.spec import Chunk, Observation, PolicySpec

MEASURED, COMMANDED, EXECUTED = "/measured", "/commanded", "/executed"
"""sensor_msgs/JointState with the action's joints in their order: entry i is the same joint in all of them."""
CHUNKS = "/chunks"
"""trajectory_msgs/JointTrajectory, stamped with the time of the observation, recorded when it comes."""
IMAGES = "/images/"
"""sensor_msgs/CompressedImage, below it one topic for each camera."""

BREAK_S = 1e-3
"""This long after the end of a motion comes a row of nan, so that no plot joins the motion to the next one."""


def image_topic(camera: str) -> str:
    """The topic of a camera's images."""
    return IMAGES + re.sub(r"\W", "_", camera, flags=re.ASCII)


class EpisodeFile(EpisodeWatch):
    """A context manager that writes the bag `directory`, which it makes with the first message.

    Raises ConfigurationError if it exists by then or cannot be written, MissingDependencyError without rosbags or
    pillow.
    """

    def __init__(self, directory: Path, spec: PolicySpec, configuration: RobotConfiguration) -> None:
        self._directory = directory
        self._images = spec.images
        self._action = configuration.action
        self._fps = configuration.fps
        self._max_age = configuration.max_age
        self._recorder: BagRecorder | None = None
        self._measured: dict[str, tuple[float, float]] = {}
        self._executed_until: float | None = None

    def __enter__(self) -> EpisodeFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._recorder is not None:
            self._recorder.__exit__(kind, error, trace)

    def observed(self, observation: Observation, stamps: Mapping[str, float]) -> None:
        """Write each camera's image at its own time."""
        for image in self._images:
            data: Any = jpeg(observation[image.key], image.height, image.width)
            time_ns = _nanoseconds(stamps[image.camera])
            message = CompressedImage(header(time_ns, image.camera), "jpeg", np.frombuffer(data, np.uint8))
            self._write(image_topic(image.camera), message, time_ns)

    def predicted(self, chunk: Chunk, t_obs: float, arrival: float) -> None:
        """Write the chunk in ROS units."""
        times, rows = np.arange(len(chunk)) / self._fps, self._action.to_ros(chunk)
        message = trajectory_message(self._action.names, times, rows, _nanoseconds(t_obs), at_rest=False)
        self._write(CHUNKS, message, _nanoseconds(arrival))

    def measured(self, time: float, positions: Mapping[str, float]) -> None:
        """Write the latest measured positions; several messages may each have some of the joints."""
        mine = {name: (time, positions[name]) for name in self._action.names if name in positions}
        if not mine:
            return
        self._measured.update(mine)
        newest = [self._measured.get(name, (-np.inf, np.nan)) for name in self._action.names]
        row = [at if abs(time - when) <= self._max_age else np.nan for when, at in newest]
        self._write_rows(MEASURED, np.array([time]), np.array([row]))

    def executed(self, times: Floats, positions: Floats, starts: bool = False) -> None:
        """Write the executed plan (n, joints), ROS units, at `times` (n,), s; nothing between motions."""
        if starts and self._executed_until is not None:
            nothing = np.full((1, positions.shape[1]), np.nan)
            self._write_rows(EXECUTED, np.array([self._executed_until + BREAK_S]), nothing)
        self._executed_until = float(times[-1])
        self._write_rows(EXECUTED, times, positions)

    def commanded(self, times: Floats, positions: Floats) -> None:
        """Write the commanded positions (n, joints), ROS units, at `times` (n,), s; nan where unknown."""
        self._write_rows(COMMANDED, times, positions)

    def _write_rows(self, topic: str, times: Floats, rows: Floats) -> None:
        names = list(self._action.names)
        for time, row in zip(times.tolist(), rows, strict=True):
            time_ns = _nanoseconds(time)
            self._write(topic, JointState(header(time_ns), names, np.ascontiguousarray(row)), time_ns)

    def _write(self, topic: str, message: Message, time_ns: int) -> None:
        if self._recorder is None:
            self._recorder = BagRecorder(self._directory)
        self._recorder.write(topic, message, time_ns)


def _nanoseconds(time: float) -> int:
    """Return the time in ns, not before 1970, since a bag has no earlier times."""
    return max(0, round(time * NANOSECONDS))
