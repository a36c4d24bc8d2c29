"""Reads the JSON files of a checkpoint: plain objects of limited size without ambiguities."""

from __future__ import annotations

import json
import math
from collections import Counter
from pathlib import Path
from typing import Any

from act_inference_ros.policy import bounds
from act_inference_ros.policy.checkpoint_files import open_file, unreadable
from act_inference_ros.policy.refusals import refusal, shown


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object from a checkpoint's file.

    Raises CheckpointError if the file is missing, unreadable, too large or nested too deeply, if a key occurs twice,
    and for NaN, Infinity and numbers too large for a double.
    """
    with open_file(path, "a file of a LeRobot checkpoint (the directory pretrained_model/)") as file:
        try:
            content = file.read(bounds.JSON_BYTES + 1)
        except OSError as error:
            raise unreadable(path, "a file of a LeRobot checkpoint", error) from error
    if len(content) > bounds.JSON_BYTES:
        raise refusal(path, f"at most {bounds.JSON_BYTES} bytes of JSON", "more")
    try:
        value = json.loads(
            content.decode("utf-8"),
            object_pairs_hook=_object,
            parse_constant=_no_number,
            parse_float=_finite,
        )
    except ValueError as error:
        raise refusal(path, "valid JSON", error) from error
    except RecursionError:
        raise refusal(path, f"JSON of at most {bounds.JSON_DEPTH} levels", "more") from None
    if not isinstance(value, dict):
        raise refusal(path, "a JSON object", type(value).__name__)
    if _is_deeper(value, bounds.JSON_DEPTH):
        raise refusal(path, f"JSON of at most {bounds.JSON_DEPTH} levels", "more")
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    read = dict(pairs)
    if len(read) < len(pairs):
        counts = Counter(key for key, _ in pairs)
        raise ValueError(f"the key {shown(counts.most_common(1)[0][0])} more than once")
    return read


def _no_number(constant: str) -> None:
    raise ValueError(f"{constant}, which is no number in JSON")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{shown(text)}, which is too large")
    return value


def _is_deeper(value: object, depth: int) -> bool:
    """Whether lists and objects are nested more than `depth` times; checked level by level, without recursion."""
    level = [value]
    for _ in range(depth):
        level = [child for parent in level for child in _children(parent)]
        if not level:
            return False
    return True


def _children(value: object) -> list[object]:
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [child for child in inside if isinstance(child, (dict, list))]
