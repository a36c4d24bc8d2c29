"""The names of the tensors in a checkpoint's weights: today's for old ones, and which of them inference reads."""

from __future__ import annotations

NETWORK = "model."
"""What LeRobot puts before the name of each of the network's parameters."""
UNUSED_AT_INFERENCE = ("model.vae_encoder",)
LEGACY_STATISTICS = ("normalize_inputs.", "normalize_targets.", "unnormalize_outputs.")
"""Before 0.4.0 the statistics were in the same file."""

_RENAMED = {"encoder_robot_and_latent_pos_embed": "encoder_1d_feature_pos_embed"}
"""Parameter names before LeRobot's pull request 314 (July 2024) -> today's."""
_COMPILED = "_orig_mod."
"""What torch.compile puts into the names of a module trained under it."""


def todays_name(name: str) -> str:
    """Return the name that a tensor has today."""
    parts = name.replace(_COMPILED, "").split(".")
    return ".".join(_RENAMED.get(part, part) for part in parts)


def is_read(name: str) -> bool:
    """Whether a tensor of this name (today's) has an influence on actions."""
    return name.startswith(NETWORK) and not name.startswith(UNUSED_AT_INFERENCE)
