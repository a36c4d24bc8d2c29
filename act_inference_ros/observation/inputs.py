"""ObservationInputs: turns incoming messages into observations whose parts are fresh and belong together.

The node and the bag evaluator share it. Only `decode` is slow; all other methods are fast enough to run under the
node's one lock. Times are seconds on one clock, the node's ROS clock or a bag's; nothing here reads a clock.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from act_inference_ros.errors import ObservationError
from act_inference_ros.observation import images
from act_inference_ros.observation.compressed import data_of
from act_inference_ros.observation.contract import STATE_INPUT
from act_inference_ros.observation.history import Stamped
from act_inference_ros.observation.received import CLOCK_RESOLUTION_S, ReceivedInputs
from act_inference_ros.observation.refusal import ObservationRefused, Reason, Refusal
from act_inference_ros.observation.selection import Selection
from act_inference_ros.spec import ImageSpec


class ObservationInputs(ReceivedInputs):
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

    def has_news_since(self, t_obs: float) -> bool:
        """Whether every camera (every vector, without cameras) has something newer than the observation of `t_obs`."""
        newest = [self._histories[name].newest for name in list(self._images) or self._chosen_vectors()]
        return bool(newest) and all(entry is not None and entry.stamp > t_obs for entry in newest)

    def _since_refused(self, name: str) -> str:
        last = self._last_refusal.get(name)
        return f"; last refused: {last}" if last else ""

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
