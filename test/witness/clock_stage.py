"""A stage whose node takes its time from /clock. Robot and witness keep the wall's, which /clock tells."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rosgraph_msgs.msg import Clock

from test.ros.robot_stand_in import stamp
from test.witness.cells import FAULT_S, INTERMITTENT, OFF, STUCK, UNNOTICED_S, Act, Cell
from test.witness.distortions import always, now_and_then, the_same_again
from test.witness.stage import Stage, stage

PERIOD_S = 0.005
CLOCK = "clock"
"""What the stage has beside: the distortions of /clock's messages, a list whose last one is in force."""
STANDS_STILL_S = 2.2
"""That a clock stands still is said after a second, and the status comes twice a second."""


@contextlib.contextmanager
def clock_stage(directory: Path, interface: str) -> Iterator[Stage]:
    """A node of that interface on the time of /clock, until the block ends."""
    with stage(directory, interface, use_sim_time=True) as on:
        on.extra[CLOCK] = []
        publisher = on.stand.participant.node.create_publisher(Clock, "/clock", 10)
        over = threading.Event()

        def run() -> None:
            while not over.wait(PERIOD_S):
                message: Any = Clock(clock=stamp(time.time()))
                for distortion in on.extra[CLOCK][-1:]:
                    message = distortion(message)
                if message is not None:
                    publisher.publish(message)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        try:
            yield on
        finally:
            over.set()
            thread.join(5.0)


def distorted_clock(make: Any) -> Act:
    """Messages of /clock are distorted; `make` gives a new distortion each time."""

    @contextlib.contextmanager
    def act(on: Stage) -> Iterator[None]:
        on.extra[CLOCK].append(make())
        try:
            yield
        finally:
            on.extra[CLOCK].pop()

    return act


def clock_cells() -> Iterator[Cell]:
    """What happens to a node whose clock is gone: it decides nothing, and no message reaches further than its plan."""
    still = ("the clock stands still",)
    silent = distorted_clock(lambda: always(lambda _: None)())
    yield Cell("clock", OFF, silent, UNNOTICED_S, reasons=still, lasts_s=STANDS_STILL_S)
    yield Cell("clock", STUCK, distorted_clock(the_same_again), UNNOTICED_S, reasons=still, lasts_s=STANDS_STILL_S)
    yield Cell("clock", INTERMITTENT, distorted_clock(now_and_then), lasts_s=FAULT_S + 1.0)
