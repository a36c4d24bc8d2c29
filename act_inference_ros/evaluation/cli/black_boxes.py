"""eval_policy with dumps of the node's black box: it shows them instead of an evaluation."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from act_inference_ros.black_box import dumps
from act_inference_ros.errors import ConfigurationError
from act_inference_ros.evaluation.bags.bag import find_bags
from act_inference_ros.evaluation.bags.black_box import DumpContent, read_dump
from act_inference_ros.evaluation.cli.runners import Say
from act_inference_ros.evaluation.report.black_box_tables import print_dump

_OF_AN_EVALUATION = ("max_error", "max_jerk", "max_acceleration", "max_seam_jump", "max_latency_p95", "compare", "mcap")
_NOT_IN_FILE_NAMES = re.compile(r"[^\w.-]")
_LONGEST_FILE_NAME = 60
"""Most characters of a file's name; each has at most four bytes, and a file system takes 255."""


def dumps_in(options: argparse.Namespace) -> list[Path]:
    """Return the dumps that were named with --bag; empty if these are recordings.

    Raises ConfigurationError if there are both, or if an option needs an evaluation.
    """
    try:
        bags = [bag for bag in find_bags(options.bag) if not dumps.is_partial(bag)]
    except ConfigurationError:  # the evaluation reports this, after problems with the policy
        return []
    found = [bag for bag in bags if dumps.is_dump(_directory(bag))]
    if not found:
        return []
    others = [str(bag) for bag in bags if bag not in found]
    if others:
        raise ConfigurationError(
            f"--bag: {found[0]} was written by a black box and is shown, {others[0]} is a recording and is evaluated; "
            "name them in two calls"
        )
    given = [f"--{name.replace('_', '-')}" for name in _OF_AN_EVALUATION if getattr(options, name) is not None]
    if given:
        raise ConfigurationError(
            f"{', '.join(given)}: {found[0]} was written by a black box, which is shown and not evaluated; leave it out"
        )
    return list(dict.fromkeys(map(_directory, found)))


def show(paths: list[Path], out: Path, say: Say) -> None:
    """Print each dump, and write the last image of each camera below `out`. Raises ActInferenceError."""
    for path in paths:
        content = read_dump(path)
        print_dump(content)
        for written in _write_images(content, out / path.name):
            say(f"wrote {written}")
        say(f"the parameters then: {path / dumps.PARAMETERS}")
        say(f"look further: open the .mcap in {path} with Foxglove, or ros2 bag info {path}")
        say("do not ros2 bag play it where a robot listens: the commands in it would be given again")


def _directory(bag: Path) -> Path:
    return bag.parent if bag.is_file() else bag


def _write_images(content: DumpContent, directory: Path) -> list[Path]:
    written = []
    try:
        for camera, jpeg in content.images.items():
            directory.mkdir(parents=True, exist_ok=True)
            path = directory / f"{_file_name(camera)}.jpg"
            path.write_bytes(jpeg)
            written.append(path)
    except OSError as error:
        raise ConfigurationError(f"--out {directory}: cannot be written: {error}") from error
    return written


def _file_name(camera: str) -> str:
    """Return a name for a camera's file. The camera's comes from the dump, and must not lead to another directory."""
    return _NOT_IN_FILE_NAMES.sub("_", camera)[:_LONGEST_FILE_NAME] or "camera"
