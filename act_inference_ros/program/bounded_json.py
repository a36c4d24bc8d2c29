"""Reads JSON whose values, and not only its bytes, are bounded: `[[],[],[]` takes twenty times as much memory."""

from __future__ import annotations

import json
from typing import Any


def load_json(text: str, most_containers: int, most_entries: int) -> Any:
    """Return what a JSON text says. Raises ValueError for one that is none, is nested too deeply or has more values.

    `most_containers` is how many lists and objects there may be, `most_entries` how many values and names in them.
    Brackets and commas within texts count, too.
    """
    containers = text.count("[") + text.count("{")
    if containers > most_containers:
        raise ValueError(f"expected at most {most_containers} lists and objects, got {containers}")
    entries = containers + text.count(",")
    if entries > most_entries:
        raise ValueError(f"expected at most {most_entries} values, got {entries}")
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("expected JSON of some levels, got one that is nested too deeply") from None
