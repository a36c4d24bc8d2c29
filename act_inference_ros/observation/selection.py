"""Selection: the messages that make up one observation, before they are decoded. Imports numpy only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Vector = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Selection:
    """The messages of one observation, undecoded, and its time.

    `t_obs` is the stamp of the newest image (of the state, for a policy without images), and `stamps` has the stamp of
    each input. `images` maps camera to message; `vectors` maps feature key to float32 (dim,) in policy units.
    """

    t_obs: float
    stamps: Mapping[str, float]
    images: Mapping[str, Any]
    vectors: Mapping[str, Vector]
