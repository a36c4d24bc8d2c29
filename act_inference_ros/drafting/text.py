"""Lines of a parameter file: values as YAML and ROS both read them, and comments."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Sequence

WIDTH = 120
_PLAIN = re.compile(r"[A-Za-z_/][A-Za-z0-9_/.]*")
_YAML_WORDS = {"y", "n", "yes", "no", "on", "off", "true", "false", "null"}


def number(value: float) -> str:
    """Return a number with a decimal point, so that ROS reads it as a double: `2.0`, `-0.7083`."""
    text = f"{value:.6f}".rstrip("0")
    return text + "0" if text.endswith(".") else text


def word(value: str) -> str:
    """Return a string, with quotes if YAML would otherwise read it differently."""
    plain = _PLAIN.fullmatch(value) and value.lower() not in _YAML_WORDS
    return value if plain else json.dumps(value, ensure_ascii=not value.isprintable())


def words(values: Sequence[str]) -> str:
    """A list of strings."""
    return f"[{', '.join(map(word, values))}]"


def numbers(values: Sequence[float]) -> str:
    """A list of numbers."""
    return f"[{', '.join(map(number, values))}]"


class Page:
    """A file that is being written, line by line."""

    def __init__(self) -> None:
        self._lines: list[str] = []

    def entry(self, depth: int, text: str, comment: str = "") -> None:
        """Add a line of YAML, two spaces to a depth; its comment stands beside it, or above it if it is long."""
        line = "  " * depth + text
        beside = f"{line}  # {_printable(comment)}" if comment else line
        if len(beside) > WIDTH:
            self.comment(depth, comment)
            beside = line
        self._lines.append(beside)

    def comment(self, depth: int, text: str) -> None:
        """Add a comment of its own, in as many lines as it needs."""
        indent = "  " * depth + "# "
        self._lines += textwrap.wrap(
            _printable(text),
            WIDTH,
            initial_indent=indent,
            subsequent_indent=indent,
            break_long_words=False,
            break_on_hyphens=False,
        )

    @property
    def text(self) -> str:
        """The whole file."""
        return "\n".join(self._lines) + "\n"


def _printable(text: str) -> str:
    """Return text from a message or data set on one line, so that it cannot add lines to the file."""
    return "".join(each if each.isprintable() else "?" for each in text)
