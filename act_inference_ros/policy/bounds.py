"""The largest of everything that a checkpoint may ask for, checked before memory or time is spent on it.

A checkpoint is a file from somewhere, and a damaged or hostile one may name any number. Each limit lies far above what
ACT policies have, and far below what would bring a robot's computer to a halt.
"""

from __future__ import annotations

JSON_BYTES = 4 * 2**20
"""Of a JSON file. LeRobot's have a few kilobytes; reading one costs about thirty times its size in memory."""

JSON_DEPTH = 32
"""Of objects and lists inside each other. LeRobot's have six; Python's own functions fail at about a thousand."""

HEADER_BYTES = 4 * 2**20
"""Of a safetensors file's header. ACT's has 30 kB; safetensors itself takes up to 100 MB, and a gigabyte to read it."""

TENSOR_FILE_BYTES = 8 * 2**30
"""Of a safetensors file: the largest network in float32, and as much again for what inference does not read."""

FEATURES = 256
"""Inputs, or outputs, that config.json declares. A robot with ten cameras has about twelve."""

NAME_LENGTH = 256
"""Characters of an input's name; it becomes the name of a tensor and a word in messages."""

SHARDS = 256
"""Files that the weights are spread over. One policy has one, unless somebody split it."""

IMAGE_SIDE = 8192
"""Pixels of an image's height or width: twice a 4K camera's."""

PIXELS = 2**26
"""Of all cameras together: eight 4K cameras. The backbone's first layer takes 64 bytes for each, 4 GiB for all."""

VECTOR = 4096
"""Numbers in the state, the environment state or an action. A humanoid with two hands has about a hundred."""

COUNTS = {
    "n_obs_steps": 1000,  # only 1 is taken, and the message about it should show the number
    "chunk_size": 10_000,  # steps: 200 s at 50 Hz; ACT's own has 100, and time grows with its square
    "n_action_steps": 10_000,  # at most chunk_size
    "dim_model": 65_536,  # ACT has 512, the largest language models about 20,000
    "n_heads": 65_536,  # must divide dim_model
    "dim_feedforward": 262_144,  # four times dim_model, by habit; ACT has 3200
    "n_encoder_layers": 128,  # ACT has 4; making each costs about a millisecond
    "n_decoder_layers": 128,  # ACT has 1 or 7
    "latent_dim": 65_536,  # ACT has 32
}
"""Of the whole numbers in config.json."""

NETWORK_NUMBERS = 2**30
"""Parameters and positions of the network together: 4 GiB in float32. ACT with resnet152 has 0.1 times 2**30."""

EPS = 1e6
"""Of a normaliser's eps, which is 1e-8 in LeRobot."""

STATISTIC = 1e30
"""Magnitude of a statistic: beyond 1e38 float32 has no numbers, and a pixel's mean is multiplied by 255 still."""

ENSEMBLE_EXPONENT = 700.0
"""Of exp(-coefficient * step): beyond 709 it is no double."""

SMALLEST_SPREAD = 1e-30
"""Of a data set's numbers, eps included: its reciprocal is as large as STATISTIC."""
