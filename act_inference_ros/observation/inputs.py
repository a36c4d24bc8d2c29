"""ObservationInputs: turns incoming messages into observations whose parts are fresh and belong together.

The node and the bag evaluator share it. Only `decode` is slow; all other methods are fast enough to run under the
node's one lock. Times are seconds on one clock, the node's ROS clock or a bag's; nothing here reads a clock.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from act_inference_ros.errors import ConfigurationError, ObservationError
from act_inference_ros.interfaces import BY_HEADER, COMPRESSED, RAW, TRANSPORTS
from act_inference_ros.joints import Joint, StateBinding
from act_inference_ros.observation import images
from act_inference_ros.observation.compressed import data_of
from act_inference_ros.observation.contract import ENVIRONMENT_STATE_INPUT, STATE_INPUT, check_contract
from act_inference_ros.observation.history import VECTORS_KEPT, VECTORS_KEPT_S, Stamped, StampedHistory
from act_inference_ros.observation.refusal import ObservationRefused, Reason, Refusal
from act_inference_ros.observation.selection import Selection
from act_inference_ros.observation.state_inputs import StateParts, WholeState
from act_inference_ros.observation.still import StillPicture
from act_inference_ros.spec import ImageSpec, PolicySpec

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


class ObservationInputs:
    """Takes the messages of the cameras, the joint states and the environment state; returns observations.

    `max_age` and `max_skew` (s; both may be set while running) limit the age of each input and the time between any two
    inputs. A message stamped more than `max_skew` ahead of its arrival is refused. `stamps: receive` uses the time of
    arrival instead of the header. `resize` allows images of another size; `keep_jpeg` leaves a JPEG of the policy's
    size undecoded. A camera that shows the same pixels under new stamps for `max_still` s is listed in `stuck`; with
    `hold_if_stuck` it also counts as stale.

    For a policy without state the positions of the joints `moved` must be fresh, too. If joint states come on several
    `state_topics`, each topic is a separate input: it must be fresh, and it counts in the skew. The time of the
    combined state is that of its oldest part.

    Not thread-safe except for `decode`. Raises ConfigurationError when state or cameras are not what the policy reads.
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

    def fresh(self, now: float) -> Refusal | None:
        """Return the first input that is missing, too old or from the future, or None when all are usable."""
        judged = self._histories
        if self._state is not None and self._state.optional:
            missing = self._state.missing()
            if missing is not None:
                return self._last_refusal.get(missing[0]) or Refusal(Reason.MISSING, *missing)
            unused = self._state.optional.difference(self._state.used())
            judged = {name: history for name, history in judged.items() if name not in unused}
        for name, history in judged.items():
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

        For each camera the newest image is chosen. If these lie further apart than `max_skew`, the images nearest to
        the newest image of the slowest camera are chosen instead. For the vectors the messages nearest to `t_obs` are
        chosen.
        """
        refusal = self.fresh(now)
        if refusal is None:
            chosen, t_obs = self._choose()
            vectors = {key: self._vector(name, chosen) for name, key in self._vector_keys.items()}
            refusal = self._check_chosen(chosen, t_obs, now) or self._check_whole(vectors)
        if refusal is not None:
            if refusal is not self._last_refusal.get(refusal.input):  # otherwise it was counted with the message
                self._count(refusal)
            raise ObservationRefused(refusal)
        return Selection(
            t_obs=t_obs,
            stamps={name: entry.stamp for name, entry in chosen.items()},
            images={name: chosen[name].value for name in self._images},
            vectors=vectors,
        )

    def decode(self, selection: Selection) -> dict[str, npt.NDArray[Any] | bytes]:
        """Decode a selection for `InferenceClient.predict`. Slow; it changes no state here, so it needs no lock.

        Raises ObservationRefused for an image that cannot be decoded: pass its `refusal` to `discard`.
        """
        observation: dict[str, npt.NDArray[Any] | bytes] = dict(selection.vectors)
        for image in self.spec.images:
            try:
                observation[image.key] = self._decode_image(image, selection.images[image.camera])
            except ObservationError as error:
                raise ObservationRefused(Refusal(Reason.UNDECODABLE, image.camera, str(error))) from error
        return observation

    def discard(self, selection: Selection, refusal: Refusal) -> None:
        """Forget an image that could not be decoded, so that its camera becomes stale unless a good image comes."""
        self._count(refusal)
        self._histories[refusal.input].remove(selection.images[refusal.input])

    def ages(self, now: float) -> dict[str, float | None]:
        """Return the age in s of the newest message of each input; None without a message."""
        newest = {name: history.newest for name, history in self._histories.items()}
        return {name: None if entry is None else now - entry.stamp for name, entry in newest.items()}

    def has_news_since(self, t_obs: float) -> bool:
        """Whether every camera (every vector, without cameras) has something newer than the observation of `t_obs`."""
        newest = [self._histories[name].newest for name in list(self._images) or self._chosen_vectors()]
        return bool(newest) and all(entry is not None and entry.stamp > t_obs for entry in newest)

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

    def _since_refused(self, name: str) -> str:
        last = self._last_refusal.get(name)
        return f"; last refused: {last}" if last else ""

    def _count(self, refusal: Refusal) -> None:
        self.refused[refusal.label] += 1

    def _check_age(self, name: str, stamp: float, now: float) -> Refusal | None:
        age = now - stamp
        if age > self.max_age + CLOCK_RESOLUTION_S:
            needed = "" if self._state is None else self._state.needed_for(name)
            return Refusal(Reason.STALE, name, f"{age:.3f} s old, max_age is {self.max_age} s{needed}")
        if -age > self.max_skew + CLOCK_RESOLUTION_S:
            return Refusal(Reason.FUTURE, name, f"stamped {-age:.3f} s ahead of now; did the clock jump back?")
        return None

    def _choose(self) -> tuple[dict[str, Stamped[Any]], float]:
        """Choose an entry of every input, each of which must have one; return the entries and `t_obs`."""
        newest = {name: history.newest for name, history in self._histories.items() if history.newest is not None}
        chosen = {name: newest[name] for name in self._images}
        if chosen:
            stamps = [entry.stamp for entry in chosen.values()]
            if max(stamps) - min(stamps) > self.max_skew:
                chosen = {name: self._histories[name].nearest(min(stamps)) for name in chosen}
            t_obs = max(entry.stamp for entry in chosen.values())
        else:
            t_obs = min(newest[name].stamp for name in self._inputs_of(next(iter(self._vector_keys))))
        vectors = {name: self._histories[name].nearest(t_obs) for name in self._chosen_vectors()}
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

    def _inputs_of(self, name: str) -> Sequence[str]:
        """The inputs that make up a vector: the used parts of the state, or the vector's own input."""
        return self._state.used() if name == STATE_INPUT and self._state is not None else (name,)

    def _chosen_vectors(self) -> list[str]:
        return [each for name in self._vector_keys for each in self._inputs_of(name)]

    def _vector(self, name: str, chosen: Mapping[str, Stamped[Any]]) -> Any:
        """The vector (n,), float32, policy units, from the chosen entries; missing elements are nan."""
        read = [chosen[each].value for each in self._inputs_of(name)]
        return self._state.composed(read) if name == STATE_INPUT and self._state is not None else read[0]

    def _check_whole(self, vectors: Mapping[str, Any]) -> Refusal | None:
        """Refuse an incomplete state: a topic has joints now that it did not have at the observation's time."""
        state = vectors.get(self.spec.state_key) if self._state is not None and self._state.optional else None
        if state is None or not np.isnan(state).any():
            return None
        return Refusal(Reason.MISSING, STATE_INPUT, "one of its topics had fewer joints at the observation's time")

    def _decode_image(self, image: ImageSpec, msg: Any) -> npt.NDArray[np.uint8] | bytes:
        if self._keep_jpeg and images.is_compressed(msg):
            data = data_of(msg)
            if images.is_jpeg_of_size(data, image.height, image.width):
                return data
        pixels = images.decode_image_message(msg)
        return images.resize(pixels, image.height, image.width) if self._resize else pixels


def _state_of(state: StateBinding | None, moved: Sequence[Joint], topics: Sequence[str]) -> WholeState | None:
    """The part of the joint states that is read: the policy's state, otherwise the positions of the moved joints."""
    if state is None and not moved:
        return None
    binding = StateBinding.of_positions(moved) if state is None else state
    return StateParts(binding, topics, moved) if len(topics) > 1 else WholeState(binding)
