"""Limits for everything that a checkpoint may ask for, checked before memory or time is spent on it.

A checkpoint is a file of unknown origin, and a damaged or hostile file may contain any number. Each limit is far above
the values of ACT policies, and far below those that would block a robot's computer.
"""

from __future__ import annotations

JSON_BYTES = 4 * 2**20
"""Bytes of a JSON file. LeRobot's have a few kilobytes; reading a file takes about thirty times its size in memory."""

JSON_DEPTH = 32
"""Depth of nested objects and lists. LeRobot's files have six levels; Python's functions fail at about a thousand."""

HEADER_BYTES = 4 * 2**20
"""Bytes of a safetensors file's header. ACT's has 30 kB; safetensors accepts 100 MB, and needs a gigabyte for this."""

TENSOR_FILE_BYTES = 8 * 2**30
"""Bytes of a safetensors file: the largest network in float32, and the same size for tensors not used by inference."""

FEATURES = 256
"""Number of inputs, or outputs, in config.json. A robot with ten cameras has about twelve."""

NAME_LENGTH = 256
"""Characters of an input's name, which becomes the name of a tensor and a word in messages."""

SHARDS = 256
"""Number of files with the weights. A policy has one file, unless somebody has split it."""

IMAGE_SIDE = 8192
"""Pixels of an image's height or width: twice those of a 4K camera."""

PIXELS = 2**26
"""Pixels of all cameras together: eight 4K cameras. The backbone's first layer takes 64 bytes per pixel, so 4 GiB."""

VECTOR = 4096
"""Numbers in the state, the environment state or an action. A humanoid with two hands has about a hundred."""

COUNTS = {
    "n_obs_steps": 1000,  # only 1 is accepted, but the message about another value should show it
    "chunk_size": 10_000,  # steps: 200 s at 50 Hz; ACT's own has 100, and time grows with the square of this number
    "n_action_steps": 10_000,  # at most chunk_size
    "dim_model": 65_536,  # ACT has 512, the largest language models have about 20,000
    "n_heads": 65_536,  # must divide dim_model
    "dim_feedforward": 262_144,  # usually four times dim_model; ACT has 3200
    "n_encoder_layers": 128,  # ACT has 4; creating each layer takes about a millisecond
    "n_decoder_layers": 128,  # ACT has 1 or 7
    "latent_dim": 65_536,  # ACT has 32
}
"""Limits of the whole numbers in config.json."""

NETWORK_NUMBERS = 2**30
"""Parameters and positions of the network together: 4 GiB in float32. ACT with resnet152 has 0.1 times 2**30."""

EPS = 1e6
"""Limit of a normaliser's eps, which is 1e-8 in LeRobot."""

STATISTIC = 1e30
"""Magnitude of a statistic: float32 ends above 1e38, and a pixel's mean is later multiplied by 255."""

ENSEMBLE_EXPONENT = 700.0
"""Limit of the exponent in exp(-coefficient * step): above 709 the result is no longer a double."""

SMALLEST_SPREAD = 1e-30
"""Smallest spread of a data set's numbers, including eps: its reciprocal is as large as STATISTIC."""
