"""The texts that launch files are given: checked one by one, and refused with one line that says what was expected."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from act_inference_ros.errors import ConfigurationError
from act_inference_ros.program.launch_arguments import (
    boolean,
    existing_directory,
    existing_file,
    number,
    one_of,
    refuse_misspelt,
    whole_number,
)


@pytest.mark.parametrize(("text", "value"), [("true", True), ("False", False), ("TRUE", True)])
def test_true_and_false_in_any_case(text: str, value: bool) -> None:
    assert boolean("loop", text) is value


@pytest.mark.parametrize(
    ("check", "text", "message"),
    [
        (lambda text: boolean("loop", text), "maybe", "loop: expected true or false, got 'maybe'"),
        (lambda text: boolean("loop", text), "", "loop: expected true or false, got ''"),
        (lambda text: whole_number("episodes", text), "-1", "episodes: expected a whole number from 0, got '-1'"),
        (lambda text: whole_number("port", text, 65535), "65536", "port: expected a whole number from 0 to 65535"),
        (lambda text: number("rate", text, 0.01, 100.0), "nan", "rate: expected a number from 0.01 to 100, got 'nan'"),
        (
            lambda text: number("rate", text, 0.01, 100.0),
            "fast",
            "rate: expected a number from 0.01 to 100, got 'fast'",
        ),
        (lambda text: one_of("mode", text, ("", "local", "triton")), "x", "mode: expected local or triton, got 'x'"),
    ],
)
def test_anything_else_is_refused(check: Callable[..., Any], text: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(message)):
        check(text)


def test_what_fits_is_handed_back() -> None:
    assert (whole_number("episodes", "20"), number("rate", "0.5", 0.01, 100.0)) == (20, 0.5)
    assert one_of("mode", "triton", ("local", "triton")) == "triton"


def test_a_path_that_is_not_there_is_refused_by_its_full_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "robot.yaml"
    file.write_text("")
    monkeypatch.chdir(tmp_path)
    assert existing_file("params_file", "robot.yaml") == str(file)
    assert existing_file("params_file", "") == ""
    assert existing_directory("bag", "") == str(tmp_path)
    with pytest.raises(ConfigurationError, match=f"params_file: {tmp_path / 'robto.yaml'}: no such file"):
        existing_file("params_file", "robto.yaml")
    with pytest.raises(ConfigurationError, match=f"params_file: {tmp_path}: not a file"):
        existing_file("params_file", str(tmp_path))
    with pytest.raises(ConfigurationError, match=f"bag: {tmp_path / 'no'}: no such directory"):
        existing_directory("bag", "no")


@pytest.mark.parametrize(
    ("name", "meant"), [("moed", "mode"), ("param_file", "params_file"), ("checkpont", "checkpoint")]
)
def test_a_misspelt_argument_is_refused_with_the_one_that_was_meant(name: str, meant: str) -> None:
    with pytest.raises(ConfigurationError, match=f"{name}: there is no such launch argument; did you mean {meant}"):
        refuse_misspelt(["mode", name], ["mode", "params_file", "checkpoint"])


def test_arguments_of_the_launch_file_that_includes_this_one_are_left_alone() -> None:
    refuse_misspelt(["episodes", "robot_ip", "use_rviz"], ["mode", "params_file", "checkpoint", "model", "server"])
