"""ObservationInputs: from messages as they arrive to observations that are fresh and belong together.

Shared by the node and the bag evaluator. Only `decode` is slow; everything else is cheap enough to be done under the
node's one lock. Times are seconds on one clock, the node's ROS clock or a bag's; nothing here looks at a clock.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from act_inference_ros.errors import ConfigurationError, ObservationError
from act_inference_ros.interfaces import BY_HEADER, COMPRESSED, RAW, STAMPS, TRANSPORTS
from act_inference_ros.joints import JointBinding
from act_inference_ros.observation import images
from act_inference_ros.observation.compressed import data_of
from act_inference_ros.observation.history import Stamped, StampedHistory
from act_inference_ros.observation.refusal import ObservationRefused, Reason, Refusal
from act_inference_ros.observation.selection import Selection
from act_inference_ros.observation.still import StillPicture
from act_inference_ros.spec import ImageSpec, PolicySpec

STATE_INPUT = "state"
ENVIRONMENT_STATE_INPUT = "environment_state"

IMAGES_KEPT = 64
"""Per camera, at most: a slow or late camera's image is matched by an older one of a fast one, so images are kept for
`max_age` and `max_skew`."""
VECTORS_KEPT_S = 5.0
VECTORS_KEPT = 2000
CLOCK_RESOLUTION_S = 1e-6
"""Slack when times are compared: near 1.7e9 s (today) a float64 resolves 0.24 microseconds."""


@dataclass(frozen=True)
class CameraOptions:
    """How a camera's images travel: `transport` is raw (sensor_msgs/Image) or compressed (CompressedImage)."""

    transport: str = RAW

    def __post_init__(self) -> None:
        if self.transport not in TRANSPORTS:
            raise ConfigurationError(f"camera transport: expected one of {list(TRANSPORTS)}, got {self.transport!r}")


class ObservationInputs:
    """Takes messages of the cameras, the joint states and the environment state; gives observations.

    `max_age` and `max_skew` (s; both may be set while running) bound the age of any input and the time between two; a
    message stamped more than `max_skew` ahead of its arrival is refused. `stamps: receive` goes by the time of arrival
    instead of the header. `resize` allows images of another size; `keep_jpeg` leaves a JPEG of the policy's size
    undecoded. For a policy without state `watched` are the joints whose states must be fresh all the same. A camera
    that shows the same pixels under new stamps for `max_still` s is in `stuck`, and stale `if hold_if_stuck`. Not
    thread-safe except for `decode`. Raises ConfigurationError when state or cameras are not what the policy reads.
    """

    def __init__(
        self,
        spec: PolicySpec,
        state: JointBinding | None,
        cameras: Mapping[str, CameraOptions],
        max_age: float,
        max_skew: float,
        stamps: str = BY_HEADER,
        resize: bool = False,
        keep_jpeg: bool = False,
        watched: JointBinding | None = None,
    ) -> None:
        _check_contract(spec, state, cameras, stamps)
        if not (0.0 < max_age < float("inf") and 0.0 <= max_skew < float("inf")):
            raise ConfigurationError(f"expected max_age above 0 and max_skew from 0, got {max_age} and {max_skew}")
        self.spec = spec
        self.refused: Counter[str] = Counter()
        self._state = state
        self._cameras = dict(cameras)
        self._images = {image.camera: image for image in spec.images}
        self._by_header = stamps == BY_HEADER
        self._resize = resize
        self._keep_jpeg = keep_jpeg
        vector_inputs = {spec.state_key: STATE_INPUT, spec.environment_state_key: ENVIRONMENT_STATE_INPUT}
        self._vector_keys = {vector_inputs[key]: key for key in spec.vectors}
        self._watched = watched if state is None else None
        vectors = [*self._vector_keys, *([STATE_INPUT] if self._watched else [])]
        self._histories: dict[str, StampedHistory[Any]] = {
            **{name: StampedHistory(VECTORS_KEPT_S, VECTORS_KEPT) for name in vectors},
            **{name: StampedHistory(0.0, IMAGES_KEPT) for name in self._images},
        }
        self._last_refusal: dict[str, Refusal] = {}
        self._still = {name: StillPicture() for name in self._images}
        self.configure(max_age, max_skew)

    def configure(
        self, max_age: float, max_skew: float, max_still: float = float("inf"), hold_if_stuck: bool = False
    ) -> None:
        """Take new limits in s; works while running."""
        self.max_age, self.max_skew = max_age, max_skew
        self._max_still, self._hold_if_stuck = max_still, hold_if_stuck
        for name, history in self._histories.items():
            history.span = max_age + max_skew if name in self._images else max(VECTORS_KEPT_S, max_age + max_skew)

    @property
    def stuck(self) -> dict[str, float]:
        """Camera -> for how many seconds of stamps it has shown the same pixels, of those above `max_still`."""
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

    def add_state(self, msg: Any, received: float) -> Refusal | None:
        """Take a sensor_msgs/JointState; return why it was refused, or None."""
        binding = self._state or self._watched
        if binding is None:
            return self._refuse(Reason.INVALID, STATE_INPUT, "the policy reads no state")
        try:
            vector = binding.to_policy(msg.name, msg.position)
        except ObservationError as error:
            return self._refuse(Reason.INVALID, STATE_INPUT, str(error))
        return self._admit(STATE_INPUT, vector, self.time_of(msg, received), received)

    def add_environment_state(self, msg: Any, received: float) -> Refusal | None:
        """Take a std_msgs/Float32MultiArray or Float64MultiArray, stamped by its arrival; return why not, or None."""
        dim = self.spec.environment_state_dim
        with np.errstate(over="ignore"):  # what overflows is refused as non-finite
            vector = np.asarray(msg.data, dtype=np.float64).astype(np.float32)
        if vector.shape != (dim,) or not np.isfinite(vector).all():
            return self._refuse(
                Reason.INVALID, ENVIRONMENT_STATE_INPUT, f"expected {dim or 'no'} finite numbers, got {vector}"
            )
        return self._admit(ENVIRONMENT_STATE_INPUT, vector, received, received)

    def fresh(self, now: float) -> Refusal | None:
        """Return the first input that is missing, too old or from the future, or None when all are usable."""
        for name, history in self._histories.items():
            if history.newest is None:
                return self._last_refusal.get(name) or Refusal(Reason.MISSING, name, "nothing yet")
            refusal = self._check_age(name, history.newest.stamp, now)
            if refusal is not None:
                return Refusal(refusal.reason, name, f"{refusal.detail}{self._since_refused(name)}")
        if self._hold_if_stuck:
            for name, lasted in self.stuck.items():
                return Refusal(Reason.STUCK, name, f"the same pixels for {lasted:.1f} s, under new stamps")
        return None

    def select(self, now: float) -> Selection:
        """Choose the messages of the newest observation; raise ObservationRefused, and count it, if there is none.

        Of each camera its newest image; where those lie further apart than `max_skew`, the images nearest to the
        newest one of the camera that lags. Of the vectors those nearest to `t_obs`.
        """
        refusal = self.fresh(now)
        if refusal is None:
            chosen, t_obs = self._choose()
            refusal = self._check_chosen(chosen, t_obs, now)
        if refusal is not None:
            if refusal is not self._last_refusal.get(refusal.input):  # else the message was counted
                self._count(refusal)
            raise ObservationRefused(refusal)
        return Selection(
            t_obs=t_obs,
            stamps={name: entry.stamp for name, entry in chosen.items()},
            images={name: chosen[name].value for name in self._images},
            vectors={key: chosen[name].value for name, key in self._vector_keys.items()},
        )

    def decode(self, selection: Selection) -> dict[str, npt.NDArray[Any] | bytes]:
        """Decode a selection to what `InferenceClient.predict` takes. Slow; changes nothing here, so needs no lock.

        Raises ObservationRefused for an image that cannot be decoded: hand its `refusal` to `discard`.
        """
        observation: dict[str, npt.NDArray[Any] | bytes] = dict(selection.vectors)
        for image in self.spec.images:
            try:
                observation[image.key] = self._decode_image(image, selection.images[image.camera])
            except ObservationError as error:
                raise ObservationRefused(Refusal(Reason.UNDECODABLE, image.camera, str(error))) from error
        return observation

    def discard(self, selection: Selection, refusal: Refusal) -> None:
        """Forget the image that could not be decoded, so that its camera goes stale unless a good one comes."""
        self._count(refusal)
        self._histories[refusal.input].remove(selection.images[refusal.input])

    def ages(self, now: float) -> dict[str, float | None]:
        """Return the age in s of the newest message of each input; None where there is none."""
        newest = {name: history.newest for name, history in self._histories.items()}
        return {name: None if entry is None else now - entry.stamp for name, entry in newest.items()}

    def has_news_since(self, t_obs: float) -> bool:
        """Whether every camera (every vector, without cameras) has something newer than the observation of `t_obs`."""
        newest = [self._histories[name].newest for name in list(self._images) or list(self._vector_keys)]
        return all(entry is not None and entry.stamp > t_obs for entry in newest)

    def clear(self) -> None:
        """Forget every message; the counts of what was refused stay."""
        for history in self._histories.values():
            history.clear()
        for still in self._still.values():
            still.clear()
        self._last_refusal.clear()

    def time_of(self, msg: Any, received: float) -> float | None:
        """Return the message's time in s, None when its header carries none."""
        if not self._by_header:
            return received
        stamp = msg.header.stamp
        return stamp.sec + stamp.nanosec * 1e-9 if stamp.sec or stamp.nanosec else None

    def _admit(self, name: str, value: Any, stamp: float | None, received: float) -> Refusal | None:
        """Put a good message into its history, unless its time is wrong."""
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
            history.clear()  # the clock jumped back (a simulation restarted, a bag began anew)
        history.append(stamp, value)
        self._last_refusal.pop(name, None)
        return None

    def _refuse(self, reason: Reason, name: str, detail: str) -> Refusal:
        refusal = Refusal(reason, name, detail)
        self._last_refusal[name] = refusal
        self._count(refusal)
        return refusal

    def _since_refused(self, name: str) -> str:
        last = self._last_refusal.get(name)
        return f"; last refused: {last}" if last else ""

    def _count(self, refusal: Refusal) -> None:
        self.refused[refusal.label] += 1

    def _check_age(self, name: str, stamp: float, now: float) -> Refusal | None:
        age = now - stamp
        if age > self.max_age + CLOCK_RESOLUTION_S:
            return Refusal(Reason.STALE, name, f"{age:.3f} s old, max_age is {self.max_age} s")
        if -age > self.max_skew + CLOCK_RESOLUTION_S:
            return Refusal(Reason.FUTURE, name, f"stamped {-age:.3f} s ahead of now; did the clock jump back?")
        return None

    def _choose(self) -> tuple[dict[str, Stamped[Any]], float]:
        """Choose an entry of every input, all of which have one; return them and `t_obs`."""
        newest = {name: history.newest for name, history in self._histories.items() if history.newest is not None}
        chosen = {name: newest[name] for name in self._images}
        if chosen:
            stamps = [entry.stamp for entry in chosen.values()]
            if max(stamps) - min(stamps) > self.max_skew:
                chosen = {name: self._histories[name].nearest(min(stamps)) for name in chosen}
            t_obs = max(entry.stamp for entry in chosen.values())
        else:
            t_obs = newest[next(iter(self._vector_keys))].stamp
        vectors = {name: self._histories[name].nearest(t_obs) for name in self._vector_keys}
        return {**vectors, **chosen}, t_obs

    def _check_chosen(self, chosen: Mapping[str, Stamped[Any]], t_obs: float, now: float) -> Refusal | None:
        for name, entry in chosen.items():
            refusal = self._check_age(name, entry.stamp, now)
            if refusal is not None:
                return refusal
        offsets = {name: entry.stamp - t_obs for name, entry in chosen.items()}
        spread = max(offsets.values()) - min(offsets.values())
        if spread > self.max_skew + CLOCK_RESOLUTION_S:
            farthest = max(offsets, key=lambda name: abs(offsets[name]))
            apart = ", ".join(f"{name} {offset:+.3f} s" for name, offset in offsets.items())
            return Refusal(Reason.SKEW, farthest, f"{spread:.3f} s apart, max_skew is {self.max_skew} s: {apart}")
        return None

    def _decode_image(self, image: ImageSpec, msg: Any) -> npt.NDArray[np.uint8] | bytes:
        if self._keep_jpeg and images.is_compressed(msg):
            data = data_of(msg)
            if images.is_jpeg_of_size(data, image.height, image.width):
                return data
        pixels = images.decode_image_message(msg)
        return images.resize(pixels, image.height, image.width) if self._resize else pixels


def _check_contract(
    spec: PolicySpec, state: JointBinding | None, cameras: Mapping[str, CameraOptions], stamps: str
) -> None:
    """Raise ConfigurationError, with both sides in it, unless state and cameras are what the policy reads."""
    if stamps not in STAMPS:
        raise ConfigurationError(f"stamps: expected one of {list(STAMPS)}, got {stamps!r}")
    if set(cameras) != set(spec.cameras):
        raise ConfigurationError(f"cameras: the policy reads {sorted(spec.cameras)}, configured are {sorted(cameras)}")
    if not spec.keys:
        raise ConfigurationError("the policy reads nothing: neither a camera nor a state")
    taken = {STATE_INPUT, ENVIRONMENT_STATE_INPUT} & set(cameras)
    if taken:
        raise ConfigurationError(f"cameras: {sorted(taken)} cannot name a camera, that is an input's name already")
    configured = None if state is None else len(state)
    if configured != spec.state_dim:
        names = "none" if state is None else list(state.names)
        raise ConfigurationError(f"state: the policy reads {spec.state_dim or 'no'} joints, configured are {names}")
