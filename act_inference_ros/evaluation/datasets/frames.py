"""EpisodeFrames: the frames of one episode, one at a time: images, state and action."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt

from act_inference_ros.errors import ConfigurationError
from act_inference_ros.evaluation.datasets.description import DatasetInfo
from act_inference_ros.evaluation.datasets.episode_entry import EpisodeEntry, VideoPart
from act_inference_ros.evaluation.datasets.features import VIDEO, Feature
from act_inference_ros.evaluation.datasets.index import existing
from act_inference_ros.evaluation.datasets.reading import Unreadable
from act_inference_ros.evaluation.datasets.tables import Row, episode_rows
from act_inference_ros.evaluation.datasets.video import VideoFrames

TOLERANCE_S = 1e-4
"""Largest error of the time of a row or of a video's frame: `tolerance_s` of LeRobotDataset."""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Frame:
    """Frame `index` of an episode, `time_s` = index / fps after its first.

    `vectors` by key, (n,) in the data set's units. `images` by key, shaped like sensor_msgs/Image (frames of videos) or
    CompressedImage (images in the table).
    """

    index: int
    time_s: float
    vectors: Mapping[str, Floats]
    images: Mapping[str, Any]


class EpisodeFrames:
    """Reads an episode; a context manager. Memory holds one frame of each camera and a few rows.

    `problems` says which parts cannot be read; it may grow until `frames` has ended.
    """

    def __init__(self, info: DatasetInfo, entry: EpisodeEntry, keys: Sequence[str]) -> None:
        self.problems: list[str] = []
        self._info = info
        self._entry = entry
        features = [info.features[key] for key in keys]
        self._vectors = [each for each in features if not each.is_image]
        self._pictures = [each for each in features if each.is_image and each.dtype != VIDEO]
        self._filmed = [each for each in features if each.dtype == VIDEO]
        self._parts: dict[str, VideoPart] = {}
        self._videos: dict[str, VideoFrames] = {}

    def __enter__(self) -> EpisodeFrames:
        return self

    def __exit__(self, *_: object) -> None:
        while self._videos:
            self._videos.popitem()[1].close()

    def frames(self) -> Iterator[Frame]:
        """Yield the frames up to the first unreadable one, which is noted in `problems`.

        Raises MissingDependencyError without pyarrow, or without PyAV where there are videos.
        """
        read = 0
        try:
            for row in self._rows():
                yield self._frame(row, read)
                read += 1
        except (Unreadable, ConfigurationError) as error:
            whole = self._entry.length
            self.problems.append(f"{error}; {read} of {whole} frames can be read" if read else str(error))
            return
        if read < self._entry.length:
            self.problems.append(f"the data ends after {read} of the {self._entry.length} frames that meta/ promises")

    def _rows(self) -> Iterator[Row]:
        data = self._entry.files.data()
        path = existing(self._info, data)
        if path is None:
            raise Unreadable(f"{data}: no such file in the data set")
        first: Row | None = None
        for number, row in enumerate(episode_rows(path, self._entry.index, self._vectors, self._pictures)):
            first = first or row
            if number >= self._entry.length:
                raise Unreadable(f"{path}: more rows than the {self._entry.length} frames that meta/ promises")
            if row.frame_index != number:
                raise Unreadable(f"{path}: expected frame_index {number}, got {row.frame_index}")
            since = row.timestamp - first.timestamp
            if not abs(since - number / self._info.fps) <= _tolerance_s(row.timestamp):
                raise Unreadable(
                    f"{path}: frame {number} is stamped {since:.4f} s after the first; at the {self._info.fps:g} fps "
                    f"of info.json it would be {number / self._info.fps:.4f} s"
                )
            yield row

    def _frame(self, row: Row, number: int) -> Frame:
        pictures = {key: SimpleNamespace(format="png", data=data) for key, data in row.images.items()}
        films = {each.key: self._video_frame(each, row.timestamp) for each in self._filmed}
        return Frame(number, number / self._info.fps, row.vectors, {**pictures, **films})

    def _video_frame(self, feature: Feature, timestamp: float) -> Any:
        height, width, _ = feature.image_shape
        if feature.key not in self._parts:
            self._parts[feature.key] = self._entry.files.video(feature.key)
        part = self._parts[feature.key]
        if feature.key not in self._videos:
            path = existing(self._info, part.path)
            if path is None:
                raise Unreadable(f"{part.path}: no such file in the data set")
            self._videos[feature.key] = VideoFrames(path, height, width, part.from_s)
        pixels = self._videos[feature.key].at(part.from_s + timestamp, _tolerance_s(timestamp))
        # Flat, because `len` of an image message's data counts bytes.
        return SimpleNamespace(height=height, width=width, encoding="rgb8", step=3 * width, data=pixels.reshape(-1))


def _tolerance_s(timestamp: float) -> float:
    """LeRobot keeps timestamps as float32, which are coarser than its tolerance after a quarter of an hour."""
    if not abs(timestamp) < np.finfo(np.float32).max:
        return TOLERANCE_S
    return TOLERANCE_S + float(np.spacing(np.float32(abs(timestamp))))
