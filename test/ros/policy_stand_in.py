"""policy_node with a policy that needs no network: `python policy_stand_in.py --ros-args ...`.

Its chunk starts at the observed state and moves every joint by `speed` a second. An image whose first pixel is one of
`Behaviour` makes it misbehave. POLICY_STAND_IN holds the options of `Options` as JSON.
"""

import contextlib
import importlib
import json
import os
import signal
import sys
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from types import MappingProxyType, ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt
from trajectory_msgs.msg import JointTrajectory

from act_inference_ros.errors import NotReadyError
from act_inference_ros.inference import client
from act_inference_ros.inference.local.isolation.backend import IsolatedBackend
from act_inference_ros.inference.local.options import LocalOptions
from act_inference_ros.inference.options import ClientOptions
from act_inference_ros.ros.messages import make_message
from act_inference_ros.ros.policy import commands, policy_node
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
    circle: float = 0.0
    """Instead: each pair of joints goes round a circle of this radius, rad, at 1 rad/s, on from the observed state."""
    environment: int = 0
    """How many numbers of observation.environment_state the policy reads."""
    height: int = 96
    width: int = 128
    load_s: float = 0.0
    slow_s: float = 1.0
    torch: bool = False
    """Be slow as a network is, in torch's own code, rather than asleep."""
    isolated: bool = False
    """Compute in a process of its own."""
    pause_s: float = 0.0
    """After each SIGUSR1 the thread that makes the next command's message has to wait so long, as on a busy machine."""
    controller_states: bool = False
    """There is a control_msgs, whose JointTrajectoryControllerState is a JointTrajectory: its first point is both where
    the controller wants its joints and where it measured them."""


class PolicyStandIn:
    """A backend of InferenceClient."""

    source = "the stand-in"
    takes_jpeg = False
    reconnects = 0
    facts: Mapping[str, str] = MappingProxyType({})
    notes: tuple[str, ...] = ()
    model_version = ""
    warm_up_s = 0.0

    def __init__(self, options: Options) -> None:
        self._options = options
        time.sleep(options.load_s)
        self._torch = importlib.import_module("torch") if options.torch else None
        images = tuple(
            ImageSpec(f"observation.images.{name}", options.height, options.width) for name in options.cameras
        )
        self.spec = PolicySpec(
            options.chunk_size,
            options.joints,
            images=images,
            state_dim=options.joints,
            environment_state_dim=options.environment or None,
        )

    def infer(self, inputs: Mapping[str, Any], request_id: str = "") -> npt.NDArray[Any]:
        behaviour = max(int(inputs[image.key][0, 0, 0]) for image in self.spec.images)
        times = np.arange(self._options.chunk_size)[:, None] / self._options.fps
        state = inputs[self.spec.state_key]
        chunk = (state + self._options.ahead + times * self._options.speed).astype(np.float32)
        if self._options.circle:
            chunk = circle(state, times[:, 0], self._options.circle)
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


def circle(state: npt.NDArray[Any], times: npt.NDArray[Any], radius: float) -> npt.NDArray[Any]:
    """Go on from `state` (joints,), joints by pairs: a spiral that comes to the circle within seconds."""
    place = state[0::2] + 1j * state[1::2]
    far, angle = np.abs(place), np.angle(place)
    here = (radius + (far - radius) * np.exp(-times[:, None])) * np.exp(1j * (angle + times[:, None]))
    return np.stack([here.real, here.imag], axis=-1).reshape(len(times), -1).astype(np.float32)


def chosen_options() -> Options:
    return Options(**json.loads(os.environ.get("POLICY_STAND_IN", "{}")))


def open_engine(_: LocalOptions) -> PolicyStandIn:
    """What the inference process opens."""
    return PolicyStandIn(chosen_options())


def open_local(options: ClientOptions) -> Any:
    """What the node opens."""
    if chosen_options().isolated:
        return IsolatedBackend(options.local, "test.ros.policy_stand_in:open_engine")
    return PolicyStandIn(chosen_options())


def install_controller_states() -> None:
    """control_msgs is no wheel: a message that travels, and looks like the one that is read, stands in for it."""
    JointTrajectory.reference = JointTrajectory.feedback = property(lambda message: message.points[0])
    package, messages = ModuleType("control_msgs"), ModuleType("control_msgs.msg")
    vars(messages)["JointTrajectoryControllerState"] = JointTrajectory
    sys.modules.update({package.__name__: package, messages.__name__: messages})


def install_pauses(pause_s: float) -> None:
    """Wait between decision and message, once for each SIGUSR1."""
    pauses: deque[float] = deque()
    signal.signal(signal.SIGUSR1, lambda *_: pauses.append(pause_s))

    def make_message_later(message_type: str, **fields: Any) -> Any:
        with contextlib.suppress(IndexError):
            time.sleep(pauses.popleft())
        return make_message(message_type, **fields)

    vars(commands)["make_message"] = make_message_later


if __name__ == "__main__":
    if chosen_options().controller_states:
        install_controller_states()
    if chosen_options().pause_s:
        install_pauses(chosen_options().pause_s)
    client.BACKENDS["local"] = open_local  # type: ignore[index]  # a dict
    sys.exit(policy_node.main())
