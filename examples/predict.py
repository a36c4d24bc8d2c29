"""One observation in, one action chunk out: the smallest use of the package, without ROS.

    python examples/predict.py CHECKPOINT
    python examples/predict.py CHECKPOINT --observation observation.npz

CHECKPOINT is a directory that LeRobot's training wrote (`checkpoints/last/pretrained_model`). The observation is an
.npz file with one array for each key that the policy reads; without a file a grey image and a state of zeros stand in.
"""

from __future__ import annotations

import argparse
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from act_inference_ros import InferenceClient, PolicySpec
from act_inference_ros.errors import ActInferenceError

GREY = 128

Arrays = dict[str, npt.NDArray[Any]]


def main(arguments: Sequence[str] | None = None) -> int:
    """Print what the policy reads and writes, and the chunk for one observation; return the exit status."""
    options = _parser().parse_args(arguments)
    try:
        # On a robot make the client once and keep it: loading takes seconds, a chunk a fraction of one.
        with InferenceClient.create(mode="local", checkpoint=options.checkpoint) as client:
            print_spec(client.spec)
            observation = plain_observation(client.spec)
            if options.observation is not None:
                observation = read_observation(client.spec, options.observation)
            chunk = client.predict(observation)
    except (ActInferenceError, OSError, ValueError) as problem:  # ValueError: the file is no .npz
        print(f"predict: {problem}", file=sys.stderr)
        return 2
    print(f"chunk: {chunk.shape[0]} actions of {chunk.shape[1]} numbers, in the units of the training data")
    for step, action in enumerate(chunk[: options.rows]):
        print(f"  action {step}: " + " ".join(f"{value:8.4f}" for value in action))
    return 0


def print_spec(spec: PolicySpec) -> None:
    """Print what the policy reads and writes, key by key."""
    for key, length in spec.vectors.items():
        print(f"reads {key}: {length} numbers")
    for image in spec.images:
        print(f"reads {image.key}: {image.width} x {image.height} pixels (width x height)")
    print(f"writes {spec.chunk_size} actions of {spec.action_dim} numbers")


def plain_observation(spec: PolicySpec) -> Arrays:
    """Return an observation that shows the shapes and types: grey images, and zeros elsewhere."""
    vectors: Arrays = {key: np.zeros(length, dtype=np.float32) for key, length in spec.vectors.items()}
    images: Arrays = {image.key: np.full(image.shape, GREY, dtype=np.uint8) for image in spec.images}
    return vectors | images


def read_observation(spec: PolicySpec, path: Path) -> Arrays:
    """Read the policy's keys from an .npz file; the client itself checks whether they are all there and right."""
    if not zipfile.is_zipfile(path):
        raise ValueError(f"{path}: expected an .npz file")
    with np.load(path, allow_pickle=False) as arrays:
        return {key: arrays[key] for key in spec.keys if key in arrays}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Computes one action chunk with a LeRobot ACT checkpoint.")
    parser.add_argument("checkpoint", help="directory with config.json and model.safetensors")
    parser.add_argument("--observation", type=Path, help=".npz file (default: grey images and zeros)")
    parser.add_argument(
        "--rows", type=int, default=3, choices=range(10_000), metavar="N", help="actions to print (default: 3)"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
