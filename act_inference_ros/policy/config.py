"""Reads config.json of every LeRobot generation, checks it, and keeps what inference needs.

Source: LeRobot's policies/act/configuration_act.py (defaults and checks) and, before February 2025, its plain dump with
`input_shapes` and `output_shapes`. Fields that only training uses are ignored, and so are unknown fields.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from act_inference_ros.errors import CheckpointError
from act_inference_ros.policy import bounds
from act_inference_ros.policy.checkpoint_files import CONFIG_FILE
from act_inference_ros.policy.json_files import read_json
from act_inference_ros.policy.refusals import refusal, shown
from act_inference_ros.policy.resnets import RESNETS
from act_inference_ros.spec import ENVIRONMENT_STATE_KEY, STATE_KEY

ACTION_KEY = "action"
IDENTITY = "IDENTITY"
NORMALIZATION_MODES = ("MEAN_STD", "MIN_MAX", "QUANTILES", "QUANTILE10", IDENTITY)
_DEFAULT_MODES = {"VISUAL": "MEAN_STD", "STATE": "MEAN_STD", "ACTION": "MEAN_STD"}


@dataclass(frozen=True)
class Feature:
    """One input or output: `kind` is LeRobot's feature type (STATE, VISUAL, ENV, ACTION ...), images are (C, H, W)."""

    key: str
    kind: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class ActConfig:
    """ACT's architecture and inputs; the defaults are LeRobot's.

    `inputs` keep config.json's order, with the names after the rename step. `modes` is the normalisation mode per
    feature key in config.json; a key without a mode is not normalised.
    """

    inputs: tuple[Feature, ...]
    action_dim: int
    chunk_size: int = 100
    n_action_steps: int = 100
    vision_backbone: str = "resnet18"
    replace_final_stride_with_dilation: bool = False
    pre_norm: bool = False
    dim_model: int = 512
    n_heads: int = 8
    dim_feedforward: int = 3200
    feedforward_activation: str = "relu"
    n_encoder_layers: int = 4
    n_decoder_layers: int = 1
    latent_dim: int = 32
    temporal_ensemble_coeff: float | None = None
    modes: Mapping[str, str] = field(default_factory=dict)

    @property
    def images(self) -> tuple[Feature, ...]:
        """The cameras, in the policy's order."""
        return tuple(feature for feature in self.inputs if feature.kind == "VISUAL")

    @property
    def state_dim(self) -> int | None:
        """Length of observation.state; None if the policy reads none."""
        for feature in self.inputs:
            if feature.kind == "STATE" and feature.key == STATE_KEY:
                return feature.shape[0]
        return None

    @property
    def environment_state_dim(self) -> int | None:
        """Length of observation.environment_state; None if the policy reads none."""
        # LeRobot sizes the layer by the first ENV feature but feeds it this key; read_config checks that both fit.
        return next((feature.shape[0] for feature in self.inputs if feature.kind == "ENV"), None)

    @property
    def read_keys(self) -> tuple[str, ...]:
        """Keys of the inputs the network reads: state, environment state, images in order."""
        vectors = {STATE_KEY: self.state_dim, ENVIRONMENT_STATE_KEY: self.environment_state_dim}
        return (*(key for key, dim in vectors.items() if dim is not None), *(image.key for image in self.images))


def read_config(directory: Path) -> ActConfig:
    """Read and check `config.json`. Raises CheckpointError naming the file, the field, what was expected and found."""
    path = directory / CONFIG_FILE
    return _ConfigReader(path, read_json(path)).config()


class _ConfigReader:
    """The fields of one config.json; each is checked when it is read."""

    def __init__(self, path: Path, fields: dict[str, Any]) -> None:
        self.path = path
        self.fields = fields

    def config(self) -> ActConfig:
        inputs, outputs, modes = self._hydra_features() if self._is_hydra() else self._typed_features()
        self._check_inputs(inputs)
        self._check_rules()
        return ActConfig(
            inputs=tuple(inputs),
            action_dim=self._action_dim(outputs),
            chunk_size=self._count("chunk_size", 100),
            n_action_steps=self._count("n_action_steps", 100),
            vision_backbone=self._choice("vision_backbone", "resnet18", tuple(RESNETS)),
            replace_final_stride_with_dilation=self._flag("replace_final_stride_with_dilation"),
            pre_norm=self._flag("pre_norm"),
            dim_model=self._count("dim_model", 512),
            n_heads=self._count("n_heads", 8),
            dim_feedforward=self._count("dim_feedforward", 3200),
            feedforward_activation=self._choice("feedforward_activation", "relu", ("relu", "gelu")),
            n_encoder_layers=self._count("n_encoder_layers", 4),
            n_decoder_layers=self._count("n_decoder_layers", 1),
            latent_dim=self._count("latent_dim", 32),
            temporal_ensemble_coeff=self._ensemble_coeff(),
            modes=modes,
        )

    def _is_hydra(self) -> bool:
        kind = self.fields.get("type")
        if kind == "act":
            return False
        if kind is None and "input_shapes" in self.fields and "chunk_size" in self.fields:
            return True
        raise self._error("type", '"act"', "none" if kind is None else json.dumps(kind))

    def _typed_features(self) -> tuple[list[Feature], list[Feature], dict[str, str]]:
        inputs, outputs = self._features("input_features"), self._features("output_features")
        by_kind = self.fields.get("normalization_mapping", _DEFAULT_MODES)
        if not isinstance(by_kind, dict):
            raise self._error("normalization_mapping", "an object", by_kind)
        modes = {}
        for feature in (*inputs, *outputs):
            modes[feature.key] = self._mode("normalization_mapping", by_kind.get(feature.kind, IDENTITY))
        return inputs, outputs, modes

    def _features(self, name: str) -> list[Feature]:
        try:
            return parse_features(self.fields.get(name))
        except ValueError as error:
            raise self._error(name, 'an object of {key: {"type", "shape"}}', error) from error

    def _hydra_features(self) -> tuple[list[Feature], list[Feature], dict[str, str]]:
        inputs, modes = self._hydra_side("input")
        outputs, output_modes = self._hydra_side("output")
        return inputs, outputs, {**modes, **output_modes}

    def _hydra_side(self, side: str) -> tuple[list[Feature], dict[str, str]]:
        shapes, modes = self.fields.get(f"{side}_shapes"), self.fields.get(f"{side}_normalization_modes", {})
        if not isinstance(shapes, dict) or not isinstance(modes, dict):
            raise self._error(f"{side}_shapes", "an object of shapes, and one of modes", shapes)
        try:
            typed = {key: {"type": _kind_by_name(key), "shape": shape} for key, shape in shapes.items()}
            features = parse_features(typed)
        except ValueError as error:
            raise self._error(f"{side}_shapes", "an object of {key: shape}", error) from error
        name = f"{side}_normalization_modes"
        return features, {key: self._mode(name, str(mode).upper()) for key, mode in modes.items()}

    def _mode(self, name: str, mode: object) -> str:
        if mode not in NORMALIZATION_MODES:
            raise self._error(name, f"one of {', '.join(NORMALIZATION_MODES)}", mode)
        return str(mode)

    def _check_inputs(self, inputs: list[Feature]) -> None:
        images = [feature for feature in inputs if feature.kind == "VISUAL"]
        environment = [feature for feature in inputs if feature.kind == "ENV"]
        if not images and not environment:
            raise self._error("input_features", "at least one VISUAL or ENV feature", [f.key for f in inputs])
        for image in images:
            if len(image.shape) != 3 or image.shape[0] != 3:
                raise self._error(image.key, "an image shape (3, height, width)", image.shape)
            if max(image.shape) > bounds.IMAGE_SIDE:
                raise self._error(image.key, f"a height and width of at most {bounds.IMAGE_SIDE}", image.shape)
        pixels = sum(image.shape[1] * image.shape[2] for image in images)
        if pixels > bounds.PIXELS:
            raise self._error("input_features", f"at most {bounds.PIXELS} pixels of all cameras together", pixels)
        read = [f for f in inputs if f.kind == "ENV" or f.key in (STATE_KEY, ENVIRONMENT_STATE_KEY)]
        for vector in read:
            if len(vector.shape) != 1 or vector.shape[0] > bounds.VECTOR:
                raise self._error(vector.key, f"the shape of a vector of at most {bounds.VECTOR} numbers", vector.shape)
        fed = next((feature for feature in inputs if feature.key == ENVIRONMENT_STATE_KEY), None)
        if environment and (fed is None or fed.shape != environment[0].shape):
            expected = (
                f"an input {ENVIRONMENT_STATE_KEY} of shape {environment[0].shape}, for ACT reads its ENV input there"
            )
            raise self._error(environment[0].key, expected, "none" if fed is None else fed.shape)

    def _check_rules(self) -> None:
        """Check the rules that LeRobot checks, or that make LeRobot fail."""
        chunk_size, n_action_steps = self._count("chunk_size", 100), self._count("n_action_steps", 100)
        dim, heads = self._count("dim_model", 512), self._count("n_heads", 8)
        if self._count("n_obs_steps", 1) != 1:
            raise self._error("n_obs_steps", "1", self.fields["n_obs_steps"])
        if n_action_steps > chunk_size:
            raise self._error("n_action_steps", f"at most chunk_size = {chunk_size}", n_action_steps)
        if self._ensemble_coeff() is not None and n_action_steps != 1:
            raise self._error("n_action_steps", "1, because temporal_ensemble_coeff is set", n_action_steps)
        if dim % heads or dim % 4:
            raise self._error("dim_model", f"a multiple of 4 and of n_heads = {heads}", dim)
        layout = RESNETS[self._choice("vision_backbone", "resnet18", tuple(RESNETS))]
        if self._flag("replace_final_stride_with_dilation") and not layout.bottleneck:
            raise self._error("replace_final_stride_with_dilation", "false with resnet18 and resnet34", "true")

    def _action_dim(self, outputs: list[Feature]) -> int:
        action = next((f for f in outputs if f.key == ACTION_KEY and f.kind == "ACTION"), None)
        if action is None or len(action.shape) != 1 or action.shape[0] > bounds.VECTOR:
            expected = f"a vector {ACTION_KEY!r} of type ACTION with at most {bounds.VECTOR} numbers"
            raise self._error("output_features", expected, outputs)
        return action.shape[0]

    def _ensemble_coeff(self) -> float | None:
        if self.fields.get("temporal_ensemble_momentum") is not None:
            raise self._error(
                "temporal_ensemble_momentum",
                "null: the moving average of LeRobot before July 2024 is not one of the ways to merge chunks. Set it "
                "to null (and temporal_ensemble_coeff to 0.01 for ACT's own ensembling)",
                self.fields["temporal_ensemble_momentum"],
            )
        value = self.fields.get("temporal_ensemble_coeff")
        if value is None:
            return None
        largest = bounds.ENSEMBLE_EXPONENT / self._count("chunk_size", 100)
        # With positive coefficients late weights may become 0, with negative ones they may become infinite.
        allowed = isinstance(value, (int, float)) and -largest <= value <= bounds.ENSEMBLE_EXPONENT
        if isinstance(value, bool) or not allowed:
            expected = f"a number from {-largest:g} to {bounds.ENSEMBLE_EXPONENT:g}, or null"
            raise self._error("temporal_ensemble_coeff", expected, value)
        return float(value)

    def _count(self, name: str, default: int) -> int:
        value = self.fields.get(name, default)
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= bounds.COUNTS[name]:
            raise self._error(name, f"a whole number from 1 to {bounds.COUNTS[name]}", value)
        return value

    def _flag(self, name: str) -> bool:
        value = self.fields.get(name, False)
        if value not in (False, True):  # 0 and 1 too: LeRobot declares some flags as int
            raise self._error(name, "true or false", value)
        return bool(value)

    def _choice(self, name: str, default: str, choices: tuple[str, ...]) -> str:
        value = self.fields.get(name, default)
        if value not in choices:
            raise self._error(name, f"one of {', '.join(choices)}", value)
        return str(value)

    def _error(self, name: str, expected: str, found: object) -> CheckpointError:
        return refusal(self.path, expected, found, name)


def parse_features(value: object) -> list[Feature]:
    """Features from `{key: {"type": ..., "shape": [...]}}`, in order. Raises ValueError saying what is wrong."""
    if not isinstance(value, dict):
        raise ValueError(f"{type(value).__name__}")
    if len(value) > bounds.FEATURES:
        raise ValueError(f"{len(value)} entries, more than {bounds.FEATURES}")
    features = []
    for key, entry in value.items():
        if not 0 < len(key) <= bounds.NAME_LENGTH or not key.isprintable():
            raise ValueError(f"the name {shown(key)!r}, empty, too long or not printable")
        kind = entry.get("type") if isinstance(entry, dict) else None
        shape = entry.get("shape") if isinstance(entry, dict) else None
        if not isinstance(kind, str) or not isinstance(shape, list):
            raise ValueError(f"{key}: {shown(entry)}")
        if not all(isinstance(size, int) and not isinstance(size, bool) and size > 0 for size in shape):
            raise ValueError(f"{key}: shape {shown(shape)}")
        features.append(Feature(key, kind, tuple(shape)))
    return features


def _kind_by_name(key: str) -> str:
    """The type of a feature by its name, for old files without types."""
    if key.startswith("observation.image"):
        return "VISUAL"
    if key == ENVIRONMENT_STATE_KEY:
        return "ENV"
    return "ACTION" if key == ACTION_KEY else "STATE"
