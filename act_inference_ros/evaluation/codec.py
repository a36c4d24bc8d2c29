"""Frozen dataclasses to plain JSON data and back, guided by their type hints; no pickle, no class names in the data."""

from __future__ import annotations

import dataclasses
import math
import reprlib
import types
from collections.abc import Callable, Mapping
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from act_inference_ros.errors import ConfigurationError
from act_inference_ros.evaluation import plausible

NOT_IN_JSON = {"json": False}
"""Metadata of a dataclass field that is not written and is read back as its default."""

_CHECKS: dict[Any, Callable[[Any, str], Any]] = {
    int: plausible.integer,
    str: plausible.text,
    bool: lambda plain, _where: plain,
}

T = TypeVar("T")


def to_plain(value: Any) -> Any:
    """Convert dataclasses to dicts and tuples to lists; a non-finite float becomes None.

    What no text can have (a byte of a file's name that is no UTF-8) is written with escapes of Python's.
    """
    if isinstance(value, str):
        return writable(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, (tuple, list)):
        return [to_plain(item) for item in value]
    if isinstance(value, Mapping):
        return {to_plain(key): to_plain(item) for key, item in value.items()}
    if dataclasses.is_dataclass(value):
        return {field.name: to_plain(getattr(value, field.name)) for field in _fields(type(value))}
    return value


def writable(text: str) -> str:
    """Return a text that UTF-8 can hold: lone surrogates are escaped."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def from_plain(kind: type[T], plain: Any) -> T:
    """Build a `kind` from the output of `to_plain`; None for a float becomes nan. Else raises ConfigurationError."""
    built: T = _build(kind, plain, kind.__name__)
    return built


def _fields(kind: type) -> list[dataclasses.Field[Any]]:
    return [field for field in dataclasses.fields(kind) if field.metadata.get("json", True)]


def _build(kind: Any, plain: Any, where: str) -> Any:
    origin, args = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        (inner,) = (arg for arg in args if arg is not type(None))
        return None if plain is None else _build(inner, plain, where)
    if origin is tuple and isinstance(plain, list):
        return tuple(_build(args[0], item, f"{where}[{i}]") for i, item in enumerate(plain))
    if origin is Mapping and isinstance(plain, dict):
        return {plausible.text(key, where): _build(args[1], item, f"{where}.{key}") for key, item in plain.items()}
    if dataclasses.is_dataclass(kind) and isinstance(plain, dict):
        return _build_dataclass(kind, plain, where)
    if kind is float and (plain is None or (isinstance(plain, (int, float)) and not isinstance(plain, bool))):
        return math.nan if plain is None else _double(plain, where)
    if type(plain) is kind and kind in _CHECKS:
        return _CHECKS[kind](plain, where)
    raise ConfigurationError(f"{where}: expected {getattr(kind, '__name__', kind)}, got {reprlib.repr(plain)}")


def _double(plain: float, where: str) -> float:
    try:
        return plausible.number(float(plain), where)
    except OverflowError:
        raise ConfigurationError(f"{where}: expected a number that a double holds, got {reprlib.repr(plain)}") from None


def _build_dataclass(kind: Any, plain: dict[str, Any], where: str) -> Any:
    hints = get_type_hints(kind)
    fields = {field.name: field for field in _fields(kind)}
    missing = sorted(name for name in set(fields) - set(plain) if not _has_default(fields[name]))
    unknown = sorted(set(plain) - set(fields))
    if missing or unknown:
        raise ConfigurationError(
            f"{where}: missing {missing or 'nothing'}, unknown {reprlib.repr(unknown) if unknown else 'nothing'}"
        )
    return kind(**{name: _build(hints[name], plain[name], f"{where}.{name}") for name in fields if name in plain})


def _has_default(field: dataclasses.Field[Any]) -> bool:
    """Whether a field that an older version did not write is read as a default."""
    return field.default is not dataclasses.MISSING or field.default_factory is not dataclasses.MISSING
