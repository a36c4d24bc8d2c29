"""EpisodeWatch: receives the data of an episode while it is evaluated, to show or to save it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext

import numpy as np
import numpy.typing as npt

from act_inference_ros.spec import Chunk, Observation

Floats = npt.NDArray[np.float64]


class EpisodeWatch:
    """One episode. This class ignores all data; subclasses override the methods that they need.

    Times are seconds on the episode's clock, positions in ROS units and in the action's order, nan where there is none.
    """

    def observed(self, observation: Observation, stamps: Mapping[str, float]) -> None:
        """Take the observation of the next prediction; `stamps` has the time of each camera's image, by camera."""

    def predicted(self, chunk: Chunk, t_obs: float, arrival: float) -> None:
        """Take a chunk (chunk_size, action_dim), policy units, that comes at `arrival`, row i for t_obs + i / fps."""

    def measured(self, time: float, positions: Mapping[str, float]) -> None:
        """Take measured positions of some joints, by name."""

    def executed(self, times: Floats, positions: Floats, starts: bool = False) -> None:
        """Take the executed plan (n, joints) at `times` (n,); `starts`: a motion begins here."""

    def commanded(self, times: Floats, positions: Floats) -> None:
        """Take the operator's commanded, or measured, positions (n, joints) at `times` (n,)."""


WatchEpisode = Callable[[str], AbstractContextManager[EpisodeWatch]]
"""Called with an episode's name; the episode lasts as long as the block."""


def nobody(_: str) -> AbstractContextManager[EpisodeWatch]:
    """Return a watch that ignores the episode; a `WatchEpisode`."""
    return nullcontext(EpisodeWatch())
