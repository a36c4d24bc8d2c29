"""Frozen dataclasses to plain JSON data and back, guided by their type hints; no pickle, no class names in the data."""

from __future__ import annotations

import dataclasses
import math
import reprlib
import types
from collections.abc import Mapping
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from act_inference_ros.errors import ConfigurationError

NOT_IN_JSON = {"json": False}
"""Metadata of a dataclass field that is not written and is read back as its default."""

T = TypeVar("T")


def to_plain(value: Any) -> Any:
    """Convert dataclasses to dicts and tuples to lists; a non-finite float becomes None."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, (tuple, list)):
        return [to_plain(item) for item in value]
    if isinstance(value, Mapping):
        return {key: to_plain(item) for key, item in value.items()}
    if dataclasses.is_dataclass(value):
        return {field.name: to_plain(getattr(value, field.name)) for field in _fields(type(value))}
    return value


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
        return {key: _build(args[1], item, f"{where}.{key}") for key, item in plain.items()}
    if dataclasses.is_dataclass(kind) and isinstance(plain, dict):
        return _build_dataclass(kind, plain, where)
    if kind is float and (plain is None or (isinstance(plain, (int, float)) and not isinstance(plain, bool))):
        return math.nan if plain is None else _double(plain, where)
    if kind in (int, str, bool) and type(plain) is kind:
        return plain
    raise ConfigurationError(f"{where}: expected {getattr(kind, '__name__', kind)}, got {reprlib.repr(plain)}")


def _double(plain: float, where: str) -> float:
    try:
        return float(plain)
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
