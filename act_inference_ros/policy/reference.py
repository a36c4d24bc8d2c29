"""Reference: a policy's expected chunks for a few observations, so that a copy can be checked without its checkpoint.

export_policy writes it into parity.json and check_server reads it, with numpy alone. The images are not stored: they
are generated again from the seed, and their checksum shows whether they are the same.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from act_inference_ros.errors import ConfigurationError
from act_inference_ros.policy.refusals import shown
from act_inference_ros.program.bounded_json import load_json
from act_inference_ros.program.regular_files import read_regular
from act_inference_ros.spec import PolicySpec

PARITY_FILE = "parity.json"
TOLERANCES = {"float32": 1e-4, "float16": 2e-2}
"""Largest accepted error, as a fraction of the action's range, for each precision of the network."""
RANGE_FLOOR = 1e-2
SEED = 0
MOST_BYTES = 2**24
"""Largest parity.json that is read. That of a policy with 14 joints and chunks of 100 has about 70 kilobytes."""
MOST_PIXELS = 2**23
"""Most pixels of all cameras together, such as four with full HD: eight observations are in memory at once."""
_MOST_LISTS, _MOST_VALUES = 2**14, 2**20

Arrays: TypeAlias = dict[str, npt.NDArray[Any]]
"""Key -> a batch of raw inputs, the batch dimension first."""
Actions: TypeAlias = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Reference:
    """Observations and the chunks that local mode computes for them.

    `observations`: name -> one observation, each input with a batch dimension of 1. `actions`: float32
    (observations, chunk_size, action_dim), in the policy's units; `ranges`: float64 (action_dim,), the same units.
    `tolerance`: the largest accepted error, as a fraction of the range.
    """

    spec: PolicySpec
    precision: str
    tolerance: float
    observations: Mapping[str, Arrays]
    actions: Actions
    ranges: npt.NDArray[np.float64]
    seed: int = SEED

    @property
    def policy_id(self) -> str:
        """Which policy this is, 64 hexadecimal digits."""
        return self.spec.policy_id

    def errors(self, chunks: npt.NDArray[Any], rows: Sequence[int]) -> npt.NDArray[np.float64]:
        """Differences as a fraction of the action's range, same shape as `chunks`; infinite for non-finite values.

        `chunks` (n, chunk_size, action_dim) are for the observations numbered `rows`.
        """
        difference = np.abs(chunks.astype(np.float64) - self.actions[list(rows)])
        difference[~np.isfinite(difference)] = np.inf
        relative: npt.NDArray[np.float64] = difference / self.ranges
        return relative

    def as_json(self) -> dict[str, Any]:
        """The data for `read_reference`, without the report's own fields: arrays as base64 of little-endian float32."""
        everything = list(self.observations.values())
        return {
            "spec": asdict(self.spec),
            "seed": self.seed,
            "images_sha256": _checksum(self.spec, everything),
            "vectors": {key: _encoded(np.concatenate([one[key] for one in everything])) for key in self.spec.vectors},
            "actions": _encoded(self.actions),
        }


def make_reference(
    spec: PolicySpec,
    precision: str,
    observations: Mapping[str, Arrays],
    local: Callable[[Arrays], Actions],
    spread: npt.NDArray[np.floating[Any]],
) -> Reference:
    """Compute the reference with `local`: one observation -> actions (1, chunk_size, action_dim).

    An action's range is its largest minus its smallest value in all chunks. A range below RANGE_FLOOR times the data's
    `spread` (action_dim,) or times the largest magnitude is raised to that value, because float32 has no finer
    resolution: an action that never moves may still differ by a rounding error.
    """
    kept = {name: {key: rows[key] for key in spec.keys} for name, rows in observations.items()}
    wanted = np.concatenate([local(one) for one in kept.values()])
    actions = wanted.reshape(-1, spec.action_dim)
    floor = RANGE_FLOOR * np.maximum(np.abs(spread), np.abs(actions).max(axis=0))
    ranges = np.maximum(np.ptp(actions, axis=0), floor).astype(np.float64)
    ranges[ranges == 0] = np.finfo(np.float32).tiny  # only zeros were expected, so only zeros pass
    return Reference(spec, precision, TOLERANCES[precision], kept, wanted, ranges)


def reference_observations(
    spec: PolicySpec, centres: Mapping[str, npt.NDArray[Any]], spreads: Mapping[str, npt.NDArray[Any]], seed: int = SEED
) -> dict[str, Arrays]:
    """Name -> observation: four random ones, then black, white, gradients and a checkerboard.

    Vectors lie around the data's `centres`, by key, within a few `spreads`, each (dim,). Raises ConfigurationError for
    cameras of more than MOST_PIXELS together.
    """
    random = np.random.RandomState(seed)
    images = _images(spec, seed)
    observations = {}
    for name, pixels in images.items():
        vectors = {
            key: (centres[key] + spreads[key] * _state(name, dim, random)).astype(np.float32)[np.newaxis]
            for key, dim in spec.vectors.items()
        }
        observations[name] = {**vectors, **pixels}
    return observations


def read_reference(path: Path) -> Reference:
    """Read a parity.json. Raises ConfigurationError if it is invalid, or if its observations cannot be made again."""
    try:
        fields = load_json(read_regular(path, MOST_BYTES).decode("utf-8"), _MOST_LISTS, _MOST_VALUES)
    except OSError as error:
        raise ConfigurationError(
            f"{path}: {error.strerror}; expected the {PARITY_FILE} of an exported policy"
        ) from error
    except ValueError as error:
        raise ConfigurationError(
            f"{path}: expected the {PARITY_FILE} of an exported policy, got no JSON; export the policy again"
        ) from error
    try:
        return _reference(fields)
    except KeyError as error:
        raise ConfigurationError(
            f"{path}: there is no {error} in it, by which a server could be judged; export the policy again"
        ) from error
    except (ConfigurationError, ValueError, TypeError, AttributeError, IndexError, OverflowError) as error:
        raise ConfigurationError(f"{path}: cannot judge a server by it: {error}; export the policy again") from error


def _reference(fields: dict[str, Any]) -> Reference:
    kept = fields["reference"]
    spec, seed = PolicySpec.from_json(json.dumps(kept["spec"])), int(kept["seed"])
    count = len(_PATTERNS)
    if list(fields["observations"]) != list(_PATTERNS):
        raise ValueError(f"its observations are {shown(fields['observations'])}, this version has {list(_PATTERNS)}")
    vectors = {key: _decoded(kept["vectors"][key], (count, dim)) for key, dim in spec.vectors.items()}
    actions = _decoded(kept["actions"], (count, spec.chunk_size, spec.action_dim))
    ranges = np.array(fields["ranges"], np.float64)
    tolerance = float(fields["tolerance"])
    if ranges.shape != (spec.action_dim,) or not (ranges > 0).all() or not 0 < tolerance < 1:
        raise ValueError(f"expected {spec.action_dim} ranges above 0 and a tolerance between 0 and 1")
    if not re.fullmatch(r"[0-9a-f]{64}", spec.policy_id) or fields["policy_id"] != spec.policy_id:
        raise ValueError(f"expected a policy_id of 64 hexadecimal digits, got {shown(repr(fields['policy_id']))}")
    images = _images(spec, seed)  # last, because it takes long
    if _checksum(spec, list(images.values())) != kept["images_sha256"]:
        raise ValueError("the images made here are not those it was written with")
    observations = {
        name: {**{key: rows[i : i + 1] for key, rows in vectors.items()}, **pixels}
        for i, (name, pixels) in enumerate(images.items())
    }
    return Reference(
        spec=spec,
        precision=str(fields["precision"]),
        tolerance=tolerance,
        observations=observations,
        actions=actions,
        ranges=ranges,
        seed=seed,
    )


def _images(spec: PolicySpec, seed: int) -> dict[str, Arrays]:
    """Observation's name -> its images: only whole numbers, so that every machine makes the same images.

    RandomState's numbers never change with numpy's version; those of numpy's newer generators may. Raises
    ConfigurationError for more than MOST_PIXELS.
    """
    pixels = sum(image.height * image.width for image in spec.images)
    if pixels > MOST_PIXELS:
        raise ConfigurationError(
            f"expected cameras of at most {MOST_PIXELS} pixels together, for which a reference can be made,"
            f" got {pixels}; use a policy that reads smaller images"
        )
    random = np.random.RandomState(seed)
    return {
        name: {i.key: pattern(i.height, i.width, random).astype(np.uint8)[np.newaxis] for i in spec.images}
        for name, pattern in _PATTERNS.items()
    }


def _state(name: str, dim: int, random: np.random.RandomState) -> npt.NDArray[Any]:
    """The distance of each number of the vector from its centre, in spreads, (dim,)."""
    if name.startswith("random"):
        drawn: npt.NDArray[np.float64] = np.asarray(random.normal(size=dim))
        return drawn
    states: dict[str, Callable[[], npt.NDArray[Any]]] = {
        "black, mean state": lambda: np.zeros(dim),
        "white, low state": lambda: np.full(dim, -2.0),
        "gradients, high state": lambda: np.full(dim, 2.0),
        "checkerboard, ramp of states": lambda: np.linspace(-3.0, 3.0, dim),
    }
    return states[name]()


def _noise(height: int, width: int, random: np.random.RandomState) -> npt.NDArray[Any]:
    return np.frombuffer(random.bytes(3 * height * width), np.uint8).reshape(height, width, 3)


def _black(height: int, width: int, _random: np.random.RandomState) -> npt.NDArray[Any]:
    return np.zeros((height, width, 3), np.uint8)


def _white(height: int, width: int, _random: np.random.RandomState) -> npt.NDArray[Any]:
    return np.full((height, width, 3), 255, np.uint8)


def _gradients(height: int, width: int, _random: np.random.RandomState) -> npt.NDArray[Any]:
    """Red grows downwards, green to the right, blue shrinks downwards: shows transposed images and swapped channels."""
    down = np.broadcast_to(_ramp(height)[:, np.newaxis], (height, width))
    return np.stack([down, np.broadcast_to(_ramp(width), (height, width)), 255 - down], axis=-1)


def _ramp(length: int) -> npt.NDArray[np.uint8]:
    """From 0 to 255."""
    return (np.arange(length) * 255 // max(1, length - 1)).astype(np.uint8)


def _checkerboard(height: int, width: int, _random: np.random.RandomState) -> npt.NDArray[Any]:
    """Squares of 8 pixels, like JPEG's blocks: JPEG does not change this image."""
    rows, columns = ((np.arange(length) // 8 % 2 * 255).astype(np.uint8) for length in (height, width))
    return np.repeat((rows[:, np.newaxis] ^ columns)[..., np.newaxis], 3, axis=-1)


_PATTERNS: dict[str, Callable[[int, int, np.random.RandomState], npt.NDArray[Any]]] = {
    **{f"random {i}": _noise for i in range(4)},
    "black, mean state": _black,
    "white, low state": _white,
    "gradients, high state": _gradients,
    "checkerboard, ramp of states": _checkerboard,
}
"""Observation's name -> what makes its images, of a height and a width: uint8 (height, width, 3)."""


def _checksum(spec: PolicySpec, observations: Sequence[Arrays]) -> str:
    digest = hashlib.sha256()
    for one in observations:
        for image in spec.images:
            digest.update(np.ascontiguousarray(one[image.key]).data)
    return digest.hexdigest()


def _encoded(array: npt.NDArray[Any]) -> str:
    return base64.b64encode(np.ascontiguousarray(array, "<f4").tobytes()).decode("ascii")


def _decoded(text: str, shape: tuple[int, ...]) -> npt.NDArray[np.float32]:
    numbers = np.frombuffer(base64.b64decode(text, validate=True), "<f4").astype(np.float32)
    if not np.isfinite(numbers).all():
        raise ValueError("it holds numbers that are not finite")
    return numbers.reshape(shape)
