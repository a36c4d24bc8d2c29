"""ClockWatch: checks that the simulated clock advances; while it stands still, nothing is judged or commanded."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from rclpy.node import Node

from act_inference_ros.execution.reasons import CLOCK_STILL, NO_CLOCK
from act_inference_ros.execution.states import Standing

STILL_S = 1.0
"""A clock that stands still for longer than this wall time is an error: the simulation was paused or has ended."""
TOPIC = "/clock"


class ClockWatch:
    """Call `ticked` at each tick of a timer on the node's clock. The machine's own clock never stands still."""

    def __init__(self, node: Node, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._node = node
        self._monotonic = monotonic
        self._ticked = monotonic()

    def ticked(self) -> None:
        """Note that the clock advances, or is expected to advance from now on."""
        self._ticked = self._monotonic()

    @property
    def still_s(self) -> float:
        """Return for how long the clock has stood still, s of wall time; 0.0 if it advances."""
        lasted = self._monotonic() - self._ticked
        return lasted if lasted > STILL_S and self._node.get_clock().ros_time_is_active else 0.0

    def told(self, standing: Standing) -> Standing:
        """Return `standing`, with the clock as its reason if the clock stands still."""
        if not self.still_s:
            return standing
        if self._node.get_clock().now().nanoseconds:
            reason, why = (
                CLOCK_STILL,
                f"{TOPIC} has said nothing new for {self.still_s:.0f} s: is the simulation paused?",
            )
        elif self._node.count_publishers(TOPIC):
            reason, why = NO_CLOCK, f"{TOPIC} has a publisher, but nothing has come: is the simulation paused?"
        else:
            reason, why = NO_CLOCK, f"nobody publishes {TOPIC}: start the simulation, or play the bag with --clock"
        return replace(standing, reason=reason, detail=f"use_sim_time is true; {why}; on a robot set it to false")
