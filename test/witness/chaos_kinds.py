"""The kinds of fault of the chaos run: the matrix's cells, and more; what each takes hold of, and what it hides."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from dataclasses import dataclass, replace

from test.witness import chaos_faults
from test.witness.cells import (
    BRAKING_S,
    DELAYED,
    GARBAGE,
    INTERMITTENT,
    NOTICED_S,
    OFF,
    SLOW,
    TICK_S,
    UNNOTICED_S,
    WRONG,
    Cell,
    cells,
)
from test.witness.cells_triton import LATE, failing, triton_cells
from test.witness.chaos_faults import (
    BY_TURNS,
    NOTHING,
    OVERDUE,
    RARE,
    SENSES,
    ended_by,
    everything,
    lossy,
    requests_nobody_waits_for,
)
from test.witness.network import LOSSY

LOCAL, TRITON = MODES = ("local", "triton")
HOLDS = {
    "camera, raw": {"front"}, "camera, compressed": {"side"}, "joint states": {"state"},
    "environment state": {"environment"}, "enabling topic": {"enable"}, "controller": {"controller"},
    "operator's services": {"node", "requests"}, "parameters": {"node", "requests"}, "lifecycle": {"node", "requests"},
    "requests": {"requests"}, "robot description": {"description"}, "node": {"node", "inference"},
    "inference process": {"inference"},
    "robot's network": set(SENSES) | {"front"}, "server": {"server", "inference"}, "network": {"network"},
}  # fmt: skip
"""What fails -> what its faults take hold of. Two faults at once have nothing in common there."""
ORDERS = (GARBAGE, WRONG, SLOW, INTERMITTENT)
"""Of the inference process, and of the server: these are ordered through the picture of `front`."""
HIDES = {
    "operator's services: intermittent", "lifecycle: intermittent", "lifecycle: off", "controller: stuck",
    "requests: intermittent", "node: stuck", "node: off (SIGKILL)", "node: off (SIGTERM)", "node: off (SIGINT)",
}  # fmt: skip
"""While these last `~/status` may rightly say something else than why another fault lets the arm rest."""
MAY_STOP = {"controller: stuck": "does not follow"}
"""An arm that does not follow may be stopped, until a person clears it; with which word."""
ASKED_S = TICK_S + BRAKING_S + 0.05


@dataclass(frozen=True)
class Kind:
    """A kind of fault. `restart`: when it ends, somebody has to let the arm go on (a supervisor, a person)."""

    cell: Cell
    holds: frozenset[str]
    restart: bool = False

    @property
    def name(self) -> str:
        return self.cell.name

    @property
    def hides(self) -> bool:
        """Whether `~/status` may say something else meanwhile than why another fault lets the arm rest."""
        return self.name in HIDES

    @property
    def rest_beside_another_s(self) -> float | None:
        """The bound of rest while another fault lasts, too.

        A wrong answer is noticed when there is one. Where the other fault prevents that, the plan's age is the bound.
        """
        if self.cell.rest_s is not None and _is_order(self.cell):
            return max(self.cell.rest_s, UNNOTICED_S)
        return self.cell.rest_s

    def goes_with(self, other: Kind) -> bool:
        """Whether the two can be made at the same time."""
        return not self.holds & other.holds


def kinds(mode: str) -> list[Kind]:
    """All kinds of a mode, always in the same order."""
    if mode not in MODES:
        raise ValueError(f"mode {mode!r}: expected one of {MODES}")
    if mode == LOCAL:
        return list(_all())
    return [*(kind for kind in _all() if kind.cell.what != "inference process"), *_of_server()]


def _all() -> Iterator[Kind]:
    for cell in cells(parts=False):
        if cell.what == "node":
            cell = replace(cell, act=chaos_faults.frozen_node)  # it notes since when the node is frozen
        restart = cell.what == "lifecycle" and cell.way in (OFF, INTERMITTENT)
        yield Kind(cell, _holds(cell), restart)
    for number, status in ((signal.SIGKILL, -signal.SIGKILL), (signal.SIGTERM, 0), (signal.SIGINT, 0)):
        rest = UNNOTICED_S if status else ASKED_S
        cell = Cell("node", f"off ({number.name})", ended_by(number, status), rest)
        yield Kind(cell, _holds(cell), restart=True)
    stale = ("stale", "missing", "not enabled")
    for cell in (
        Cell("robot's network", OFF, NOTHING, NOTICED_S, reasons=stale),
        Cell("robot's network", DELAYED, OVERDUE, NOTICED_S, reasons=stale),
        Cell("robot's network", SLOW, RARE, reasons=stale),
        Cell("robot's network", INTERMITTENT, BY_TURNS, reasons=stale, lasts_s=2.2),
        Cell("robot's network", "intermittent (a third is lost)", everything(lossy(0.33)), lasts_s=2.2),
        Cell("requests", INTERMITTENT, requests_nobody_waits_for, back_s=None),
    ):
        yield Kind(cell, _holds(cell))


def _of_server() -> Iterator[Kind]:
    for cell in triton_cells():
        if cell.what in ("server", "network"):
            yield Kind(cell, _holds(cell))
    for cell in (
        Cell("server", "off (SIGTERM)", chaos_faults.server_told_to_end),
        Cell("server", "off (its model's process)", chaos_faults.model_process_killed, UNNOTICED_S, reasons=LATE),
        Cell("server", "off (its model)", chaos_faults.model_unloaded, UNNOTICED_S, reasons=LATE),
        Cell("network", "intermittent (a tenth is lost)", failing(LOSSY), lasts_s=2.2),
    ):
        yield Kind(cell, _holds(cell))


def _is_order(cell: Cell) -> bool:
    """Whether the policy is ordered to answer badly, through the picture of `front`."""
    return cell.what in ("inference process", "server") and cell.way in ORDERS


def _holds(cell: Cell) -> frozenset[str]:
    if _is_order(cell):
        return frozenset({"front"})
    return frozenset(HOLDS[cell.what])
