"""EpisodeFiles: the directory of exported episodes, one bag each, with a layout to view them."""

from __future__ import annotations

import json
import re
from pathlib import Path

from act_inference_ros.black_box.bag import new_bag
from act_inference_ros.errors import ConfigurationError
from act_inference_ros.evaluation.export.episode_file import (
    COMMANDED,
    EXECUTED,
    MEASURED,
    EpisodeFile,
    image_topic,
)
from act_inference_ros.evaluation.export.foxglove import Line, layout
from act_inference_ros.evaluation.export.jpeg import EXPORTED
from act_inference_ros.evaluation.pictures import pillow
from act_inference_ros.robot.configuration import RobotConfiguration
from act_inference_ros.spec import PolicySpec

LAYOUT = "foxglove_layout.json"
"""Written beside the episodes."""


def make_directory(directory: Path) -> None:
    """Make the directory of an export. Raises ConfigurationError if there is something in it, or it cannot be made.

    Raises MissingDependencyError without what the export needs.
    """
    pillow(EXPORTED)
    new_bag(directory / "episode")
    try:
        directory.mkdir(parents=True, exist_ok=True)
        full = any(directory.iterdir())
    except OSError as error:
        raise ConfigurationError(f"--mcap {directory}: cannot be made: {error}") from error
    if full:
        raise ConfigurationError(f"--mcap {directory}: there are files in it; name a new directory, or empty that one")


class EpisodeFiles:
    """A `WatchEpisode` that writes each episode of one mode as DIR/<name>_<mode>.

    Raises ConfigurationError if the layout cannot be written.
    """

    def __init__(self, directory: Path, mode: str, spec: PolicySpec, configuration: RobotConfiguration) -> None:
        self._directory = directory
        self._mode = mode
        self._spec = spec
        self._configuration = configuration
        self._used: set[str] = set()
        try:
            text = json.dumps(episode_layout(spec, configuration), indent=1)
            (directory / LAYOUT).write_text(text + "\n", encoding="utf-8")
        except OSError as error:
            raise ConfigurationError(f"cannot write {directory / LAYOUT}: {error}") from error

    def __call__(self, name: str) -> EpisodeFile:
        """Return what writes the episode called `name`; two of the same name get different directories."""
        wanted = f"{re.sub(r'[^A-Za-z0-9.-]+', '_', name)}_{self._mode}"
        found, number = wanted, 1
        while found in self._used:
            number += 1
            found = f"{wanted}_{number}"
        self._used.add(found)
        return EpisodeFile(self._directory / found, self._spec, self._configuration)


def episode_layout(spec: PolicySpec, configuration: RobotConfiguration) -> dict[str, object]:
    """Return a layout with measured, commanded and executed positions, a plot per joint, beside the images."""
    names = {"measured": MEASURED, "commanded": COMMANDED, "executed": EXECUTED}
    plots = {
        joint: [Line(label, f"{topic}.position[{place}]") for label, topic in names.items()]
        for place, joint in enumerate(configuration.action.names)
    }
    return layout([image_topic(camera) for camera in spec.cameras], plots)
