"""The cells of the fault matrix in Triton mode: the server and the network fail, and all that fails in local mode."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator

from test.ros.policy_stand_in import Behaviour
from test.witness import network
from test.witness.cells import (
    BACK_S,
    BRAKING_S,
    DELAYED,
    GARBAGE,
    INFERENCE_S,
    INTERMITTENT,
    OFF,
    SLOW,
    STUCK,
    TICK_S,
    UNNOTICED_S,
    WRONG,
    Act,
    Cell,
    cells,
    ordered,
)
from test.witness.stage import Stage
from test.witness.triton_stage import NETWORK, SERVER

RECONNECTS_S = 1.0
"""How long a client may wait before it tries again to connect."""
FAILED = ("inference failed",)
LATE = ("inference failed", "plan too old", "plan ran out", "chunk too late")


@contextlib.contextmanager
def killed_server(stage: Stage) -> Iterator[None]:
    server = stage.extra[SERVER]
    server.kill()
    try:
        yield
    finally:
        server.start().wait_ready(deadline_s=120.0)


@contextlib.contextmanager
def frozen_server(stage: Stage) -> Iterator[None]:
    server = stage.extra[SERVER]
    server.send(signal.SIGSTOP)
    try:
        yield
    finally:
        server.send(signal.SIGCONT)


def failing(fault: str) -> Act:
    """The network fails in one of its ways; connections whose bytes are spoilt or lost end with it."""

    @contextlib.contextmanager
    def act(stage: Stage) -> Iterator[None]:
        way = stage.extra[NETWORK]
        way.fault = fault
        if fault == network.CUT:
            way.cut()
        try:
            yield
        finally:
            way.fault = network.WORKS

    return act


def triton_cells() -> Iterator[Cell]:
    """Those of the server and of the network, and those of local mode that have nothing to do with its process."""
    yield from (cell for cell in cells(parts=False) if cell.what != "inference process")
    computing = INFERENCE_S + TICK_S + BRAKING_S
    again = BACK_S + RECONNECTS_S
    yield Cell("server", OFF, killed_server, UNNOTICED_S, reasons=LATE, waits_for_chunk=True)
    yield Cell("server", STUCK, frozen_server, UNNOTICED_S, reasons=LATE, back_s=again)
    yield Cell("server", GARBAGE, ordered(Behaviour.NOT_FINITE), computing, reasons=FAILED)
    yield Cell("server", WRONG, ordered(Behaviour.WRONG_SHAPE), computing, reasons=FAILED)
    yield Cell("server", SLOW, ordered(Behaviour.SLOW), reasons=LATE, lasts_s=3.0, back_s=again + 1.5)
    yield Cell("server", INTERMITTENT, ordered(Behaviour.NOT_FINITE, 0), reasons=FAILED)
    yield Cell("network", OFF, failing(network.CUT), UNNOTICED_S, reasons=LATE, back_s=again)
    yield Cell("network", STUCK, failing(network.STALLED), UNNOTICED_S, reasons=LATE, back_s=again)
    yield Cell("network", GARBAGE, failing(network.GARBLED), UNNOTICED_S, reasons=LATE, back_s=again)
    yield Cell("network", WRONG, failing(network.ECHOES), UNNOTICED_S, reasons=LATE, back_s=again)
    yield Cell("network", SLOW, failing(network.SLOW), UNNOTICED_S, reasons=LATE, back_s=again)
    yield Cell("network", DELAYED, failing(network.DELAYED), UNNOTICED_S, reasons=LATE, back_s=again)
    yield Cell("network", INTERMITTENT, failing(network.BY_TURNS), reasons=LATE, lasts_s=2.7, back_s=again)
