"""Compares two runs: the difference of their chunks, and the settings that differ."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from act_inference_ros.errors import ConfigurationError
from act_inference_ros.evaluation.results import EvaluationResult
from act_inference_ros.evaluation.runs import Run
from act_inference_ros.program.regular_files import read_regular

MOST_METRICS_BYTES = 2**28
"""Largest metrics.json that is read. An episode of two arms takes about four megabytes of it, however long it is."""
SAME_TIME_S = 1e-6
"""Observations closer than this count as the same."""

_NOT_SETTINGS = ("created", "package_version")


@dataclass(frozen=True)
class ChunkDifference:
    """The largest difference between two runs' chunks for the same observations, of which both kept `count`."""

    count: int
    max_ros_units: float
    joint: str
    episode: str

    @property
    def text(self) -> str:
        """One line for people."""
        if not self.count:
            return "no chunk of one run has the same observation as one of the other"
        return (
            f"largest difference of {self.count} chunks of the same observations: {self.max_ros_units:.2g} rad or m "
            f"({self.joint}, {self.episode})"
        )


def read_metrics(path: Path) -> EvaluationResult:
    """Read a metrics.json, or the one in a directory. Raises ConfigurationError if there is none."""
    file = path / "metrics.json" if path.is_dir() else path
    try:
        text = read_regular(file, MOST_METRICS_BYTES).decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise ConfigurationError(f"--compare {path}: cannot be read: {reason}; give a metrics.json") from error
    return EvaluationResult.from_json(text)


def chunk_difference(first: Run, second: Run) -> ChunkDifference:
    """Compare the chunks that both runs kept, by episode and observation time."""
    ours, theirs = _chunks(first), _chunks(second)
    joints = first.result.settings.joints
    found = ChunkDifference(0, 0.0, "", "")
    for name in ours.keys() & theirs.keys():
        for time, rows in ours[name]:
            other = next((rows for t, rows in theirs[name] if abs(t - time) <= SAME_TIME_S), None)
            if other is None or other.shape != rows.shape:
                continue
            difference = np.abs(other - rows).max(axis=0)
            worst = int(difference.argmax())
            largest = float(difference[worst])
            better = found if found.count and largest <= found.max_ros_units else None
            joint = joints[worst] if worst < len(joints) else str(worst)
            best = (better.max_ros_units, better.joint, better.episode) if better else (largest, joint, name)
            found = ChunkDifference(found.count + 1, *best)
    return found


def differing_settings(first: EvaluationResult, second: EvaluationResult) -> dict[str, tuple[Any, Any]]:
    """Return name -> both values of the settings in which two runs differ, except `mode` and times."""
    one, other = asdict(first.settings), asdict(second.settings)
    return {
        name: (one[name], other[name])
        for name in one
        if name not in _NOT_SETTINGS and str(one[name]) != str(other[name])
    }


def _chunks(run: Run) -> dict[str, list[tuple[float, np.ndarray[Any, Any]]]]:
    """Episode's name -> (time, rows) of its chunks."""
    if run.episodes:
        return {
            f"episode {each.index + 1}": [(chunk.t_obs, chunk.ros_rows) for chunk in each.chunks]
            for each in run.episodes
        }
    return {
        episode.name: [(chunk.t_s, np.asarray(chunk.rows)) for chunk in episode.series.chunks]
        for episode in run.result.episodes
    }
