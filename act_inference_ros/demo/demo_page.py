"""demo.html: the film of a demo's episodes, plan against measured, smoothness, latency, and where to go next.

One file with everything in it, that opens from disk without a network. All of it is made of what passed on the topics.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from act_inference_ros.demo.figures import Figures
from act_inference_ros.demo.film import Camera
from act_inference_ros.demo.recording import JOINTS, DemoRecording, Episode
from act_inference_ros.errors import ConfigurationError
from act_inference_ros.evaluation.report.html_report import stylesheet
from act_inference_ros.evaluation.report.markup import data_uri, safe, table
from act_inference_ros.evaluation.report.summary import NOTHING, figure
from act_inference_ros.interfaces import NANOSECONDS
from act_inference_ros.simulation.success import success_line

PAGE = "demo.html"

MOST_FILM_BYTES = 5_000_000
"""Of pictures, as text; the episodes that come later have no film."""
MOST_SHOWN = 60
"""Episodes with a film and plots; of the others stands how they ended."""

_POINTS = 200
"""Of one line of a plot, at most."""
_DIGITS = 4
_LATENCY = {
    "inference time p50 [ms]": "median inference",
    "inference time p95 [ms]": "95 % of inferences within",
    "observation age p50 [ms]": "median age of a chunk's observation",
    "observation age p95 [ms]": "95 % of these ages within",
}
"""What the node says in /diagnostics -> its name on the page."""

Json = dict[str, Any]


def write_page(
    path: Path,
    recording: DemoRecording,
    policy: str,
    evaluate: str,
    check: Callable[[], None],
    say: Callable[[str], None],
) -> None:
    """Write the page of one run.

    Args:
        path: the file.
        recording: of the run.
        policy: who drove the arm, in words.
        evaluate: the command that evaluates the recording.
        check: called between pictures; may raise to stop.
        say: takes progress, for people.

    Raises ConfigurationError if `path` cannot be written, MissingDependencyError without pillow, rosbags or OpenGL.
    """
    figures = Figures()
    shown: list[Json] = []
    say(f"drawing the film of {min(len(recording.outcomes), MOST_SHOWN)} episodes (--no-page leaves it out)")
    room = MOST_FILM_BYTES
    with Camera() as camera:
        for episode in recording.episodes():
            figures.add(episode)
            if room > 0 and len(shown) < MOST_SHOWN:
                shown.append(_shown(episode, camera, len(recording.outcomes), check))
                room -= sum(len(uri) for _, uri in shown[-1]["frames"])
    try:
        path.write_text(_render(recording, figures, shown, policy, evaluate), encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(f"cannot write {path}: {error.strerror}") from error


def _shown(episode: Episode, camera: Camera, episodes: int, check: Callable[[], None]) -> Json:
    """What the page plays and plots of an episode."""
    frames = []
    for time_s, picture in camera.frames(episode):
        check()
        frames.append((round(time_s, 3), data_uri(*camera.still(picture))))
    return {
        "index": episode.outcome.index,
        "success": episode.outcome.success,
        "line": episode.outcome.line(episodes),
        "duration_s": episode.outcome.duration_s,
        "frames": frames,
        "told": _lines(episode, episode.told),
        "measured": _lines(episode, episode.measured),
    }


def _lines(episode: Episode, rows: Mapping[int, Any]) -> Json:
    """Times in s, and for each joint its positions then."""
    times = sorted(rows)
    times = times[:: max(1, -(-len(times) // _POINTS))]
    positions = np.array([rows[time] for time in times]).reshape(len(times), len(JOINTS))
    return {
        "times": [round((time - episode.begin_ns) / NANOSECONDS, 3) for time in times],
        "joints": {joint: positions[:, j].round(_DIGITS).tolist() for j, joint in enumerate(JOINTS)},
    }


def _render(recording: DemoRecording, figures: Figures, shown: list[Json], policy: str, evaluate: str) -> str:
    data = {"joints": list(JOINTS), "episodes": shown}
    parts = {
        "css": stylesheet() + _file("demo.css"),
        "summary": safe(_summary(recording)),
        "policy": safe(policy),
        "evaluate": safe(evaluate),
        "cards": _cards(recording),
        "plots": "".join(f'<div class="box plot" data-joint="{joint}"></div>' for joint in JOINTS),
        "figures": _figures(figures),
        "episodes": _episodes(recording, len(shown)),
        # "</script>" in a name must not end the element.
        "data": json.dumps(data, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c"),
        "js": _file("demo.js"),
    }
    return re.sub(f"@({'|'.join(parts)})@", lambda match: parts[match[1]], _file("demo.html"))


def _summary(recording: DemoRecording) -> str:
    return success_line(sum(outcome.success for outcome in recording.outcomes), len(recording.outcomes))


def _cards(recording: DemoRecording) -> str:
    """What the node said last of its inference; a line that it said nothing, if so."""
    said = [(name, recording.latency.get(key)) for key, name in _LATENCY.items()]
    if not any(value for _, value in said):
        return '<p class="note">The policy node told no times: the run was too short for its diagnostics.</p>'
    cards = "".join(
        f'<div class="card"><div class="name">{name}</div><div class="value">{safe(value or NOTHING)} <small>ms</small>'
        "</div></div>"
        for name, value in said
    )
    return f'<div class="cards">{cards}</div>'


def _figures(figures: Figures) -> str:
    deviation = figures.deviation()
    lines = [
        [
            joint,
            *(
                figure(value)
                for value in (
                    each.largest_step_ros_units,
                    each.peak_acceleration_ros_units_per_s2,
                    each.rms_jerk_ros_units_per_s3,
                    each.mean_jerk_ros_units_per_s3,
                    each.sparc,
                    *deviation[joint],
                )
            ),
        ]
        for joint, each in figures.smoothness().items()
    ]
    columns = ["largest step", "peak acc.", "RMS jerk", "mean jerk", "SPARC", "told - measured, RMS", "largest"]
    lost = f'<p class="note">{figures.lost} cycles were not recorded.</p>' if figures.lost else ""
    return f'<div class="box scroll">{table(["joint", *columns], lines)}</div>{lost}'


def _episodes(recording: DemoRecording, shown: int) -> str:
    lines = [
        [
            str(outcome.index),
            "lifted" if outcome.success else "not lifted",
            f"{outcome.duration_s:.1f}",
            str(outcome.refused_commands),
            str(outcome.stops),
        ]
        for outcome in recording.outcomes
    ]
    fewer = f"<p class='note'>The film shows the first {shown} episodes.</p>" if shown < len(lines) else ""
    header = ["episode", "outcome", "after, s", "commands refused", "stops of the policy"]
    return f'<div class="box scroll">{table(header, lines)}</div>{fewer}'


def _file(name: str) -> str:
    return (resources.files("act_inference_ros.demo") / "page" / name).read_text(encoding="utf-8")
