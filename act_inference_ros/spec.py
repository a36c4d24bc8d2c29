"""PolicySpec: what a policy reads and writes, and the check that an observation or chunk fits it.

Imported by every other part of the package; imports numpy only.
"""

from __future__ import annotations

import json
import re
import reprlib
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, fields
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from act_inference_ros.errors import BadOutputError, ConfigurationError, ObservationError

STATE_KEY = "observation.state"
ENVIRONMENT_STATE_KEY = "observation.environment_state"
IMAGE_PREFIX = "observation.images."

SHOWN_DIGITS = 16
"""Digits of a policy_id that are shown to people; comparisons use all digits."""

# Upper limits of the values in a spec. A server sends a spec, and memory of these sizes is allocated.
MAX_LENGTH = 2**16
"""Longest vector, longest chunk in steps, longest side of an image in pixels."""
MAX_CHUNK = 2**22
"""Most numbers in a chunk: 16 MiB."""
MAX_CAMERAS = 64
MAX_IMAGE_PIXELS = 2**25
"""Most pixels of all cameras together: one camera with 8K video, or sixteen with full HD."""
MAX_COEFFICIENT = 1e6
"""Largest coefficient of temporal ensembling, with either sign."""
MAX_KEY = 256
"""Most characters of a feature key."""
MAX_IGNORED = 1000
MAX_SPEC_TEXT = 2**20
"""Most characters of a spec as JSON."""

Chunk: TypeAlias = npt.NDArray[np.float32]
"""An action chunk, float32 (chunk_size, action_dim), in the policy's units; row i is for t_obs + i / fps."""

Observation: TypeAlias = Mapping[str, npt.NDArray[Any] | bytes]
"""LeRobot feature key -> array (or, for an image, JPEG bytes). See `PolicySpec.check_observation`."""


@dataclass(frozen=True)
class ImageSpec:
    """One camera image of the observation: uint8 (height, width, 3) RGB under `key`."""

    key: str
    height: int
    width: int

    def __post_init__(self) -> None:
        """Raise ConfigurationError for a name or a size that an image cannot have."""
        _check_key("key", self.key)
        _check_count(f"{self.key}: height", self.height, MAX_LENGTH)
        _check_count(f"{self.key}: width", self.width, MAX_LENGTH)

    @property
    def camera(self) -> str:
        """The camera's short name: `observation.images.top` -> `top`, `observation.image` -> `image`."""
        return self.key.removeprefix(IMAGE_PREFIX).removeprefix("observation.")

    @property
    def shape(self) -> tuple[int, int, int]:
        """(height, width, 3)."""
        return (self.height, self.width, 3)


@dataclass(frozen=True)
class PolicySpec:
    """What a policy reads and writes, in the names and units of the robot side.

    `ignored_keys` may be present in an observation and have no influence: inputs that the checkpoint declares but
    ACT does not read, and `observation.state` for a policy without state (LeRobot itself requires it).
    `state_key` and `environment_state_key` differ from the default only where the checkpoint renames them.
    `policy_id` identifies the function from these inputs to these outputs: 64 hexadecimal digits, empty if unknown.
    """

    chunk_size: int
    action_dim: int
    images: tuple[ImageSpec, ...] = ()
    state_dim: int | None = None
    environment_state_dim: int | None = None
    n_action_steps: int = 1
    temporal_ensemble_coeff: float | None = None
    ignored_keys: tuple[str, ...] = ()
    state_key: str = STATE_KEY
    environment_state_key: str = ENVIRONMENT_STATE_KEY
    policy_id: str = ""

    def __post_init__(self) -> None:
        """Raise ConfigurationError for a field of the wrong type, or beyond the size of any policy."""
        _check_count("chunk_size", self.chunk_size, MAX_LENGTH)
        _check_count("action_dim", self.action_dim, MAX_LENGTH)
        if self.chunk_size * self.action_dim > MAX_CHUNK:
            raise _refused("chunk_size times action_dim", f"at most {MAX_CHUNK} numbers", self.chunk_size)
        for name in ("state_dim", "environment_state_dim"):
            if getattr(self, name) is not None:
                _check_count(name, getattr(self, name), MAX_LENGTH)
        _check_count("n_action_steps", self.n_action_steps, self.chunk_size)
        _check_coefficient("temporal_ensemble_coeff", self.temporal_ensemble_coeff)
        _check_tuple("images", self.images, ImageSpec, MAX_CAMERAS)
        if sum(image.height * image.width for image in self.images) > MAX_IMAGE_PIXELS:
            sizes = [(image.height, image.width) for image in self.images]
            raise _refused("images", f"at most {MAX_IMAGE_PIXELS} pixels together", sizes)
        _check_tuple("ignored_keys", self.ignored_keys, str, MAX_IGNORED)
        named = {"state_key": self.state_key, "environment_state_key": self.environment_state_key}
        for name, key in [*named.items(), *(("ignored_keys", key) for key in self.ignored_keys)]:
            _check_key(name, key)
        vectors = [key for key, dim in self._dims if dim is not None]
        keys = [*vectors, *(image.key for image in self.images)]
        if len(set(keys)) != len(keys):
            raise _refused("images and state_key", "different names", keys)
        if not isinstance(self.policy_id, str) or not _POLICY_ID.fullmatch(self.policy_id):
            raise _refused("policy_id", "64 hexadecimal digits in lower case, or nothing", self.policy_id)

    @property
    def vectors(self) -> dict[str, int]:
        """Key -> length of each float32 vector the policy reads."""
        return {key: dim for key, dim in self._dims if dim is not None}

    @property
    def _dims(self) -> tuple[tuple[str, int | None], ...]:
        return ((self.state_key, self.state_dim), (self.environment_state_key, self.environment_state_dim))

    @property
    def keys(self) -> tuple[str, ...]:
        """Every key an observation must have: the vectors, then the images."""
        return (*self.vectors, *(image.key for image in self.images))

    @property
    def cameras(self) -> tuple[str, ...]:
        """Short names of the cameras, in the policy's order."""
        return tuple(image.camera for image in self.images)

    def check_observation(self, observation: Observation) -> dict[str, npt.NDArray[Any] | bytes]:
        """Return the entries the policy reads, in the order of `keys`.

        Vectors must be float32 (dim,) and finite; images uint8 (height, width, 3), or bytes holding a JPEG (whose
        content is checked where it is decoded). Raises ObservationError naming the key, what was expected, what came.
        """
        if not isinstance(observation, Mapping):
            raise ObservationError(
                f"observation: expected a mapping of {list(self.keys)} to arrays, got {_describe(observation)}"
            )
        missing = [key for key in self.keys if key not in observation]
        unknown = [key for key in observation if key not in self.keys and key not in self.ignored_keys]
        if missing or unknown:
            raise ObservationError(
                f"observation: the policy reads {list(self.keys)}; "
                f"missing: {missing or 'none'}, unknown: {unknown or 'none'}"
            )
        checked: dict[str, npt.NDArray[Any] | bytes] = {}
        for key, dim in self.vectors.items():
            checked[key] = _checked_vector(key, observation[key], dim)
        for image in self.images:
            checked[image.key] = _checked_image(image, observation[image.key])
        return checked

    def check_chunk(self, chunk: Any, source: str = "the policy") -> Chunk:
        """Return `chunk` if it is a finite float32 (chunk_size, action_dim) array, else raise BadOutputError."""
        expected = (self.chunk_size, self.action_dim)
        if not isinstance(chunk, np.ndarray) or chunk.dtype != np.float32 or chunk.shape != expected:
            raise BadOutputError(f"action chunk from {source}: expected float32 {expected}, got {_describe(chunk)}")
        if not np.isfinite(chunk).all():
            step, dim = np.argwhere(~np.isfinite(chunk))[0]
            raise BadOutputError(
                f"action chunk from {source}: expected finite numbers, got {chunk[step, dim]} at step {step}, "
                f"action {dim}; the whole chunk is dropped"
            )
        return chunk

    def differences(self, other: PolicySpec) -> dict[str, tuple[Any, Any]]:
        """Return field -> its values here and in `other`, for the fields that differ."""
        pairs = {name: (getattr(self, name), getattr(other, name)) for name in self.__dataclass_fields__}
        return {name: (ours, theirs) for name, (ours, theirs) in pairs.items() if ours != theirs}

    def to_json(self) -> str:
        """Serialise for a model repository or a log; `from_json` is the inverse."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> PolicySpec:
        """Read the output of `to_json`. Raises ConfigurationError for anything else; the text is not trusted."""
        try:
            given = _taken(cls, _read_fields(text), needed=("images",))
            given["images"] = tuple(map(_read_image, _list("images", given["images"])))
            given["ignored_keys"] = tuple(_list("ignored_keys", given.get("ignored_keys", [])))
            return cls(**given)
        except ConfigurationError as error:
            raise ConfigurationError(f"not a PolicySpec: {error}") from error


def shown_id(policy_id: str) -> str:
    """Return the part of a policy_id that is shown to people."""
    return policy_id[:SHOWN_DIGITS] or "unknown"


_POLICY_ID = re.compile(r"(?:[0-9a-f]{64})?")


def _refused(name: str, expected: str, got: Any) -> ConfigurationError:
    # reprlib, because a server may send values of any length and depth.
    return ConfigurationError(f"{name}: expected {expected}, got {reprlib.repr(got)}")


def _check_count(name: str, value: Any, most: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= most:
        raise _refused(name, f"a whole number from 1 to {most}", value)


def _check_coefficient(name: str, value: Any) -> None:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if value is not None and not (number and abs(value) <= MAX_COEFFICIENT):
        raise _refused(name, f"a number from {-MAX_COEFFICIENT:g} to {MAX_COEFFICIENT:g}, or none", value)


def _check_key(name: str, value: Any) -> None:
    if not isinstance(value, str) or not 1 <= len(value) <= MAX_KEY or not value.isprintable():
        raise _refused(name, f"a name of 1 to {MAX_KEY} printable characters", value)


def _check_tuple(name: str, value: Any, kind: type, most: int) -> None:
    if not isinstance(value, tuple) or len(value) > most or not all(isinstance(each, kind) for each in value):
        raise _refused(name, f"a tuple of {kind.__name__}, at most {most}", value)


def _read_fields(text: str) -> Any:
    """Parse strict JSON: no NaN or Infinity, and no repeated key."""
    if len(text) > MAX_SPEC_TEXT:
        raise ConfigurationError(f"expected at most {MAX_SPEC_TEXT} characters, got {len(text)}")
    try:
        return json.loads(text, parse_constant=_no_constant, object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise ConfigurationError(f"expected JSON, got {reprlib.repr(text)}: {reprlib.repr(str(error))}") from error


def _no_constant(word: str) -> Any:
    raise ValueError(f"{word} is no number")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    read = dict(pairs)
    if len(read) != len(pairs):
        raise ValueError("a key stands there twice")
    return read


def _read_image(read: Any) -> ImageSpec:
    try:
        return ImageSpec(**_taken(ImageSpec, read))
    except ConfigurationError as error:
        raise ConfigurationError(f"images: {error}") from error


def _taken(cls: type, read: Any, needed: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return a dataclass's fields from read data: all that are `needed` or have no default must exist, no others."""
    if not isinstance(read, dict):
        raise _refused(cls.__name__, "an object of fields", read)
    known = {field.name: field.default is MISSING or field.name in needed for field in fields(cls)}
    missing = [name for name, must in known.items() if must and name not in read]
    unknown = sorted(set(read) - set(known))
    if missing or unknown:
        raise ConfigurationError(
            f"expected the fields {', '.join(known)}; missing: {', '.join(missing) or 'none'}, "
            f"unknown: {reprlib.repr(unknown) if unknown else 'none'}"
        )
    return dict(read)


def _list(name: str, value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise _refused(name, "a list", value)
    return value


def _checked_vector(key: str, value: Any, dim: int) -> npt.NDArray[np.float32]:
    if not isinstance(value, np.ndarray) or value.dtype != np.float32 or value.shape != (dim,):
        raise ObservationError(f"{key}: expected float32 ({dim},), got {_describe(value)}")
    if not np.isfinite(value).all():
        index = int(np.flatnonzero(~np.isfinite(value))[0])
        raise ObservationError(f"{key}: expected finite numbers, got {value[index]} at index {index}")
    return value


def _checked_image(image: ImageSpec, value: Any) -> npt.NDArray[np.uint8] | bytes:
    if isinstance(value, bytes):
        return value
    if not isinstance(value, np.ndarray) or value.dtype != np.uint8 or value.shape != image.shape:
        raise ObservationError(f"{image.key}: expected uint8 {image.shape} RGB or JPEG bytes, got {_describe(value)}")
    return value


def _describe(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"{value.dtype} {value.shape}"
    return type(value).__name__
