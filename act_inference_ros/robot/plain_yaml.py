"""Refuses, before it is loaded, YAML in which a few bytes cost unlimited time or memory."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from act_inference_ros.errors import MissingDependencyError

DEEPEST = 32
"""Most levels, of the document and all that is in it. A parameter file has six, the metadata of a bag seven."""


class NotPlain(ValueError):
    """The message says where and what was expected."""


def read_plain(text: str) -> Any:
    """Return what the one document of a text says, as PyYAML's safe_load does. Raises as `check_plain`.

    A value whose tag says what it is not, such as a date of month 99, may raise other errors of PyYAML's.
    """
    check_plain(text)
    loader = _safe_loader()(text)
    try:
        return loader.get_single_data()
    finally:
        loader.dispose()


def check_plain(text: str, aliases: bool = False) -> None:
    """Raise NotPlain for a text that is nested too deeply, or has aliases that are not allowed.

    `aliases`: whether aliases are allowed at all. They never are inside a node with an anchor, where they would
    multiply or refer to themselves. Raises PyYAML's YAMLError for a text that is no YAML, and MissingDependencyError
    without PyYAML.
    """
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


def _check_events(events: Iterable[Any], aliases: bool) -> None:
    anchored: list[bool] = []
    """For each level whether it, or one around it, has an anchor."""
    for event in events:
        kind = type(event).__name__
        where = f"line {event.start_mark.line + 1}: "
        if kind == "AliasEvent" and not (aliases and not any(anchored)):
            raise NotPlain(
                f"{where}expected no alias{' in what has an anchor' if aliases else ''}, got *{event.anchor}"
            )
        if kind.endswith("StartEvent"):
            anchored.append(getattr(event, "anchor", None) is not None)
            if len(anchored) > DEEPEST:
                raise NotPlain(f"{where}expected at most {DEEPEST} levels, got more")
        elif kind.endswith("EndEvent"):
            anchored.pop()
