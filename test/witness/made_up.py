"""A made-up recording that keeps every rule: two joints follow a trajectory, two more follow streams, one fault."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt

from act_inference_ros.interfaces import Command, write_array, write_joint_state, write_trajectory
from test.witness.recording import CHUNK, COMMAND, INPUT, STATUS, Contract, ControllerRules, Event, Fault, Recording

Array = npt.NDArray[np.float64]
BEGIN, END = 1000.0, 1008.0
SILENT_FROM, SILENT_UNTIL = BEGIN + 4.0, BEGIN + 5.5
AMPLITUDE = 0.3
LEAD_S, REACH_S, BRAKING_S, RAMP_S, TICK_S, CHUNK_S = 0.02, 0.7, 0.1, 0.2, 0.02, 0.1
SIZE = (4, 6)
JOINTS = ("a", "b", "c", "d")


def rules(interface: str, *joints: str) -> ControllerRules:
    """A controller with the limits that the recording keeps."""
    n = np.ones(len(joints))
    return ControllerRules(interface, joints, -2.0 * n, 2.0 * n, 1.0 * n, 5.0 * n)


CONTRACT = Contract(
    controllers={
        "arm": rules("joint_trajectory", "a", "b"),
        "grip": rules("position_stream", "c"),
        "wrist": rules("joint_state", "d"),
    },
    inputs={"front": SIZE, "state": JOINTS},
    max_age=0.2, max_skew=0.05, max_plan_age=0.9, tick_s=TICK_S, allowance_s=0.02,
)  # fmt: skip


def make(message_type: str, **fields: Any) -> Any:
    """A message without ROS."""
    empty = {"accelerations": (), "effort": ()} if message_type.endswith("Point") else {}
    return SimpleNamespace(**(empty | fields))


def header(time: float) -> Any:
    return SimpleNamespace(stamp=SimpleNamespace(sec=int(time), nanosec=round(time % 1.0 * 1e9)))


@dataclass(frozen=True)
class Pace:
    """How fast the wave runs: piecewise linear `rates` at `times`; constant before and after."""

    times: tuple[float, ...]
    rates: tuple[float, ...]

    def at(self, time: Array) -> tuple[Array, Array]:
        """The wave's phase and its rate at the times."""
        knots = np.array([BEGIN - 1.0, *self.times, END + 9.0])
        rates = np.array([self.rates[0], *self.rates, self.rates[-1]])
        sums = np.r_[0.0, np.cumsum((rates[1:] + rates[:-1]) / 2.0 * np.diff(knots))]
        place = np.clip(np.searchsorted(knots, time, side="right") - 1, 0, len(knots) - 2)
        since = time - knots[place]
        slope = (rates[place + 1] - rates[place]) / np.maximum(knots[place + 1] - knots[place], 1e-9)
        return sums[place] + rates[place] * since + slope / 2.0 * since**2, np.interp(time, knots, rates)


Wave = Callable[[Array], Array]


def made_up(
    fault: bool = True, goes_on: bool = True, wave: Wave = np.sin, slope: Wave = np.cos, skipped: tuple[float, ...] = ()
) -> Recording:
    """The recording; `wave` and its derivative `slope` are what joint d does.

    No chunk and no trajectory is sent between the times `skipped`.
    """
    held = SILENT_FROM + CONTRACT.max_age
    resumed = SILENT_UNTIL + 0.2
    plan = Pace((BEGIN,), (1.0,))
    braking = Pace((held + LEAD_S, held + LEAD_S + BRAKING_S), (1.0, 0.0))
    again = Pace((*braking.times, resumed, resumed + RAMP_S), (*braking.rates, 0.0, 1.0))
    recording = Recording()
    note = recording.events.append

    def rests(time: float) -> bool:
        return fault and held <= time and (time < resumed or not goes_on)

    def pace(time: float) -> Pace:
        return plan if not fault or time < held else again if time >= resumed and goes_on else braking

    def trajectory(time: float) -> Any:
        stamp = time + LEAD_S
        now = pace(time)
        if not rests(time):
            stop = stamp + REACH_S - BRAKING_S
            now = Pace((*(t for t in now.times if t < stop), stop, stop + BRAKING_S), (*now.rates, 1.0, 0.0))
        times = np.round(np.arange(0.0, REACH_S + 0.01, TICK_S), 9)
        phase, rate = now.at(stamp + times)
        positions = AMPLITUDE * np.stack([np.sin(phase), np.cos(phase)], axis=1)
        speeds = AMPLITUDE * np.stack([np.cos(phase), -np.sin(phase)], axis=1) * rate[:, None]
        speeds[-1] = 0.0
        return write_trajectory(make, ("a", "b"), Command(stamp, times, positions, speeds))

    for i in range(round((END - BEGIN) / TICK_S)):
        time = BEGIN + i * TICK_S
        if i % 2 == 0:
            if not fault or not SILENT_FROM < time < SILENT_UNTIL:
                image = SimpleNamespace(
                    header=header(time), encoding="rgb8", height=4, width=6, step=18, data=bytes(72)
                )
                note(Event(time, INPUT, "front", image))
            state = SimpleNamespace(header=header(time), name=list(JOINTS), position=[0.0] * 4)
            note(Event(time, INPUT, "state", state))
        if i % 25 == 0 or rests(time) != rests(time - TICK_S):
            said = status("holding", "stale: front") if rests(time) else status("commanding")
            note(Event(time + 0.003, STATUS, "status", said))
        brakes = fault and abs(time - held) < TICK_S / 2.0
        skips = bool(skipped) and skipped[0] < time < skipped[1]
        if (i % 5 == 0 and not rests(time) and not skips) or brakes:
            note(Event(time + 0.002, COMMAND, "arm", trajectory(time)))
            seen = time - 0.04
            if not brakes and not (fault and SILENT_FROM < seen < SILENT_UNTIL):
                note(Event(time + 0.004, CHUNK, "chunk", SimpleNamespace(header=header(seen))))
        if not rests(time - BRAKING_S - LEAD_S) or not rests(time):
            phase = pace(time).at(np.array([time]))[0]
            row = Command(time, np.zeros(1), AMPLITUDE * np.sin(phase)[None])
            note(Event(time + 0.002, COMMAND, "grip", write_array(make, ("c",), row)))
            row = Command(time, np.zeros(1), AMPLITUDE * wave(phase)[None])
            note(Event(time + 0.002, COMMAND, "wrist", write_joint_state(make, ("d",), row)))
    if fault:
        bounds = CONTRACT.rest_s, 1.0 if goes_on else None
        recording.faults.append(Fault("front off", SILENT_FROM, SILENT_UNTIL, *bounds, ("stale: front",)))
    return recording


def status(state: str, why: str = "", since: float | None = None) -> Any:
    """A status that may say since when the state has lasted, s."""
    values = {"reason": why, "detail": ""} | ({} if since is None else {"since": f"{since:.3f}"})
    return SimpleNamespace(message=state, values=[SimpleNamespace(key=k, value=v) for k, v in values.items()])
