"""policy_node with a policy that needs no network: `python policy_stand_in.py --ros-args ...`.

Its chunk starts at the observed state and moves every joint by `speed` a second. An image whose first pixel is one of
`Behaviour` makes it misbehave. POLICY_STAND_IN holds the options of `Options` as JSON.
"""

import importlib
import json
import os
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
import numpy.typing as npt

from act_inference_ros.errors import NotReadyError
from act_inference_ros.inference import client
from act_inference_ros.ros.policy import policy_node
from act_inference_ros.spec import ImageSpec, PolicySpec


class Behaviour(IntEnum):
    """What the first pixel of an image makes the policy do."""

    NOT_FINITE = 250
    WRONG_SHAPE = 251
    RAISES_UNFORESEEN = 252
    NOT_READY = 253
    SLOW = 254


@dataclass(frozen=True)
class Options:
    """How the policy looks and how it moves the arm."""

    cameras: tuple[str, ...] = ("front",)
    joints: int = 6
    chunk_size: int = 20
    fps: float = 20.0
    speed: float = 0.2
    ahead: float = 0.0
    """How far from the observed state the chunk begins: an arm that does not follow is soon left behind."""
    height: int = 96
    width: int = 128
    load_s: float = 0.0
    slow_s: float = 1.0
    torch: bool = False
    """Be slow as a network is, in torch's own code, rather than asleep."""


class PolicyStandIn:
    """A backend of InferenceClient."""

    source = "the stand-in"
    takes_jpeg = False
    reconnects = 0
    model_version = ""
    warm_up_s = 0.0

    def __init__(self, options: Options) -> None:
        self._options = options
        time.sleep(options.load_s)
        self._torch = importlib.import_module("torch") if options.torch else None
        images = tuple(
            ImageSpec(f"observation.images.{name}", options.height, options.width) for name in options.cameras
        )
        self.spec = PolicySpec(options.chunk_size, options.joints, images=images, state_dim=options.joints)

    def infer(self, inputs: Mapping[str, Any], request_id: str = "") -> npt.NDArray[Any]:
        behaviour = max(int(inputs[image.key][0, 0, 0]) for image in self.spec.images)
        times = np.arange(self._options.chunk_size)[:, None] / self._options.fps
        chunk = (inputs[self.spec.state_key] + self._options.ahead + times * self._options.speed).astype(np.float32)
        if behaviour == Behaviour.NOT_FINITE:
            chunk[3, 2] = np.nan
        elif behaviour == Behaviour.WRONG_SHAPE:
            chunk = chunk[:, 1:]
        elif behaviour == Behaviour.RAISES_UNFORESEEN:
            raise RuntimeError("unforeseen")
        elif behaviour == Behaviour.NOT_READY:
            raise NotReadyError("the server went away")
        elif behaviour == Behaviour.SLOW:
            self._be_slow()
        return chunk

    def _be_slow(self) -> None:
        over = time.monotonic() + self._options.slow_s
        while self._torch and time.monotonic() < over:
            self._torch.nn.functional.conv2d(self._torch.zeros(1, 16, 96, 128), self._torch.zeros(16, 16, 3, 3))
        time.sleep(max(0.0, over - time.monotonic()))

    def accept_policy(self, policy_id: str) -> None:
        pass

    def close(self) -> None:
        pass


if __name__ == "__main__":
    chosen = Options(**json.loads(os.environ.get("POLICY_STAND_IN", "{}")))
    client.BACKENDS["local"] = lambda _options: PolicyStandIn(chosen)  # type: ignore[index]  # a dict
    sys.exit(policy_node.main())
