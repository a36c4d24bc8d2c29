"""YAML of parameter files and of bags' metadata that was made to cost time or memory, or to break what reads it."""

from pathlib import Path

import pytest

from act_inference_ros.errors import ConfigurationError
from act_inference_ros.robot.parameter_file import read_configuration, read_parameters, why_nothing_applies
from act_inference_ros.robot.plain_yaml import LONGEST_NUMBER, LONGEST_TAG, NotPlain, check_plain
from test.bounds import bounded

HEAD = "/**/policy_node:\n  ros__parameters:\n"
HEX, TEXT = "0x" + "f" * 20_000, "a" * 32_000
CYCLE = 2**61 - 1
"""Whole numbers that differ by this have the same hash in Python."""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("".join(f"%TAG !{i}! a\n" for i in range(60_000)) + "---\na: 1\n", "no %TAG"),
        ("a: 1\n...\n%TAG ! b\n---\na: 1\n", "line 3: expected no %TAG"),
        ("\ufeff%TAG ! b\n---\na: 1\n", "no %TAG"),
        (f"%TAG !e! tag:{TEXT}\n---\n[{','.join(['!e!x a'] * 4500)}]", "no %TAG"),
        (f"a: !<{'t' * (LONGEST_TAG + 1)}> b", f"a tag of at most {LONGEST_TAG} characters"),
        (f"a: !<{TEXT}> [b]", "a tag of at most"),
        (f"fps: {HEX}", f"a number of at most {LONGEST_NUMBER} characters"),
        (f"fps: [-{HEX}]", "a number of at most"),
        (f"fps: 0{'7' * 20_000}", "a number of at most"),
        (f"fps: 1{':1' * 20_000}", "a number of at most"),
        (f"fps: 1{':1' * 20_000}.5", "a number of at most"),
        (f"fps: {'9' * 5_000}", "a number of at most"),
        (f"fps: !!int '{HEX}'", "a number of at most"),
        (f"{HEX}: 1", "a number of"),
        (f"? {HEX}\n: 1", "a key that is a name"),
        ("".join(f"{hex(CYCLE * i)}: 1\n" for i in range(1, 40_000)), "a key that is a name"),
        ("".join(f"{CYCLE * i}: 1\n" for i in range(1, 40_000)), "a key that is a name"),
        ("? !!int '1'\n: 1", "a key that is a name"),
        ("? [a]\n: 1", "a key that is a name"),
        ("{a: 1, {b: 2}: 3}", "a key that is a name"),
        ("a: [b, {[c]: d}]", "a key that is a name"),
    ],
    ids=range(21),
)
@pytest.mark.parametrize("aliases", [False, True])
def test_what_would_cost_much_is_refused(text: str, expected: str, aliases: bool) -> None:
    with bounded(), pytest.raises(NotPlain, match=expected) as caught:
        check_plain(text, aliases=aliases)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    "text",
    [
        "a: {1: b, true: c, null: d, 0.5: e, 1970-01-01: f}\n[]: g".replace("\n[]: g", ""),
        "a: [1, {b: [c, d], e: {f: g}}, h]\ni: j",
        "? a\n: b\n? c",
        f"a: {'b' * 5_000}",
        f"a: '{'9' * 5_000}'",
        f"a: RIHS01_{'0' * 2_000}",
        "stamp: 1699345836270074454\nbig: 0xffffffffffffffff",
        "a: 100% %TAG\nb: '%TAG'\nc: |\n  %TAG",
        "a: !!str 5\nb: !!float 1",
    ],
)
def test_what_people_and_ros_write_is_plain(text: str) -> None:
    check_plain(text)


@pytest.mark.parametrize(
    "line",
    [f"fps: {HEX}", f"cameras: [{HEX}]", f"mode: {HEX}", f"start_pose: [{HEX}]", f"{HEX}: 1", f"? {HEX}\n    : 1"],
)
def test_a_parameter_file_with_endless_numbers_is_one_error_that_names_it(tmp_path: Path, line: str) -> None:
    path = tmp_path / "robot.yaml"
    path.write_text(f"{HEAD}    {line}\n")
    for read in (read_parameters, read_configuration, lambda file: why_nothing_applies(file, "/policy_node")):
        with pytest.raises(ConfigurationError, match=r"parameter file .*robot\.yaml: line 3: expected"):
            read(path)
