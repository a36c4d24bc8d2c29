"""The schedule of a chaos run: which faults, when, for how long; the same seed gives the same schedule."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from test.witness.chaos_kinds import MODES, Kind, kinds
from test.witness.stage import INTERFACES

SEGMENT_S = 100.0
TOGETHER = 0.7
"""The share of episodes with two faults at once."""
LONGEST = 1.4
"""A fault lasts up to so many times as long as in the matrix."""


@dataclass(frozen=True)
class Made:
    """A fault that is made: its kind, how long after the episode's begin it begins, and how long it lasts, s."""

    kind: Kind
    after_s: float
    lasts_s: float

    @property
    def until_s(self) -> float:
        return self.after_s + self.lasts_s


@dataclass(frozen=True)
class Episode:
    """One fault, or two whose times overlap; before it the arm is commanded for `calm_s`."""

    faults: tuple[Made, ...]
    calm_s: float

    @property
    def name(self) -> str:
        return " + ".join(made.kind.name for made in self.faults)


@dataclass(frozen=True)
class Segment:
    """A part of the run, on a stage of its own: the mode, the arm's interface, how long, and its episodes, endless."""

    mode: str
    interface: str
    lasts_s: float
    number: int
    of_mode: int
    """How many segments of its mode there are."""
    seed: int

    def episodes(self) -> Iterator[Episode]:
        """The same each time."""
        rng = random.Random(f"{self.seed} {self.mode} {self.number}")
        deck: list[Kind] = []
        first = True
        while True:
            if len(deck) < 2:
                deck += self._deck(rng, first)
                first = False
            one = deck.pop(0)
            faults = [Made(one, 0.0, one.cell.lasts_s * rng.uniform(1.0, LONGEST))]
            partner = next((kind for kind in deck if kind.goes_with(one)), None)
            if partner is not None and rng.random() < TOGETHER:
                deck.remove(partner)
                after = rng.uniform(0.0, 0.8) * faults[0].lasts_s
                faults.append(Made(partner, after, partner.cell.lasts_s * rng.uniform(1.0, LONGEST)))
            yield Episode(tuple(faults), rng.uniform(0.0, 0.5))

    def _deck(self, rng: random.Random, first: bool) -> list[Kind]:
        """All kinds; the first deck begins where the segment before is likely to have ended."""
        deck = kinds(self.mode)
        (random.Random(f"{self.seed} {self.mode}") if first else rng).shuffle(deck)
        begin = len(deck) * self.number // self.of_mode if first else 0
        return deck[begin:] + deck[:begin]


def segments(
    seed: int, duration_s: float, modes: Sequence[str] = MODES, interfaces: Sequence[str] = tuple(INTERFACES)
) -> list[Segment]:
    """The segments of a run: modes by turns, the arm's interfaces by turns from a trajectory controller on."""
    count = max(len(modes), round(duration_s / SEGMENT_S))
    rng = random.Random(f"{seed} interfaces")
    found = []
    for place in range(count):
        mode, number = modes[place % len(modes)], place // len(modes)
        of_mode = len(range(place % len(modes), count, len(modes)))
        interface = interfaces[0] if number == 0 else rng.choice(list(interfaces))
        found.append(Segment(mode, interface, duration_s / count, number, of_mode, seed))
    return found
