"""Refuses, before it is loaded, YAML in which a few bytes cost unlimited time or memory."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from act_inference_ros.errors import MissingDependencyError

DEEPEST = 32
"""Most levels, of the document and all that is in it. A parameter file has six, the metadata of a bag seven."""
LONGEST_NUMBER = 1000
"""Most characters of a number. Python converts no longer ones (from about 4300 digits on) to a text."""
LONGEST_TAG = 100
_LONGEST_NUMBER_AS_KEY = 16
"""Most characters of a number that is a key: longer ones can be chosen so that all of them have the same hash."""

_TAG_DIRECTIVE = re.compile("(?:^|[\n\r\x85\u2028\u2029])\ufeff?%TAG")
_NUMBER = re.compile(r"[-+]?[0-9][0-9a-fA-F_xo:.]*")


class NotPlain(ValueError):
    """The message says where and what was expected."""


def read_plain(text: str, aliases: bool = False) -> Any:
    """Return what the one document of a text says, as PyYAML's safe_load does. `aliases` and errors as `check_plain`.

    A value whose tag says what it is not, such as a date of month 99, may raise other errors of PyYAML's.
    """
    check_plain(text, aliases)
    loader = _safe_loader()(text)
    try:
        return loader.get_single_data()
    finally:
        loader.dispose()


def check_plain(text: str, aliases: bool = False) -> None:
    """Raise NotPlain for a text that is nested too deeply, or has aliases that are not allowed.

    The same for long numbers and tags, for abbreviations of tags (%TAG), and for keys that are no names: those with a
    tag, lists, mappings and long numbers.
    `aliases`: whether aliases are allowed at all. They never are inside a node with an anchor, where they would
    multiply or refer to themselves. Raises PyYAML's YAMLError for a text that is no YAML, and MissingDependencyError
    without PyYAML.
    """
    directive = _TAG_DIRECTIVE.search(text)  # the parser compares each one with all before
    if directive is not None:
        line = len(text[: directive.end()].splitlines())
        raise NotPlain(f"line {line}: expected no %TAG, got one; write the tags out, or leave them out")
    loader = _safe_loader()
    import yaml

    _check_events(yaml.parse(text, Loader=loader), aliases)


def _safe_loader() -> Any:
    """PyYAML's loader that makes plain values only: that of libyaml, which is ten times faster, if there is one."""
    try:
        import yaml
    except ModuleNotFoundError as error:
        raise MissingDependencyError("reading YAML needs PyYAML: pip install pyyaml") from error
    return getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass
class _Level:
    """A document, list or mapping that has begun: whether it, or one around it, has an anchor, and what comes next."""

    anchored: bool
    is_mapping: bool
    key_is_next: bool


def _check_events(events: Iterable[Any], aliases: bool) -> None:
    levels = [_Level(anchored=False, is_mapping=False, key_is_next=False)]
    for event in events:
        kind = type(event).__name__
        where = f"line {event.start_mark.line + 1}: "
        level = levels[-1]
        if kind == "AliasEvent" and not (aliases and not level.anchored):
            raise NotPlain(
                f"{where}expected no alias{' in what has an anchor' if aliases else ''}, got *{event.anchor}"
            )
        if kind in ("AliasEvent", "ScalarEvent", "SequenceStartEvent", "MappingStartEvent"):
            _check_tag_and_number(event, level.key_is_next, where)
            level.key_is_next = level.is_mapping and not level.key_is_next
        if kind.endswith("StartEvent") and kind != "StreamStartEvent":
            is_mapping = kind == "MappingStartEvent"
            anchored = level.anchored or getattr(event, "anchor", None) is not None
            levels.append(_Level(anchored, is_mapping, key_is_next=is_mapping))
            if len(levels) > DEEPEST:
                raise NotPlain(f"{where}expected at most {DEEPEST} levels, got more")
        elif kind.endswith("EndEvent") and kind != "StreamEndEvent":
            levels.pop()


def _check_tag_and_number(event: Any, is_key: bool, where: str) -> None:
    """Check an alias, a scalar, or the begin of a list or mapping."""
    tag, text = getattr(event, "tag", None), getattr(event, "value", None)
    if tag is not None and len(tag) > LONGEST_TAG:
        raise NotPlain(f"{where}expected a tag of at most {LONGEST_TAG} characters, got one of {len(tag)}")
    if is_key and (text is None or tag is not None):
        raise NotPlain(f"{where}expected a key that is a name, got a list, a mapping, an alias or one with a tag")
    longest = _LONGEST_NUMBER_AS_KEY if is_key else LONGEST_NUMBER
    if text is None or len(text) <= longest or (event.style in ("'", '"', "|", ">") and tag is None):
        return
    if _NUMBER.fullmatch(text):
        wanted = "a key that is a name" if is_key else f"a number of at most {LONGEST_NUMBER} characters"
        raise NotPlain(f"{where}expected {wanted}, got a number of {len(text)} characters; quote it if it is a text")
