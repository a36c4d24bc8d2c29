"""A layout for Foxglove: cameras beside plots, one for each joint. It is imported there by hand.

Foxglove publishes no description of these files. The names are those of the open-source Foxglove Studio 1.86: a plot's
title is read from `foxglovePanelTitle`, and a setting with an unknown name is passed over in silence.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

Json = dict[str, Any]

COLOURS = ("#94a3b8", "#d97706", "#3b82f6", "#10b981")
"""Colours of a plot's lines: to be seen on Foxglove's dark background and on its light one."""


class Line(NamedTuple):
    """A line of a plot: `path` is a topic and its field, as in `/measured.position[0]`."""

    label: str
    path: str
    by_header: bool = False


def layout(cameras: Sequence[str], plots: Mapping[str, Sequence[Line]], more: Mapping[str, Json] | None = None) -> Json:
    """The layout for the images on topics `cameras`, plots by title, and further panels by `Type!name`."""
    seen = {f"Image!{place}": _image(topic) for place, topic in enumerate(cameras)}
    drawn = {f"Plot!{place}": _plot(title, lines) for place, (title, lines) in enumerate(plots.items())}
    beside = {**seen, **(more or {})}
    columns: list[Any] = [_stacked(list(each)) for each in (beside, drawn) if each]
    return {
        "configById": {**beside, **drawn},
        "globalVariables": {},
        "userNodes": {},
        "playbackConfig": {"speed": 1},
        "layout": columns[0] if len(columns) == 1 else _split("row", columns[0], columns[1], percentage=36),
    }


def _image(topic: str) -> Json:
    return {"imageMode": {"imageTopic": topic}, "topics": {}, "layers": {}, "transforms": {}, "cameraState": {}}


def _plot(title: str, lines: Sequence[Line]) -> Json:
    return {
        "foxglovePanelTitle": title,
        "paths": [
            {
                "value": line.path,
                "label": line.label,
                "enabled": True,
                "timestampMethod": "headerStamp" if line.by_header else "receiveTime",
                "color": colour,
            }
            for line, colour in zip(lines, COLOURS, strict=False)
        ],
        "showXAxisLabels": True,
        "showYAxisLabels": True,
        "showLegend": True,
        "legendDisplay": "left",
        "showPlotValuesInLegend": False,
        "isSynced": True,
        "xAxisVal": "timestamp",
        "sidebarDimension": 150,
    }


def _stacked(panels: Sequence[str]) -> Any:
    """Stack panels of the same height."""
    if len(panels) == 1:
        return panels[0]
    return _split("column", panels[0], _stacked(panels[1:]), percentage=100 / len(panels))


def _split(direction: str, first: Any, second: Any, percentage: float) -> Json:
    return {"direction": direction, "first": first, "second": second, "splitPercentage": round(percentage, 1)}
