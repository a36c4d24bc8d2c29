"""Shows a breach that a chaos run has kept: `python -m test.witness.chaos_show .chaos/seed_1/violations/...`."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

BEFORE_S, AFTER_S = 1.0, 0.5


def lines(directory: Path, before_s: float = BEFORE_S, after_s: float = AFTER_S, inputs: bool = False) -> Iterator[str]:
    """The faults and breaches, then the messages around the first breach; times in s from that on."""
    episode = json.loads((directory / "episode.json").read_text())
    zero = episode["breaches"][0]["time"]
    yield f"{episode['mode']}, {episode['interface']}: {episode['episode']}; granted {episode['granted_s']} s"
    for fault in episode["faults"]:
        yield f"fault {fault['begin'] - zero:+.3f} to {fault['end'] - zero:+.3f} {fault['kind']}"
    yield f"all there again {episode['over'] - zero:+.3f}"
    for breach in episode["breaches"]:
        yield f"broken {breach['time'] - zero:+.3f} {breach['rule']}: {breach['detail']}"
    with (directory / "messages.jsonl").open() as file:
        for line in file:
            event = json.loads(line)
            if -before_s < event["time"] - zero < after_s and (inputs or event["kind"] != "input"):
                yield f"{event['time'] - zero:+.3f} {event['kind']} {event['name']} {_words(event['message'], zero)}"


def _words(message: Mapping[str, Any], zero: float) -> str:
    """What a message says, in short."""
    stamp = f"stamped {_seconds(message['header']['stamp']) - zero:+.3f} " if message.get("header") else ""
    if "points" in message:
        first, last = message["points"][0], message["points"][-1]
        begins, ends = (_seconds(point["time_from_start"]) for point in (first, last))
        where = f"from {_rounded(first['positions'])} at {begins:+.3f} to {_rounded(last['positions'])} at {ends:+.3f}"
        return f"{stamp}{len(message['points'])} points {where}"
    if "values" in message:
        values = {pair["key"]: pair["value"] for pair in message["values"]}
        return f"{message['message']}: {values.get('reason', '')} ({values.get('detail', '')})"
    if "good" in message:
        return f"{stamp}{'good' if message['good'] else 'bad'} {_rounded(list(message['positions'].values()))}"
    return f"{stamp}{_rounded(message.get('position') or message.get('data') or [])}"


def _seconds(stamp: Mapping[str, int]) -> float:
    return float(stamp["sec"] + stamp["nanosec"] * 1e-9)


def _rounded(values: Sequence[float]) -> list[float]:
    return [round(value, 4) for value in values]


def main(arguments: Sequence[str] | None = None) -> int:
    """Print it."""
    parser = argparse.ArgumentParser(description="Show a breach that a chaos run has kept.")
    parser.add_argument("directory", type=Path)
    parser.add_argument("--before", type=float, default=BEFORE_S, help=f"s before the breach (default {BEFORE_S:g})")
    parser.add_argument("--after", type=float, default=AFTER_S, help=f"s after it (default {AFTER_S:g})")
    parser.add_argument("--inputs", action="store_true", help="the inputs, too")
    given = parser.parse_args(arguments)
    if not (given.directory / "episode.json").is_file():
        parser.error(f"{given.directory}: expected a directory with an episode.json")
    for line in lines(given.directory, given.before, given.after, given.inputs):
        print(line)
    return 0


if __name__ == "__main__":
    sys.exit(main())
