"""The setups of the fault matrix: a stage for each mode and kind of robot, and the cells that are tried on it."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from test.witness.cells import Cell, cells
from test.witness.cells_triton import triton_cells
from test.witness.clock_stage import clock_cells, clock_stage
from test.witness.stage import INTERFACES, Stage, stage
from test.witness.triton_stage import triton_stage

LOCAL, TRITON = MODES = ("local", "triton")
EVERY = tuple(INTERFACES)


@dataclass(frozen=True)
class Setup:
    """`stage` makes it in a directory, for one of its `interfaces`; `cells` are new ones at each call."""

    mode: str
    stage: Callable[[Path, str], AbstractContextManager[Stage]]
    cells: Callable[[], Iterator[Cell]]
    interfaces: tuple[str, ...] = EVERY


SETUPS = (
    Setup(LOCAL, stage, functools.partial(cells, parts=False)),
    Setup(LOCAL, functools.partial(stage, parts=True), functools.partial(cells, parts=True), ("joint_trajectory",)),
    Setup(LOCAL, clock_stage, clock_cells),
    Setup(TRITON, triton_stage, triton_cells),
)


def every_cell() -> Iterator[Cell]:
    """The cells of all setups; some names occur in both modes."""
    for setup in SETUPS:
        yield from setup.cells()
