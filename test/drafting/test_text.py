"""YAML reads back every value as it was written, whatever the names are."""

import pytest
import yaml

from act_inference_ros.drafting.text import Page, number, numbers, word, words

NAMES = ["pan", "???", "???left.j0", "on", "y", "1e3", "12", "a b", "a: b", "#a", "'", '"', "ü", "a\nb", "\x07", "[a]"]


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_read_back_as_it_was(name: str) -> None:
    page = Page()
    page.entry(0, f"{word(name)}: {word(name)}", name)
    page.entry(0, f"all: {words([name, 'b'])}")
    assert yaml.safe_load(page.text) == {name: name, "all": [name, "b"]}


@pytest.mark.parametrize("value", [0.0, 2.0, -0.7083, 1e-5, 1234567.0, 0.1 + 0.2])
def test_a_number_is_a_double_for_ros(value: float) -> None:
    read = yaml.safe_load(number(value))
    assert isinstance(read, float)
    assert read == pytest.approx(value, abs=1e-6)
    assert all(isinstance(each, float) for each in yaml.safe_load(numbers([value, 1.0])))


@pytest.mark.parametrize("comment", ["short", "long " * 60, "evil\nfps: 1.0", "evil\u2028fps: 1.0", "x" * 300])
def test_a_comment_adds_nothing_to_the_file(comment: str) -> None:
    page = Page()
    page.entry(1, "fps: 30.0", comment)
    assert yaml.safe_load(page.text) == {"fps": 30.0}


def test_a_long_comment_stands_above_in_lines_that_fit() -> None:
    page = Page()
    page.entry(2, "fps: 30.0", "long " * 60)
    lines = page.text.splitlines()
    assert lines[-1] == "    fps: 30.0"
    assert all(line.startswith("    # ") and len(line) <= 120 for line in lines[:-1])
