"""ReceivedInputs: the newest messages of every input, and what was wrong with those that were refused."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from act_inference_ros.errors import ConfigurationError, ObservationError
from act_inference_ros.interfaces import BY_HEADER, COMPRESSED, RAW, TRANSPORTS
from act_inference_ros.joints import Joint, StateBinding
from act_inference_ros.observation import images
from act_inference_ros.observation.compressed import data_of
from act_inference_ros.observation.contract import ENVIRONMENT_STATE_INPUT, STATE_INPUT, check_contract
from act_inference_ros.observation.history import VECTORS_KEPT, VECTORS_KEPT_S, StampedHistory
from act_inference_ros.observation.refusal import ObservationRefused, Reason, Refusal
from act_inference_ros.observation.state_inputs import StateParts, WholeState
from act_inference_ros.observation.still import StillPicture
from act_inference_ros.spec import PolicySpec

IMAGES_KEPT = 64
"""Largest number of images kept per camera. A slow camera's image is matched by an older image of a fast camera, so
images are kept for `max_age` and `max_skew`, but only as far back as the slowest camera needs them."""
SPARE_IMAGES_S = 0.2
"""So much further back images are kept, s: if the newest cannot be decoded, the one before it is used."""
CLOCK_RESOLUTION_S = 1e-6
"""Tolerance when times are compared: near 1.7e9 s (today) a float64 resolves 0.24 microseconds."""


@dataclass(frozen=True)
class CameraOptions:
    """How a camera's images are sent: `transport` is raw (sensor_msgs/Image) or compressed (CompressedImage)."""

    transport: str = RAW

    def __post_init__(self) -> None:
        if self.transport not in TRANSPORTS:
            raise ConfigurationError(f"camera transport: expected one of {list(TRANSPORTS)}, got {self.transport!r}")


class ReceivedInputs:
    """Takes the messages of the cameras, the joint states and the environment state, each if it may be used at all.

    `inputs.ObservationInputs`, which chooses among them, says what the arguments mean.
    """

    def __init__(
        self,
        spec: PolicySpec,
        state: StateBinding | None,
        cameras: Mapping[str, CameraOptions],
        max_age: float,
        max_skew: float,
        stamps: str = BY_HEADER,
        resize: bool = False,
        keep_jpeg: bool = False,
        moved: Sequence[Joint] = (),
        state_topics: Sequence[str] = (STATE_INPUT,),
    ) -> None:
        check_contract(spec, state, state_topics, cameras, stamps)
        if not (0.0 < max_age < float("inf") and 0.0 <= max_skew < float("inf")):
            raise ConfigurationError(f"expected max_age above 0 and max_skew from 0, got {max_age} and {max_skew}")
        self.spec = spec
        self.refused: Counter[str] = Counter()
        self._state = _state_of(state, moved, state_topics)
        self._cameras = dict(cameras)
        self._images = {image.camera: image for image in spec.images}
        self._by_header = stamps == BY_HEADER
        self._resize = resize
        self._keep_jpeg = keep_jpeg
        vector_inputs = {spec.state_key: STATE_INPUT, spec.environment_state_key: ENVIRONMENT_STATE_INPUT}
        self._vector_keys = {vector_inputs[key]: key for key in spec.vectors}
        vectors = [name for name in self._vector_keys if name != STATE_INPUT]
        self._histories: dict[str, StampedHistory[Any]] = {
            **(self._state.histories if self._state is not None else {}),
            **{name: StampedHistory(VECTORS_KEPT_S, VECTORS_KEPT) for name in vectors},
            **{name: StampedHistory(0.0, IMAGES_KEPT) for name in self._images},
        }
        self._last_refusal: dict[str, Refusal] = {}
        self._still = {name: StillPicture() for name in self._images}
        self.configure(max_age, max_skew)

    def configure(
        self, max_age: float, max_skew: float, max_still: float = float("inf"), hold_if_stuck: bool = False
    ) -> None:
        """Take new limits in s while running."""
        self.max_age, self.max_skew = max_age, max_skew
        self._max_still, self._hold_if_stuck = max_still, hold_if_stuck
        for name, history in self._histories.items():
            history.span = max_age + max_skew if name in self._images else max(VECTORS_KEPT_S, max_age + max_skew)

    @property
    def stuck(self) -> dict[str, float]:
        """Camera -> for how many seconds of stamps it has shown the same pixels, if longer than `max_still`."""
        return {name: still.lasted for name, still in self._still.items() if still.lasted > self._max_still}

    def add_image(self, camera: str, msg: Any, received: float) -> Refusal | None:
        """Take an image message of `camera`; return why it was refused, or None. It is decoded when it is used."""
        transport = self._cameras[camera].transport
        if images.is_compressed(msg) != (transport == COMPRESSED):
            return self._refuse(Reason.INVALID, camera, f"expected a {transport} image, got {type(msg).__name__}")
        try:
            images.check_image_message(msg, self._images[camera], self._resize)
        except ObservationError as error:
            return self._refuse(Reason.INVALID, camera, str(error))
        stamp = self.time_of(msg, received)
        refusal = self._admit(camera, msg, stamp, received)
        if refusal is None and stamp is not None:
            self._still[camera].look(data_of(msg) if images.is_compressed(msg) else msg.data, stamp)
        return refusal

    def add_state(self, msg: Any, received: float, topic: str = "") -> Refusal | None:
        """Take a sensor_msgs/JointState; return why it was refused, or None.

        `topic` is the state topic on which the message came; it is optional if there is only one.
        """
        if self._state is None:
            return self._refuse(Reason.INVALID, STATE_INPUT, "the policy reads no state")
        name, stamp = self._state.name_of(topic), self.time_of(msg, received)
        try:
            read = self._state.read(topic, msg, received, stamp, self.max_age)
        except ObservationRefused as refused:
            return self._refuse(refused.reason, name, refused.refusal.detail)
        except ObservationError as error:
            return self._refuse(Reason.INVALID, name, str(error))
        return self._admit(name, read, stamp, received)

    def add_environment_state(self, msg: Any, received: float) -> Refusal | None:
        """Take a std_msgs/Float32MultiArray or Float64MultiArray, stamped by its arrival; return why not, or None."""
        dim = self.spec.environment_state_dim
        with np.errstate(over="ignore"):  # overflowing values are refused as non-finite
            vector = np.asarray(msg.data, dtype=np.float64).astype(np.float32)
        if vector.shape != (dim,) or not np.isfinite(vector).all():
            return self._refuse(
                Reason.INVALID, ENVIRONMENT_STATE_INPUT, f"expected {dim or 'no'} finite numbers, got {vector}"
            )
        return self._admit(ENVIRONMENT_STATE_INPUT, vector, received, received)

    def ages(self, now: float) -> dict[str, float | None]:
        """Return the age in s of the newest message of each input; None without a message."""
        newest = {name: history.newest for name, history in self._histories.items()}
        return {name: None if entry is None else now - entry.stamp for name, entry in newest.items()}

    def clear(self) -> None:
        """Forget every message; the counts of what was refused stay."""
        for history in self._histories.values():
            history.clear()
        for still in self._still.values():
            still.clear()
        if self._state is not None:
            self._state.clear()
        self._last_refusal.clear()

    def time_of(self, msg: Any, received: float) -> float | None:
        """Return the message's time in s, or None if its header has no time."""
        if not self._by_header:
            return received
        stamp = msg.header.stamp
        return stamp.sec + stamp.nanosec * 1e-9 if stamp.sec or stamp.nanosec else None

    def _admit(self, name: str, value: Any, stamp: float | None, received: float) -> Refusal | None:
        """Add a valid message to its history, unless its time is wrong."""
        if stamp is None:
            detail = "the header's stamp is zero; have the driver stamp its messages, or set `stamps: receive`"
            return self._refuse(Reason.UNSTAMPED, name, detail)
        if stamp > received + self.max_skew + CLOCK_RESOLUTION_S:
            detail = f"stamped {stamp - received:.3f} s ahead of its arrival; synchronise the machines' clocks"
            return self._refuse(Reason.FUTURE, name, detail)
        history = self._histories[name]
        back = history.newest.stamp - stamp if history.newest is not None else 0.0
        if 0.0 < back <= self.max_age:
            return self._refuse(Reason.OUT_OF_ORDER, name, f"{back:.3f} s older than the one before")
        if back > self.max_age:
            if received - stamp > self.max_age:  # late by our own clock: the message is old, the clock is right
                return self._refuse(Reason.STALE, name, f"arrived {received - stamp:.3f} s after its stamp")
            history.clear()  # the clock jumped back (a simulation or a bag was restarted)
        history.append(stamp, value)
        if name in self._images:
            self._forget_images()
        self._last_refusal.pop(name, None)
        return None

    def _forget_images(self) -> None:
        """Forget the images that are older than any that can still be chosen, because they take much memory."""
        newest = [self._histories[name].newest for name in self._images]
        slowest = min(-math.inf if entry is None else entry.stamp for entry in newest)
        for name in self._images:
            self._histories[name].forget_before(slowest - SPARE_IMAGES_S)

    def _refuse(self, reason: Reason, name: str, detail: str) -> Refusal:
        refusal = Refusal(reason, name, detail)
        self._last_refusal[name] = refusal
        self._count(refusal)
        return refusal

    def _count(self, refusal: Refusal) -> None:
        self.refused[refusal.label] += 1


def _state_of(state: StateBinding | None, moved: Sequence[Joint], topics: Sequence[str]) -> WholeState | None:
    """The part of the joint states that is read: the policy's state, otherwise the positions of the moved joints."""
    if state is None and not moved:
        return None
    binding = StateBinding.of_positions(moved) if state is None else state
    return StateParts(binding, topics, moved) if len(topics) > 1 else WholeState(binding)
