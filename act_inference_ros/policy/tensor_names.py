"""The names of the tensors in a checkpoint's weights: old names -> current names, and which names inference reads."""

from __future__ import annotations

NETWORK = "model."
"""LeRobot's prefix of the name of each network parameter."""
UNUSED_AT_INFERENCE = ("model.vae_encoder",)
LEGACY_STATISTICS = ("normalize_inputs.", "normalize_targets.", "unnormalize_outputs.")
"""Prefixes of the statistics, which were in the same file before 0.4.0."""

_RENAMED = {"encoder_robot_and_latent_pos_embed": "encoder_1d_feature_pos_embed"}
"""Parameter names before LeRobot's pull request 314 (July 2024) -> current names."""
_COMPILED = "_orig_mod."
"""The part that torch.compile adds to the names of a module trained under it."""


def todays_name(name: str) -> str:
    """Return the current name of a tensor."""
    parts = name.replace(_COMPILED, "").split(".")
    return ".".join(_RENAMED.get(part, part) for part in parts)


def is_read(name: str) -> bool:
    """Whether a tensor with this (current) name influences the actions."""
    return name.startswith(NETWORK) and not name.startswith(UNUSED_AT_INFERENCE)
