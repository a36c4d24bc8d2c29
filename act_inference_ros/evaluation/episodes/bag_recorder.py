"""Writes the messages of a simulated episode as a bag."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from act_inference_ros.evaluation.episodes.bag_writer import BagWriter
from act_inference_ros.evaluation.episodes.messages import CompressedImage, Image, Message


class BagRecorder:
    """A context manager; `write` is a `Publish` of an episode. The bag is complete when the block ends.

    Messages go to the disk as they come, so that memory does not grow with the episode.

    Raises ConfigurationError if `directory` exists or cannot be written, MissingDependencyError without rosbags.
    """

    def __init__(self, directory: Path) -> None:
        self._writer = BagWriter(directory)
        self._store = self._writer.store

    def write(self, topic: str, message: Message, time_ns: int) -> None:
        """Append a message that was published at `time_ns`. Raises ConfigurationError if it cannot be written."""
        self._writer.add(topic, message.TYPE, best_effort=isinstance(message, (Image, CompressedImage)))
        self._writer.write(topic, time_ns, self._store.serialize_cdr(self._ros(message), message.TYPE))

    def __enter__(self) -> BagRecorder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writer.__exit__(kind, error, trace)

    def _ros(self, value: Any) -> Any:
        """Return the same message in rosbags' types."""
        if isinstance(value, np.ndarray):
            return np.ascontiguousarray(value)
        if isinstance(value, list):
            return [self._ros(each) for each in value]
        kind = getattr(value, "TYPE", None)
        if kind is None:
            return value
        fields = {name: self._ros(each) for name, each in vars(value).items()}
        return self._store.types[kind](**fields)
