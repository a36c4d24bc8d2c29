"""Target: a dump of the node's black box, as it is shown: its description and its bag."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path

from act_inference_ros.black_box import dumps
from act_inference_ros.evaluation.bags.black_box import read_dump
from act_inference_ros.evaluation.report.black_box_tables import print_dump
from test.evaluation.test_black_box_shown import PARAMETERS, written
from test.fuzz.files import file_target
from test.fuzz.mutation import bytes_mutation, json_mutation, one_of
from test.fuzz.target import MIB, Target
from test.fuzz.targets.bags import mcap_mutation


def dump(directory: Path) -> Target:
    """black_box.json, and the .mcap file beside it."""
    path = written(directory, PARAMETERS, {})
    files = [path / dumps.ABOUT, next(path.glob("*.mcap"))]
    seeds = [bytes([kind]) + file.read_bytes() for kind, file in enumerate(files)]
    about = one_of(json_mutation, json_mutation, json_mutation, bytes_mutation)
    return file_target("dump", files, [path, path], _show, seeds, [about, mcap_mutation], 256 * MIB)


def _show(path: Path) -> None:
    content = read_dump(path)
    with contextlib.redirect_stdout(io.TextIOWrapper(io.BytesIO(), encoding="utf-8")):  # refuses what is no text
        print_dump(content)
    for problem in content.problems:
        assert "\n" not in problem
        assert len(problem) < 5000
