"""Faults that are planted into the made-up recording: what is wrong, the rule that has to say so, and the recording."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import numpy as np

from act_inference_ros.interfaces import Command, command_interface, write_trajectory
from test.witness.good_inputs import Looked
from test.witness.made_up import AMPLITUDE, BEGIN, CONTRACT, JOINTS, header, made_up, make, rules, status
from test.witness.motion import seconds
from test.witness.planting import (
    edited,
    good,
    held,
    later,
    one_trajectory,
    said,
    set_target,
    set_time,
    stamped,
    streamed,
    without,
)
from test.witness.recording import CHUNK, COMMAND, INPUT, STATUS, Contract, Event, Recording

STREAMS = {"grip": "c", "wrist": "d"}
"""Controller that is streamed to, without stamps and with them -> its joint."""
ARM = ("a", "b")


@dataclass(frozen=True)
class Planted:
    """A recording with one fault, and the rule that has to find it."""

    rule: str
    make: Callable[[], Recording]
    contract: Contract = CONTRACT


def short_row(message: Any) -> None:
    message.points[5].positions = message.points[5].positions[:1]


def a_point_without_velocities(message: Any) -> None:
    message.points[5].velocities = []


def spike(message: Any) -> None:
    """Within 10 ms out by 50 mrad and back, with three more points."""
    base = message.points[1]
    time, place, speed = seconds(base.time_from_start), np.array(base.positions), np.array(base.velocities)
    more = [
        make(
            "Point",
            positions=(place + speed * since + np.array([out, 0.0])).tolist(),
            velocities=speed.tolist(),
            time_from_start=SimpleNamespace(sec=0, nanosec=round((time + since) * 1e9)),
        )
        for since, out in ((0.002, 0.0), (0.005, 0.05), (0.008, 0.0))
    ]
    message.points[2:2] = more


def faster_from_here(message: Any) -> None:
    """0.04 per s faster at once, which is less than the limit of acceleration allows between two looks."""
    for point in message.points:
        point.positions[0] += 0.04 * seconds(point.time_from_start)
        point.velocities[0] += 0.04
    message.points[-1].velocities[0] = 0.0


def with_limits(**limits: float) -> Contract:
    """The contract with other limits of the arm."""
    arm = replace(CONTRACT.controllers["arm"], **{name: np.full(2, value) for name, value in limits.items()})  # type: ignore[arg-type]
    return replace(CONTRACT, controllers={**CONTRACT.controllers, "arm": arm})


def reaches_too_far() -> Recording:
    def stretch(event: Event) -> None:
        for point in event.message.points:
            time = seconds(point.time_from_start) * 2.0
            point.time_from_start = SimpleNamespace(sec=int(time), nanosec=round(time % 1.0 * 1e9))

    return edited(good(), COMMAND, "arm", 2.95, 3.05, stretch)


def begins_elsewhere() -> Recording:
    """The node becomes active while the arm is measured at another place than that at which its motion begins."""
    recording = good()
    for time in (BEGIN - 0.5, BEGIN - 0.1):
        recording.events.append(Event(time, INPUT, "state", Looked(header(time), True, dict.fromkeys(JOINTS, -0.5))))
    recording.events += [Event(BEGIN - 0.6, STATUS, "status", status("inactive"))]
    recording.events += [Event(BEGIN - 0.3, STATUS, "status", status("waiting", "no plan"))]
    return recording


def hidden_by_the_future() -> Recording:
    """Chunks stop, but two of the future hide it."""
    recording = without(CHUNK, "", 2.05, 4.05)
    for time in (BEGIN + 2.5, BEGIN + 3.0):
        recording.events.append(Event(time, CHUNK, "chunk", SimpleNamespace(header=header(time + 1.0))))
    return recording


def not_finite_chunk() -> Recording:
    row = np.full((2, 2), math.nan)
    message = write_trajectory(make, ARM, Command(BEGIN + 2.96, np.array([0.0, 0.1]), row, row))
    return edited(good(), CHUNK, "", 2.95, 3.05, lambda event: replace(event, message=message))


def creeps(name: str) -> Recording:
    """A hold in which a stream goes on by 9 mrad a second."""
    recording = held()
    last = recording.of(COMMAND, name)[-1]
    place = (last.message.data if hasattr(last.message, "data") else last.message.position)[0]
    for number in range(100):
        time = BEGIN + 4.4 + number * 0.02
        message = copy.deepcopy(last.message)
        set_target(message, place + 0.009 * number * 0.02)
        if hasattr(message, "header"):
            set_time(message, time)
        recording.events.append(Event(time + 0.002, COMMAND, name, message))
    return recording


def back_to_an_old_place() -> Recording:
    """While the node holds the arm is sent to where it was 0.5 s before, and was measured then."""

    def looked(event: Event) -> Event:
        phase = min(event.time - BEGIN, 4.25) + 1.0
        place = {"a": math.sin(phase), "b": math.cos(phase), "c": math.sin(phase), "d": math.sin(phase)}
        places = {joint: AMPLITUDE * at for joint, at in place.items()}
        return replace(event, message=Looked(header(event.time), True, places))

    recording = edited(held(), INPUT, "state", -1.0, 9.0, looked)
    row = AMPLITUDE * np.array([[math.sin(4.72), math.cos(4.72)]] * 2)
    old = Command(BEGIN + 4.64, np.array([0.0, 0.5]), row, np.zeros((2, 2)))
    recording.events.append(Event(BEGIN + 4.62, COMMAND, "arm", write_trajectory(make, ARM, old)))
    return recording


def brakes_cut_off(name: str) -> Recording:
    return without(COMMAND, name, 4.19, 4.5, made_up())


def told_late(until: float) -> Recording:
    """The status goes on saying that the node holds, and says then since when it has commanded again."""

    def late(event: Event) -> Event:
        since = BEGIN + 5.7
        told = status("commanding", since=since) if event.time > BEGIN + until else status("holding", "stale: front")
        return replace(event, message=told)

    return edited(made_up(), STATUS, "", 5.65, 9.0, late)


def swapped(name: str) -> Recording:
    """Two neighbours of a stream have exchanged their places."""
    exchanged = {150: 3.02, 151: 3.0}
    return streamed(name, lambda time: math.sin(exchanged.get(round(time * 50.0), time)))


def swings(time: float) -> float:
    """At the full velocity to and fro, turning at once."""
    return 0.5 - abs(time % 2.0 - 1.0)


def goals_far_out(interface: str) -> Planted:
    """A gripper that takes goals gets one beyond its limits."""
    contract = replace(CONTRACT, controllers={**CONTRACT.controllers, "grip": rules(interface, "c")})

    def goal(event: Event) -> Event:
        target = Command(event.time, np.zeros(1), np.array([[9.0 if event.time > BEGIN + 3.0 else 0.0]]))
        return replace(event, message=command_interface(interface).write(make, ("c",), target))

    return Planted("position", lambda: edited(good(), COMMAND, "grip", -1.0, 9.0, goal), contract)


def of_each_stream() -> Iterator[tuple[str, Planted]]:
    """Faults of a stream, with stamps and without."""

    def cut(name: str, begin: float, end: float) -> Recording:
        return without(COMMAND, name, begin, end, streamed(name, math.sin))

    for name in STREAMS:
        steps: dict[str, tuple[str, Callable[[str], Recording]]] = {
            "is a hundredth too fast": ("velocity", lambda name: streamed(name, lambda t: 1.01 * math.sin(t))),
            "is twice too fast": ("velocity", lambda name: streamed(name, lambda t: math.sin(2.0 * t))),
            "steps by 50 mrad": ("velocity", lambda name: streamed(name, lambda t: 0.05 if t > 3.0 else 0.0)),
            "turns at once": ("acceleration", lambda name: streamed(name, swings)),
            "chatters": ("acceleration", lambda name: streamed(name, lambda t: 0.02 * (round(t / 0.02) % 2))),
            "trembles": ("acceleration", lambda name: streamed(name, lambda t: 0.031 * math.sin(31.0 * t))),
            "has two targets exchanged": ("velocity", swapped),
            "lacks two targets": ("velocity", lambda name: cut(name, 3.13, 3.17)),
            "lacks half a second": ("velocity", lambda name: cut(name, 2.9, 3.4)),
            "ends at full speed": ("commands_come", lambda name: cut(name, 3.14, 9.0)),
            "is not led to rest": ("goes_on", brakes_cut_off),
            "creeps in a hold": ("silent", creeps),
        }
        for what, (rule, make_it) in steps.items():
            yield f"{name} {what}", Planted(rule, lambda name=name, make_it=make_it: make_it(name))  # type: ignore[misc]


def of_stamped_streams() -> Iterator[tuple[str, Planted]]:
    """Faults of a stream with stamps."""
    for by in (-0.9, -0.1, 0.1, 0.9):
        yield (
            f"wrist stamped {by:+} s",
            Planted("stamps", lambda by=by: edited(good(), COMMAND, "wrist", -1.0, 9.0, stamped(by))),  # type: ignore[misc]
        )
    yield (
        "wrist published late",
        Planted("stamps", lambda: edited(good(), COMMAND, "wrist", -1.0, 9.0, later(0.9))),
    )
    for field, value in (("velocity", 99.0), ("effort", math.nan)):

        def beside(event: Event, field: str = field, value: float = value) -> None:
            setattr(event.message, field, [value])

        yield (
            f"wrist with {field}",
            Planted("well_formed", lambda beside=beside: edited(good(), COMMAND, "wrist", -1.0, 9.0, beside)),  # type: ignore[misc]
        )


FAULTS: dict[str, Planted] = {
    "trajectory with a short row": Planted("well_formed", lambda: one_trajectory(short_row)),
    "trajectory with a point without velocities": Planted(
        "well_formed", lambda: one_trajectory(a_point_without_velocities)
    ),
    "trajectory with a spike between two looks": Planted("curve", lambda: one_trajectory(spike)),
    "trajectory with a spike beyond a limit": Planted(
        "curve", lambda: one_trajectory(spike), with_limits(lowest=-0.31, highest=0.31)
    ),
    "trajectory with a step of velocity": Planted("curve", lambda: one_trajectory(faster_from_here)),
    "arm a hundredth too fast": Planted("velocity", good, with_limits(max_velocity=AMPLITUDE / 1.01)),
    "arm 3 thousandths too fast": Planted("curve", good, with_limits(max_velocity=AMPLITUDE / 1.003)),
    "trajectory that reaches too far": Planted("plan_age", reaches_too_far),
    "begin where the arm is not": Planted("begins", begins_elsewhere),
    "chunks of the future": Planted("well_formed_chunks", lambda: edited(good(), CHUNK, "", 2.0, 5.0, stamped(0.44))),
    "old plan hidden by chunks of the future": Planted("plan_age", hidden_by_the_future),
    "chunks of no time": Planted(
        "well_formed_chunks",
        lambda: edited(good(), CHUNK, "", 3.0, 3.3, lambda event: set_time(event.message, 0.0)),
    ),
    "chunks of 2 s ago": Planted("well_formed_chunks", lambda: edited(good(), CHUNK, "", 3.0, 3.3, stamped(-2.0))),
    "chunk that is not finite": Planted("well_formed_chunks", not_finite_chunk),
    "chunks while inactive": Planted("no_chunks", lambda: without(COMMAND, "", 3.1, 9.0, said("inactive", 2.95, 9.0))),
    "chunk before its inputs came": Planted("backed", lambda: edited(good(), INPUT, "front", 2.9, 3.1, later(0.15))),
    "inputs that come late": Planted("backed", lambda: edited(good(), INPUT, "front", -1.0, 9.0, later(0.3))),
    "no status at the begin": Planted("status_goes_on", lambda: without(STATUS, "", -1.0, 3.0)),
    "unknown state": Planted("known_words", lambda: said("unconfigured", 3.0, 5.0)),
    "empty state": Planted("known_words", lambda: said("", 3.0, 5.0)),
    "holding, and commands go on": Planted("silent", lambda: said("holding", 3.0, 6.0)),
    "paused, and the plan runs on": Planted(
        "silent", lambda: without(COMMAND, "", 3.05, 9.0, said("paused", 2.95, 9.0))
    ),
    "stopped, and the plan runs on": Planted(
        "silent", lambda: without(COMMAND, "", 3.05, 9.0, said("stopped", 2.95, 9.0))
    ),
    "commanding, and told 1.8 s later": Planted("silent", lambda: told_late(7.4)),
    "back to an old place in a hold": Planted("silent", back_to_an_old_place),
    "reason of a namesake": Planted(
        "reason",
        lambda: edited(
            made_up(),
            STATUS,
            "",
            4.0,
            5.9,
            lambda event: replace(event, message=status("holding", "stale: front_left")),
        ),
    ),
    "only the grip comes back": Planted(
        "commands_come", lambda: without(COMMAND, "arm", 5.5, 9.0, without(COMMAND, "wrist", 5.5, 9.0, made_up()))
    ),
    "back for a moment only": Planted("commands_come", lambda: without(COMMAND, "", 5.79, 9.0, made_up())),
    "commanding, and nothing is sent": Planted("commands_come", lambda: without(COMMAND, "", 4.0, 9.0)),
    "gripper_action far out": goals_far_out("gripper_action"),
    "parallel_gripper_action far out": goals_far_out("parallel_gripper_action"),
    **dict(of_each_stream()),
    **dict(of_stamped_streams()),
}
