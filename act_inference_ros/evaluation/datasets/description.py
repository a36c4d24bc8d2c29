"""DatasetInfo: what meta/info.json says, checked strictly: version, rate, features, and where the files are.

The layouts are those of `utils.py` and `dataset_metadata.py` in LeRobot's folder `lerobot/datasets` (v3.0, release
0.6.1), and of `utils.py` there in release 0.3.3 (v2.1).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from act_inference_ros.errors import ConfigurationError
from act_inference_ros.evaluation.datasets.features import VIDEO, Feature, read_features
from act_inference_ros.evaluation.datasets.reading import dataset_error

INFO = "meta/info.json"
V21, V30 = "v2.1", "v3.0"
VERSIONS = (V21, V30)
DATA_PATHS = {
    V21: "data/chunk-{episode_chunk:03d}/episode_{episode_index:06d}.parquet",
    V30: "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet",
}
VIDEO_PATHS = {
    V21: "videos/chunk-{episode_chunk:03d}/{video_key}/episode_{episode_index:06d}.mp4",
    V30: "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4",
}
FIELDS = {V21: ("episode_chunk", "episode_index"), V30: ("chunk_index", "file_index")}
VIDEO_KEY = "video_key"
DEFAULT_CHUNKS_SIZE = 1000
LOWEST_FPS, HIGHEST_FPS = 0.1, 1000.0
"""Bounds of the rate, as for the node's parameter `fps`."""
MOST_INFO_BYTES = 1 << 22
"""Largest info.json; one of a humanoid with ten cameras has about ten kilobytes."""
MOST_EPISODES = 500_000
"""Most episodes of a data set; the largest that are published have a tenth to nine tenths of it."""
LONGEST_TEMPLATE = 1000
"""Most characters of a path in info.json."""
_FIELD = re.compile(r"\{([a-z_]+)(?::0(\d)d)?\}")


@dataclass(frozen=True)
class PathTemplate:
    """A path of info.json with fields such as `{episode_index:06d}`, relative to the data set's directory.

    It is filled in here and not by `str.format`, because a hostile template could misuse that.
    """

    name: str
    text: str
    fields: tuple[str, ...]

    def __post_init__(self) -> None:
        """Raise ConfigurationError for an unknown field, and a path that is too long or leaves the directory."""
        if len(self.text) > LONGEST_TEMPLATE:
            raise dataset_error(self.name, f"a path of at most {LONGEST_TEMPLATE} characters", f"{len(self.text)}")
        unknown = [field for field, _ in _FIELD.findall(self.text) if field not in self.fields]
        rest = _FIELD.sub("", self.text)
        if unknown or "{" in rest or "}" in rest:
            known = ", ".join(f"{{{field}}}" for field in self.fields)
            raise dataset_error(self.name, f"a path with no other fields than {known}", repr(self.text))
        self._checked(rest or ".")

    def filled(self, **values: int | str) -> PurePosixPath:
        """The path for these values of the fields. Raises ConfigurationError if it leaves the directory."""

        def value(found: re.Match[str]) -> str:
            name, width = found.groups()
            given = values[name]
            return str(given).zfill(int(width)) if width else str(given)

        return self._checked(_FIELD.sub(value, self.text))

    def _checked(self, text: str) -> PurePosixPath:
        path = PurePosixPath(text)
        if path.is_absolute() or ".." in path.parts or "\\" in text or not text.isprintable():
            raise dataset_error(self.name, "a path inside the data set's directory", repr(text))
        return path


@dataclass(frozen=True)
class DatasetInfo:
    """A data set's description. `fps` is frames per second; `features` by key; `root` the directory."""

    root: Path
    version: str
    fps: float
    total_episodes: int
    chunks_size: int
    features: Mapping[str, Feature]
    data_path: PathTemplate
    video_path: PathTemplate

    @property
    def videos(self) -> list[str]:
        """The keys of the cameras whose frames are in videos."""
        return [key for key, feature in self.features.items() if feature.dtype == VIDEO]


def is_dataset(path: Path) -> bool:
    """Whether there is a LeRobot data set in the directory."""
    return (path / INFO).is_file()


def read_info(root: Path) -> DatasetInfo:
    """Read and check meta/info.json. Raises ConfigurationError that names what is wrong in it."""
    path = root / INFO
    if not path.is_file():
        raise ConfigurationError(f"data set {root}: no LeRobot data set here, expected {INFO} in it")
    given = _read_object(path)
    version = given.get("codebase_version")
    if version not in VERSIONS:
        wanted = " or ".join(VERSIONS)
        raise dataset_error(f"{path}: codebase_version", f"{wanted} (LeRobot converts others)", repr(version))
    names = FIELDS[version]
    return DatasetInfo(
        root=root,
        version=version,
        fps=_fps(path, given.get("fps")),
        total_episodes=_whole(path, "total_episodes", given.get("total_episodes"), 0, MOST_EPISODES),
        chunks_size=_whole(path, "chunks_size", given.get("chunks_size", DEFAULT_CHUNKS_SIZE), 1),
        features=read_features(path, given.get("features")),
        data_path=_template(path, "data_path", given.get("data_path"), DATA_PATHS[version], names),
        video_path=_template(path, "video_path", given.get("video_path"), VIDEO_PATHS[version], (*names, VIDEO_KEY)),
    )


def _read_object(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            content = file.read(MOST_INFO_BYTES + 1)
        given = json.loads(content.decode("utf-8")) if len(content) <= MOST_INFO_BYTES else None
    except (OSError, ValueError, RecursionError) as error:
        raise dataset_error(path, "a readable JSON file", error) from error
    if not isinstance(given, dict):
        got = f"more than {MOST_INFO_BYTES} bytes" if given is None else type(given).__name__
        raise dataset_error(path, "a JSON object", got)
    return given


def _fps(path: Path, fps: Any) -> float:
    number = isinstance(fps, (int, float)) and not isinstance(fps, bool)
    if not number or not LOWEST_FPS <= fps <= HIGHEST_FPS:
        raise dataset_error(f"{path}: fps", f"a number from {LOWEST_FPS:g} to {HIGHEST_FPS:g}", repr(fps))
    return float(fps)


def _whole(path: Path, name: str, value: Any, least: int, most: int = 2**31 - 1) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise dataset_error(f"{path}: {name}", f"a whole number from {least} to {most}", repr(value))
    return value


def _template(path: Path, name: str, given: Any, default: str, fields: tuple[str, ...]) -> PathTemplate:
    if given is None:  # data sets without videos have null here
        given = default
    if not isinstance(given, str):
        raise dataset_error(f"{path}: {name}", "a path", repr(given))
    return PathTemplate(f"{path}: {name}", given, fields)
