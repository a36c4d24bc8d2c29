"""The sections of the report as HTML. Every text from outside is escaped."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict

from act_inference_ros.evaluation.report.compare import chunk_difference, differing_settings
from act_inference_ros.evaluation.report.joint_section import joint_chooser
from act_inference_ros.evaluation.report.markup import bullets, data_uri, safe, table
from act_inference_ros.evaluation.report.report_data import Json, failures_first, outcome, worst_first
from act_inference_ros.evaluation.report.summary import (
    Number,
    figure,
    of_episodes,
    rows,
)
from act_inference_ros.evaluation.results import COMPLETE, Thumbnail
from act_inference_ros.evaluation.runs import Run
from act_inference_ros.evaluation.statistics import pooled

_COLOURS = ("first", "second")
EPISODES_LISTED = 200
THUMBNAILS_SHOWN = 12
ROS_UNITS = "policy = 1 * ros + 0"


def heading(runs: Sequence[Run]) -> str:
    """Title, status, what was evaluated."""
    settings = runs[0].result.settings
    status = next((run.result.status for run in runs if run.result.status != COMPLETE), COMPLETE)
    bags = len(runs[0].result.episodes)
    what = f"{bags} recorded bag{'s' * (bags != 1)}" if settings.bags else "demo simulator"
    if settings.dataset:
        what = f"{bags} episode{'s' * (bags != 1)} of the data set <code>{safe(settings.dataset)}</code>"
    created = settings.created.replace("T", " ").replace("+00:00", " UTC")
    names = " against ".join(f"<code>{safe(run.result.settings.policy)}</code> ({safe(run.label)})" for run in runs)
    return (
        f'<header><h1>Policy evaluation</h1><span class="badge {safe(status)}">{safe(status)}</span></header>'
        f'<p class="lead">{names} · {what} · {safe(created)}</p>{_keys(runs)}{_reasons(runs)}'
    )


def cards(runs: Sequence[Run]) -> str:
    """The most important numbers."""
    made = [_card(name, found, len(runs) > 1) for name, found in rows([run.result for run in runs])]
    return f'<section class="cards">{"".join(made)}</section>'


def findings(runs: Sequence[Run]) -> str:
    """Systematic differences, if any."""
    found = [
        (f"{run.label}: " if len(runs) > 1 else "") + each.text
        for run in runs
        for each in (run.result.total.findings if run.result.total else ())
    ]
    if not found:
        return ""
    return f'<div class="box callout"><h3>Look at this first</h3>{bullets(found)}</div>'


def comparison(runs: Sequence[Run]) -> str:
    """How far apart two runs are, and which settings differ."""
    if len(runs) < 2:
        return ""
    differing = differing_settings(runs[0].result, runs[1].result)
    settings = table(
        ["setting", *(run.label for run in runs)],
        [[name, str(first), str(second)] for name, (first, second) in differing.items()],
        "left",
    )
    difference = chunk_difference(runs[0], runs[1]).text
    return f'<h2>The two runs</h2><p class="lead">{safe(difference[0].upper() + difference[1:])}.</p>' + (
        f'<div class="box scroll">{settings}</div>' if differing else ""
    )


def motion(runs: Sequence[Run], data: Json) -> str:
    """The joints' plots, for one episode at a time."""
    if not data["episodes"]:
        return ""
    options = "".join(
        f'<option value="{i}">{safe(each["name"])}: {safe(next(run["verdict"] for run in each["runs"] if run))}'
        for i, each in enumerate(data["episodes"])
    )
    plots = "".join(
        f'<div class="box" data-joint="{i}"><h3>{safe(joint)}</h3><div class="plot" id="joint-{i}"></div></div>'
        for i, joint in enumerate(data["joints"])
    )
    simulated = any(run.episodes for run in runs)
    reference = ("dots", "measured on the arm") if simulated else ("black", "commanded when it was recorded")
    keys = (("", "plan as executed, after merging and limits"), ("pale", "chunks it was made of"), reference)
    legend = "".join(f'<span class="key"><i class="{kind}"></i>{text}</span>' for kind, text in keys)
    title = "What the arm was told" if simulated else "Predicted against commanded"
    return (
        f"<h2>{title}</h2><p>{legend}</p>"
        f'<div class="chooser"><label for="episode">Episode</label><select id="episode">{options}</select></div>'
        f'{joint_chooser(data)}<div class="grid">{plots}</div>'
    )


def horizon(data: Json) -> str:
    """Error against how far ahead was predicted."""
    if not data["horizon"]:
        return ""
    return (
        "<h2>Error against horizon</h2>"
        '<p class="note">Mean error of the raw chunks, by how far after its observation a target lies. What is '
        "executed is mostly the beginning; a steep rise asks for chunks more often.</p>"
        '<div class="box"><div class="plot tall" id="horizon"></div></div>'
    )


def latency(data: Json) -> str:
    """Inference times."""
    if not data["latency"]:
        return ""
    return (
        '<h2>Inference time</h2><p class="note">From observation to checked chunk, as the node would have waited; '
        "the last bar of the histogram holds everything beyond it.</p>"
        '<div class="grid"><div class="box"><div class="plot" id="latency"></div></div>'
        '<div class="box"><div class="plot" id="latency-time"></div></div></div>'
    )


def simulation(runs: Sequence[Run], data: Json) -> str:
    """Films and heights of simulated episodes."""
    films = [
        f'<figure class="box"><img alt="{safe(film.caption)}" src="{data_uri("gif", film.gif)}">'
        f"<figcaption>{safe((run.label + ': ') * (len(runs) > 1) + film.caption)}</figcaption></figure>"
        for run in runs
        for film in run.films
    ]
    shown = f'<h2>Best and worst episode</h2><div class="films">{"".join(films)}</div>' if films else ""
    if data["height"]:
        shown += (
            '<h2>The cube</h2><p class="note">Its height in every episode; red: not lifted.</p>'
            '<div class="box"><div class="plot tall" id="height"></div></div>'
        )
    return shown


def episodes(runs: Sequence[Run]) -> str:
    """Every episode, the worst first."""
    header, lines = ["episode", "run", "result", "chunks", "refused"], []
    for run in runs:
        for each in failures_first(run.episodes):
            lines.append(
                [f"episode {each.index + 1}", run.label, outcome(each), len(each.chunks), each.refused.total()]
            )
        for bag in worst_first(run.result.episodes):
            error = pooled(bag.metrics.chunk_error).mae_ros_units
            told = "; ".join((*bag.reasons, *bag.notes))
            result = f"mean error {figure(error)}" + (f" ({bag.status})" if bag.status != COMPLETE else "")
            refused = sum(bag.metrics.refused.values())
            lines.append([bag.name, run.label, f"{result} {told}".strip(), bag.metrics.chunks, refused])
    if not lines:
        return ""
    more = f'<p class="note">and {len(lines) - EPISODES_LISTED} more</p>' if len(lines) > EPISODES_LISTED else ""
    made = table(header, [[str(cell) for cell in line] for line in lines[:EPISODES_LISTED]], "wide")
    return f'<h2>Episodes</h2><div class="box scroll">{made}</div>{more}'


def thumbnails(runs: Sequence[Run]) -> str:
    """The cameras' images at the peaks of the error."""
    found = [
        (episode.name, thumbnail)
        for run in runs
        for episode in run.result.episodes
        for thumbnail in episode.series.thumbnails
    ]
    found.sort(key=lambda pair: -pair[1].error_ros_units)
    shown = [_thumbnail(name, thumbnail) for name, thumbnail in found[:THUMBNAILS_SHOWN]]
    if not shown:
        return ""
    return f'<h2>Where the error peaks</h2><div class="thumbs">{"".join(shown)}</div>'


def refused(runs: Sequence[Run]) -> str:
    """Inputs that were not used, by reason, with the first of each."""
    lines = []
    for run in runs:
        total = run.result.total
        if total is not None:
            lines += [
                [label, str(n), run.label, total.refused_examples.get(label, "")] for label, n in total.refused.items()
            ]
            lines += [[f"inference failed: {k}", str(n), run.label, ""] for k, n in total.failed_inferences.items()]
            lines += [[f"the arm would have held: {k}", str(n), run.label, ""] for k, n in total.holds.items()]
        for label, n in (
            sum((each.refused for each in run.episodes), start=type(run.episodes[0].refused)()).items()
            if (run.episodes)
            else ()
        ):
            lines.append([label, str(n), run.label, ""])
    if not lines:
        return ""
    made = table(["what", "times", "run", "the first"], lines, "left")
    return f'<h2>Not used</h2><div class="box scroll">{made}</div>'


def settings(runs: Sequence[Run]) -> str:
    """The settings of the runs."""
    columns = [asdict(run.result.settings) for run in runs]
    lines = [[name.replace("_", " "), *(_setting(column[name]) for column in columns)] for name in columns[0]]
    lines = [line for line in lines if any(line[1:])]
    return f'<h2>Settings</h2><div class="box scroll">{table(["", *(run.label for run in runs)], lines, "left")}</div>'


def _keys(runs: Sequence[Run]) -> str:
    if len(runs) < 2:
        return ""
    keys = [f'<span class="key{" b" * i}"><i></i>{safe(run.label)}</span>' for i, run in enumerate(runs)]
    return f"<p>{''.join(keys)}</p>"


def _reasons(runs: Sequence[Run]) -> str:
    several = len(runs) > 1
    told: list[tuple[str, list[str]]] = []
    for title in ("reasons", "notes"):
        lines: list[str] = []
        for run in runs:
            own = [f"{run.label}: {reason}" for reason in run.result.reasons] if title == "reasons" else []
            found = of_episodes([(episode.name, getattr(episode, title)) for episode in run.result.episodes])
            lines += own + [f"{run.label}: {line}" if several else line for line in found]
        told.append((title, lines))
    return "".join(f'<div class="box {title}">{bullets(lines)}</div>' for title, lines in told if lines)


def _card(name: str, found: Sequence[Number | None], several: bool) -> str:
    values = "".join(
        f'<div class="value{" " + _COLOURS[i] if several else ""}">{safe(number.value)}'
        f"{f' <small>{safe(number.unit)}</small>' if number.unit else ''}</div>"
        for i, number in enumerate(found)
        if number is not None
    )
    hints = [number.hint for number in found if number is not None and number.hint]
    hint = f'<div class="hint">{safe(hints[0])}</div>' if hints and not several else ""
    return f'<div class="card"><div class="name">{safe(name)}</div>{values}{hint}</div>'


def _thumbnail(episode: str, thumbnail: Thumbnail) -> str:
    caption = (
        f"{episode}, {thumbnail.t_s:.1f} s, {thumbnail.camera}: {thumbnail.joint} is "
        f"{figure(thumbnail.error_ros_units)} off, {thumbnail.ahead_s * 1e3:.0f} ms ahead"
    )
    source = data_uri("png", thumbnail.png)
    return (
        f'<figure class="box"><img alt="{safe(caption)}" src="{source}">'
        f"<figcaption>{safe(caption)}</figcaption></figure>"
    )


def _setting(value: object) -> str:
    if isinstance(value, (tuple, list)):
        return ", ".join(str(item) for item in value)
    if isinstance(value, dict):
        return ", ".join(f"{name}: {item}" for name, item in value.items() if item != ROS_UNITS) or "ROS units (rad, m)"
    if isinstance(value, float):
        return f"{value:g}" if math.isfinite(value) else ""
    return str(value)
