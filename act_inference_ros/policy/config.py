"""What config.json says, of every LeRobot generation, checked and reduced to what inference needs.

Source: LeRobot's policies/act/configuration_act.py (defaults and checks) and, before February 2025, its plain dump with
`input_shapes` and `output_shapes`. Fields of training only are ignored, and so are unknown ones.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from act_inference_ros.errors import CheckpointError
from act_inference_ros.policy.backbone import RESNETS
from act_inference_ros.spec import ENVIRONMENT_STATE_KEY, STATE_KEY

ACTION_KEY = "action"
CONFIG_FILE = "config.json"
IDENTITY = "IDENTITY"
NORMALIZATION_MODES = ("MEAN_STD", "MIN_MAX", "QUANTILES", "QUANTILE10", IDENTITY)
_DEFAULT_MODES = {"VISUAL": "MEAN_STD", "STATE": "MEAN_STD", "ACTION": "MEAN_STD"}
_T = TypeVar("_T")


@dataclass(frozen=True)
class Feature:
    """One input or output: `kind` is LeRobot's feature type (STATE, VISUAL, ENV, ACTION ...), images are (C, H, W)."""

    key: str
    kind: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class ActConfig:
    """ACT's architecture and what it reads; the defaults are LeRobot's.

    `inputs` keep config.json's order and the names after the rename step. `modes` is the normalisation mode per feature
    key that config.json asks for; `legacy` marks checkpoints whose statistics lie in model.safetensors.
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
        # LeRobot sizes the layer by the first ENV feature but feeds it this key.
        return next((feature.shape[0] for feature in self.inputs if feature.kind == "ENV"), None)
