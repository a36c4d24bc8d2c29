"""The texts that launch files are given: checked one by one, and refused with one line that says what was expected."""

import re
from collections.abc import Callable
from typing import Any

import pytest

from act_inference_ros.errors import ConfigurationError
from act_inference_ros.program.launch_arguments import boolean, number, one_of, whole_number


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
