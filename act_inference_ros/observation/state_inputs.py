"""The state of a policy from joint states: complete on one topic, or in parts on several. Imports numpy only."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from act_inference_ros.errors import ObservationError, shown_names
from act_inference_ros.joints import Joint, Places, StateBinding, StateEntry
from act_inference_ros.observation.contract import STATE_INPUT, state_input_on
from act_inference_ros.observation.history import VECTORS_KEPT, VECTORS_KEPT_S, StampedHistory
from act_inference_ros.observation.refusal import ObservationRefused, Reason, Refusal

Vector = npt.NDArray[np.float32]


class WholeState:
    """A state whose every message has all entries; its only input is called `state`.

    `histories` has for each input the values that were read on it.
    """

    optional: frozenset[str] = frozenset()
    """Inputs that may turn out to contribute nothing to the state."""

    def __init__(self, binding: StateBinding, names: Sequence[str] = (STATE_INPUT,)) -> None:
        self._binding = binding
        self.histories: dict[str, StampedHistory[Any]] = {
            name: StampedHistory(VECTORS_KEPT_S, VECTORS_KEPT) for name in names
        }

    def name_of(self, topic: str) -> str:
        """The name of the input for messages on `topic`."""
        return STATE_INPUT

    def read(self, topic: str, message: Any, received: float, stamp: float | None, max_age: float) -> Any:
        """Return the value of a message, to be stored. Raises ObservationError for a message that cannot be read."""
        return self._binding.to_policy(message)

    def used(self) -> Sequence[str]:
        """The inputs that contribute to the state."""
        return (STATE_INPUT,)

    def missing(self) -> tuple[str, str] | None:
        """Return which input is missing and the known detail; None if all entries of the state have been read."""
        return None

    def composed(self, read: Sequence[Any]) -> Vector:
        """Return the state (n,), float32, policy units, from the values of each used input; missing entries are nan."""
        vector: Vector = read[0]
        return vector

    def needed_for(self, name: str) -> str:
        """What an input contributes, as text for a message; empty if that is the whole state."""
        return ""

    def clear(self) -> None:
        """Forget what was learned from messages; the histories are cleared by their owner."""


@dataclass(frozen=True)
class Part:
    """The part of a state in one message: the entries at `places`, and their `values` (len(places),), policy units."""

    places: Places
    values: Vector


class StateParts(WholeState):
    """A state whose joints are published on several `topics`; each topic is an input, called `state <topic>`.

    The messages show which topic has which entries. Each entry must come on one topic only. The same holds for the
    positions of the joints `moved`, which tell where a motion starts: with two sources the right one is unknown.
    """

    def __init__(self, binding: StateBinding, topics: Sequence[str], moved: Iterable[Joint] = ()) -> None:
        self._topics = {state_input_on(topic): topic for topic in topics}
        super().__init__(binding, tuple(self._topics))
        self.optional = frozenset(self._topics)
        watched = (*binding.entries, *(StateEntry(joint) for joint in moved))
        self._watched = StateBinding(list({entry.name: entry for entry in watched}.values()))
        self._heard: dict[str, tuple[frozenset[int], float]] = {}
        self._layouts: dict[str, tuple[tuple[str | int, ...], frozenset[int], Places]] = {}

    def name_of(self, topic: str) -> str:  # noqa: D102
        name = state_input_on(topic)
        if name not in self._topics:
            raise ValueError(f"expected a message on one of {list(self._topics.values())}, got one on {topic!r}")
        return name

    def read(self, topic: str, message: Any, received: float, stamp: float | None, max_age: float) -> Part:  # noqa: D102
        watched, places = self._layout(topic, message)
        self._check_alone(topic, watched, received, max_age)
        before = self.histories[self.name_of(topic)].newest
        if before is not None and stamp is not None and 0.0 <= stamp - before.stamp <= max_age:
            lost = [self._binding.names[i] for i in before.value.places if i not in places]
            if lost:
                there = shown_names(message.name)
                raise ObservationError(
                    f"joint state: missing {lost}, which this topic had before; the message has {there}"
                )
        return Part(places, self._binding.part(places).to_policy(message) if places else np.empty(0, np.float32))

    def used(self) -> Sequence[str]:  # noqa: D102
        return [name for name, part in self._newest().items() if part is not None and part.places]

    def missing(self) -> tuple[str, str] | None:  # noqa: D102
        newest = self._newest()
        there = {place for part in newest.values() if part is not None for place in part.places}
        if len(there) == len(self._binding):
            return None
        lacking = ", ".join(name for i, name in enumerate(self._binding.names) if i not in there)
        silent = [name for name, part in newest.items() if part is None]
        if silent:
            return silent[0], f"nothing yet; no other topic has {lacking}"
        brought = [f"{topic} has {self._said(newest[name]) or 'none'}" for name, topic in self._topics.items()]
        return STATE_INPUT, f"no message has {lacking}; of state.joints {', '.join(brought)}"

    def composed(self, read: Sequence[Any]) -> Vector:  # noqa: D102
        state = np.full(len(self._binding), np.nan, dtype=np.float32)
        for part in read:
            state[list(part.places)] = part.values
        return state

    def needed_for(self, name: str) -> str:  # noqa: D102
        return f"; it has {self._said(self._newest()[name])}" if name in self._topics else ""

    def clear(self) -> None:  # noqa: D102
        self._heard.clear()

    def _newest(self) -> dict[str, Part | None]:
        """Input -> its newest value."""
        newest = {name: history.newest for name, history in self.histories.items()}
        return {name: None if entry is None else entry.value for name, entry in newest.items()}

    def _said(self, part: Part | None) -> str:
        return ", ".join(self._binding.names[i] for i in part.places) if part is not None else ""

    def _layout(self, topic: str, message: Any) -> tuple[frozenset[int], Places]:
        """The watched entries, and the state's own, in a message; messages of one driver have the same entries."""
        shape = (*message.name, *(len(getattr(message, field)) for field in self._watched.fields))
        known = self._layouts.get(topic)
        if known is None or known[0] != shape:
            known = shape, frozenset(self._watched.places_in(message)), self._binding.places_in(message)
            self._layouts[topic] = known
        return known[1:]

    def _check_alone(self, topic: str, watched: frozenset[int], received: float, max_age: float) -> None:
        """Raise ObservationRefused for an entry that also came on another topic within `max_age`, s."""
        self._heard[topic] = watched, received
        for other, (theirs, heard) in self._heard.items():
            if other != topic and not watched.isdisjoint(theirs) and 0.0 <= received - heard <= max_age:
                both = ", ".join(self._watched.names[i] for i in sorted(watched & theirs))
                detail = (
                    f"{both} on {topic} and on {other}, too; each joint must come on one topic: take one of them out "
                    "of state.topics, or let one driver leave the joint out"
                )
                raise ObservationRefused(Refusal(Reason.TWICE, self.name_of(topic), detail))
