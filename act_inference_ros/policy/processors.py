"""LeRobot's processor pipelines (policy_preprocessor.json, policy_postprocessor.json), read but never executed.

Source: LeRobot's processor/pipeline.py and policies/act/processor_act.py (0.4.0 and later). Only the steps of ACT's own
pipelines are known. Any other step might change numbers, so it is an error and not ignored.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from act_inference_ros.errors import CheckpointError
from act_inference_ros.policy import bounds
from act_inference_ros.policy.checkpoint_files import sibling
from act_inference_ros.policy.config import ACTION_KEY, IDENTITY, NORMALIZATION_MODES, parse_features
from act_inference_ros.policy.json_files import read_json
from act_inference_ros.policy.normalization import DEFAULT_EPS
from act_inference_ros.policy.refusals import refusal

PREPROCESSOR_FILE = "policy_preprocessor.json"
POSTPROCESSOR_FILE = "policy_postprocessor.json"
_NORMALIZER_FIELDS = {"eps", "features", "norm_map", "normalize_observation_keys", "device", "dtype"}


@dataclass(frozen=True)
class NormalizerStep:
    """A normaliser or un-normaliser: mode per feature key, eps, and the file with the statistics (None: no file)."""

    modes: Mapping[str, str]
    eps: float = DEFAULT_EPS
    state_file: Path | None = None


@dataclass(frozen=True)
class Pipelines:
    """The effects of both pipelines on numbers and names. `rename`: robot's observation key -> policy's key."""

    normalizer: NormalizerStep
    unnormalizer: NormalizerStep
    rename: Mapping[str, str] = field(default_factory=dict)


def has_processors(directory: Path) -> bool:
    """Whether this checkpoint has processor files: LeRobot 0.4.0 and later."""
    return (directory / PREPROCESSOR_FILE).exists() or (directory / POSTPROCESSOR_FILE).exists()


def read_pipelines(directory: Path) -> Pipelines:
    """Read both pipelines. Raises CheckpointError naming the file, the step, what was expected and what was found."""
    rename: dict[str, str] = {}
    normalizer = unnormalizer = None
    for step in _steps(directory / PREPROCESSOR_FILE):
        if step.name == "rename_observations_processor":
            if rename or normalizer is not None:
                raise step.error("at most one, before the normaliser", "another order")
            rename = step.rename_map()
        elif step.name == "normalizer_processor":
            if normalizer is not None:
                raise step.error("at most one normaliser", "another one")
            normalizer = step.normalizer()
        else:
            step.check_changes_no_numbers(("to_batch_processor", "device_processor"))
    for step in _steps(directory / POSTPROCESSOR_FILE):
        if step.name == "unnormalizer_processor":
            if unnormalizer is not None:
                raise step.error("at most one un-normaliser", "another one")
            unnormalizer = step.normalizer()
        else:
            step.check_changes_no_numbers(("device_processor",))
    if normalizer is None:
        raise CheckpointError(f"{directory / PREPROCESSOR_FILE}: expected a step normalizer_processor, found none")
    if unnormalizer is None:
        raise CheckpointError(f"{directory / POSTPROCESSOR_FILE}: expected a step unnormalizer_processor, found none")
    return Pipelines(normalizer, unnormalizer, rename)


@dataclass(frozen=True)
class _Step:
    path: Path
    index: int
    name: str
    config: Mapping[str, Any]
    state_file: object

    def error(self, expected: str, found: object) -> CheckpointError:
        return refusal(self.path, expected, found, f"step {self.index} ({self.name})")

    def check_changes_no_numbers(self, harmless: tuple[str, ...]) -> None:
        if self.name not in harmless:
            raise self.error("a step of ACT's own pipelines, because others are not run", self.name)
        dtype = self.config.get("float_dtype")  # the device in the same step is the training machine's
        if dtype not in (None, "float32", "float"):
            raise self.error("float_dtype null or float32", dtype)

    def rename_map(self) -> dict[str, str]:
        renames = self.config.get("rename_map", {})
        if not isinstance(renames, dict) or not all(_is_name(key) for pair in renames.items() for key in pair):
            raise self.error("rename_map to be an object of names", renames)
        return renames

    def normalizer(self) -> NormalizerStep:
        unknown = set(self.config) - _NORMALIZER_FIELDS
        if unknown:
            raise self.error(f"no other settings than {sorted(_NORMALIZER_FIELDS)}", sorted(unknown))
        eps = self.config.get("eps", DEFAULT_EPS)
        if isinstance(eps, bool) or not isinstance(eps, (int, float)) or not 0 <= eps <= bounds.EPS:
            raise self.error(f"eps to be a number from 0 to {bounds.EPS:g}", eps)
        return NormalizerStep(self._modes(), float(eps), self._state_path())

    def _modes(self) -> dict[str, str]:
        """Mode per key: for inputs by the step's own features, for the action only by its type, as in LeRobot."""
        by_kind = self.config.get("norm_map")
        if not isinstance(by_kind, dict) or not all(mode in NORMALIZATION_MODES for mode in by_kind.values()):
            raise self.error(f"norm_map to be an object of {', '.join(NORMALIZATION_MODES)}", by_kind)
        try:
            features = parse_features(self.config.get("features"))
        except ValueError as error:
            raise self.error('features to be an object of {key: {"type", "shape"}}', error) from error
        selected = self.config.get("normalize_observation_keys")
        if selected is not None and not isinstance(selected, list):
            raise self.error("normalize_observation_keys to be a list or null", selected)
        modes = {
            feature.key: by_kind.get(feature.kind, IDENTITY)
            for feature in features
            if feature.kind != "ACTION" and (selected is None or feature.key in selected)
        }
        return {**modes, ACTION_KEY: by_kind.get("ACTION", IDENTITY)}

    def _state_path(self) -> Path | None:
        name = self.state_file
        if name is None:
            return None
        path = sibling(self.path, name)
        if path is None:
            raise self.error("state_file to be the name of a file in this directory", repr(name))
        return path


def _is_name(key: object) -> bool:
    """Whether a key is a valid name of an observation."""
    return isinstance(key, str) and 0 < len(key) <= bounds.NAME_LENGTH and key.isprintable()


def _steps(path: Path) -> list[_Step]:
    steps = read_json(path).get("steps")
    if not isinstance(steps, list):
        raise refusal(path, "a list", type(steps).__name__, "steps")
    read = []
    for index, entry in enumerate(steps):
        name = entry.get("registry_name") if isinstance(entry, dict) else None
        if not isinstance(name, str):
            # A step may name a class to import instead. A checkpoint is only data: nothing in it is ever imported.
            raise refusal(path, "a registry_name", entry, f"step {index}")
        config = entry.get("config") or {}
        if not isinstance(config, dict):
            raise refusal(path, "config to be an object", config, f"step {index} ({name})")
        read.append(_Step(path, index, name, config, entry.get("state_file")))
    return read
