"""PolicySpec: what a policy reads and writes, and the check that an observation or chunk is just that.

Imported by every other part of the package; imports numpy only.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from act_inference_ros.errors import BadOutputError, ConfigurationError, ObservationError

STATE_KEY = "observation.state"
ENVIRONMENT_STATE_KEY = "observation.environment_state"
IMAGE_PREFIX = "observation.images."

SHOWN_DIGITS = 16
"""How much of a policy_id is shown to people; all of it is compared."""

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
    ACT does not read, and `observation.state` for a policy without state (LeRobot itself wants it there).
    `state_key` and `environment_state_key` differ from the default only where the checkpoint renames them.
    `policy_id` says which function it is that reads and writes these: 64 hexadecimal digits, empty where nobody knows.
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

    @property
    def vectors(self) -> dict[str, int]:
        """Key -> length of each float32 vector the policy reads."""
        dims = {self.state_key: self.state_dim, self.environment_state_key: self.environment_state_dim}
        return {key: dim for key, dim in dims.items() if dim is not None}

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

    def to_json(self) -> str:
        """Serialise for a model repository or a log; `from_json` is the inverse."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> PolicySpec:
        """Read what `to_json` wrote. Raises ConfigurationError if it is not that."""
        try:
            fields = json.loads(text)
            images = tuple(ImageSpec(**image) for image in fields.pop("images"))
            ignored = tuple(fields.pop("ignored_keys", ()))
            return cls(images=images, ignored_keys=ignored, **fields)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise ConfigurationError(f"not a PolicySpec: {error} in {text[:200]!r}") from error


def shown(policy_id: str) -> str:
    """Return what people are shown of a policy_id."""
    return policy_id[:SHOWN_DIGITS] or "unknown"


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
