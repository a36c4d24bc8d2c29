"""Feature: one column or camera of a data set, as meta/info.json describes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from act_inference_ros.evaluation.datasets.reading import dataset_error
from act_inference_ros.spec import MAX_KEY, MAX_LENGTH

VIDEO, IMAGE = "video", "image"
"""The `dtype` of cameras: frames of a video, or images (PNG) in the table."""
INTERVENTION = "intervention"
"""Mark of a frame: true if a person commanded, false if a policy did; as in LeRobot 0.6.1's dagger.py (rollout)."""
MOST_FEATURES = 1000
MOST_DIMENSIONS = 8
MOST_NUMBERS = 2**18
"""Most numbers of all vectors together; each has a name."""
_NUMBERS = ("float", "int", "uint", "bool")
_CHANNELS = ("channel", "channels")


@dataclass(frozen=True)
class Feature:
    """A feature: `dtype` as LeRobot writes it (`float32`, `video`, ...), `shape` as the file says it.

    `names` are the unique names of a vector's numbers; without names in the file, they are made of key and index.
    """

    key: str
    dtype: str
    shape: tuple[int, ...]
    names: tuple[str, ...] = ()
    channels_last: bool = True

    @property
    def is_image(self) -> bool:
        """Whether it is a camera."""
        return self.dtype in (VIDEO, IMAGE)

    @property
    def is_vector(self) -> bool:
        """Whether it is one row of numbers."""
        return self.dtype.startswith(_NUMBERS) and len(self.shape) == 1

    @property
    def image_shape(self) -> tuple[int, ...]:
        """A camera's (height, width, channels), whatever the order in the file."""
        return self.shape if self.channels_last else (*self.shape[1:], self.shape[0])

    @property
    def text(self) -> str:
        """A text for messages: `float32 (14,)`, `video (480, 640, 3)`."""
        return f"{self.dtype} {self.image_shape if self.is_image else self.shape}"


def read_features(path: Path, given: Any) -> Mapping[str, Feature]:
    """Check `features` of info.json, which is at `path`. Raises ConfigurationError."""
    if not isinstance(given, dict) or not 1 <= len(given) <= MOST_FEATURES:
        raise dataset_error(f"{path}: features", f"an object of 1 to {MOST_FEATURES} features", type(given).__name__)
    read: dict[str, Feature] = {}
    numbers = 0
    for key, value in given.items():
        read[key] = _feature(path, key, value)
        numbers += len(read[key].names)
        if numbers > MOST_NUMBERS:
            raise dataset_error(f"{path}: features", f"vectors of at most {MOST_NUMBERS} numbers together", "more")
    return read


def _feature(path: Path, key: str, given: Any) -> Feature:
    where = f"{path}: features"
    if not 0 < len(key) <= MAX_KEY or not key.isprintable() or key.startswith(".") or set(key) & set("/\\"):
        raise dataset_error(where, "names that could be those of a folder, without a slash", repr(key[:MAX_KEY]))
    where = f"{where}: {key}"
    dtype, shape, names = (given.get(name) if isinstance(given, dict) else None for name in ("dtype", "shape", "names"))
    if not isinstance(dtype, str) or not dtype.isprintable():
        raise dataset_error(f"{where}: dtype", "the name of a type", repr(dtype))
    if not isinstance(shape, list) or len(shape) > MOST_DIMENSIONS or not all(map(_is_length, shape)):
        raise dataset_error(f"{where}: shape", f"a list of whole numbers from 1 to {MAX_LENGTH}", repr(shape))
    if dtype in (VIDEO, IMAGE):
        if len(shape) != 3:
            raise dataset_error(f"{where}: shape", "height, width and channels", repr(shape))
        # Old data sets have the channels first; the names of the dimensions say so.
        channels_last = not (isinstance(names, list) and len(names) == 3 and names[0] in _CHANNELS)
        return Feature(key, dtype, tuple(shape), channels_last=channels_last)
    if len(shape) != 1:
        return Feature(key, dtype, tuple(shape))
    named = vector_names(names, shape[0]) or tuple(f"{key}[{place}]" for place in range(shape[0]))
    return Feature(key, dtype, tuple(shape), named)


def _is_length(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= MAX_LENGTH


def vector_names(given: Any, length: int) -> tuple[str, ...]:
    """Return the names of a vector's numbers from `names` of info.json; empty if they are no `length` unique names.

    LeRobot writes a list (or one in a list), lists by kind, or name -> place.
    """
    if isinstance(given, dict) and sorted(given.values(), key=str) == sorted(range(length), key=str):
        given = sorted(given, key=lambda name: given[name])
    elif isinstance(given, dict):
        given = [name for part in given.values() if isinstance(part, list) for name in part]
    elif isinstance(given, list) and len(given) == 1 and isinstance(given[0], list):
        given = given[0]
    named = (
        isinstance(given, list)
        and len(given) == length
        and all(isinstance(name, str) and 0 < len(name) <= MAX_KEY and name.isprintable() for name in given)
        and len(set(given)) == length
    )
    return tuple(given) if named else ()
