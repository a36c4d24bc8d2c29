"""Whatever happens again and again, a session holds no more afterwards than before, and commands what the plan says."""

import itertools
from collections.abc import Callable
from typing import Any

import pytest
from sensor_msgs.msg import JointState

from act_inference_ros.control.timeline import ActionTimeline
from act_inference_ros.execution.inference_statistics import InferenceStatistics
from act_inference_ros.observation.history import StampedHistory
from act_inference_ros.ros.policy.diagnostics import DiagnosticReport
from test.execution.long_run import World, world
from test.execution.rig import JOINTS
from test.reachable import sizes

WARM_UP, CYCLES = 5, 5
"""After so many cycles everything that is bounded is full."""


def grown(living: World, cycles: int) -> list[str]:
    """What has become more in so many cycles: where, and how many elements or bytes there were before and after."""
    before = living.held()
    living.live(cycles)
    after = living.held()
    return [f"{where}: {before[where]} -> {after[where]}" for where in after if after[where] > before[where]]


def test_a_session_holds_no_more_after_many_cycles_and_commands_what_the_plan_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    living = world(monkeypatch)
    living.live(WARM_UP)
    begin = len(living.errors)
    assert grown(living, CYCLES) == []
    assert not living.faults
    reasons = {reason.partition(":")[2].strip() for reason in living.seen}
    assert {"operator", "reset", "stale: front", "stale: state", "inference failed", "the clock jumped back"} < reasons
    assert living.seen["commanding: "] > sum(living.seen.values()) / 2
    assert max(living.errors[begin:]) < 1e-5  # near 1.7e9 s a time is exact to 0.24 us
    assert len(living.errors) > 2 * begin - 5


def leaky_statistics(monkeypatch: pytest.MonkeyPatch) -> None:
    inferred, all_of_them = InferenceStatistics.inferred, []

    def noted(self: Any, *arguments: Any) -> None:
        inferred(self, *arguments)
        all_of_them.append(arguments)
        self.all_of_them = all_of_them

    monkeypatch.setattr(InferenceStatistics, "inferred", noted)


def leaky_history(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = StampedHistory.append

    def append(self: Any, stamp: float, value: Any) -> None:
        self.for_ever = [*getattr(self, "for_ever", []), value]
        kept(self, stamp, value)

    monkeypatch.setattr(StampedHistory, "append", append)


def leaky_timeline(monkeypatch: pytest.MonkeyPatch) -> None:
    clear = ActionTimeline.clear
    monkeypatch.setattr(ActionTimeline, "_prune", lambda self: None)
    monkeypatch.setattr(ActionTimeline, "clear", lambda self: None if hasattr(self, "_chunks") else clear(self))


def leaky_report(monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = itertools.count()
    active = DiagnosticReport.active

    def told(self: Any, stamp: Any, configuration: Any, client: Any, standing: Any, pipeline: Any, *rest: Any) -> Any:
        pipeline.supervisor.holds[f"reason {next(numbers)}"] += 1  # a reason with a number in it is always a new one
        return active(self, stamp, configuration, client, standing, pipeline, *rest)

    monkeypatch.setattr(DiagnosticReport, "active", told)


@pytest.mark.parametrize(
    ("leak", "where"),
    [
        (leaky_statistics, "InferenceStatistics"),
        (leaky_history, "StampedHistory"),
        (leaky_timeline, "ActionTimeline"),
        (leaky_report, "Counter"),
    ],
)
def test_a_history_without_a_bound_is_found(
    leak: Callable[[pytest.MonkeyPatch], None], where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    leak(monkeypatch)
    living = world(monkeypatch)
    living.live(1)
    assert any(where in each for each in grown(living, 1))


def test_joints_that_are_always_other_ones_are_not_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    living = world(monkeypatch)

    def send(number: int) -> None:
        message = JointState(name=[*JOINTS, f"finger {number}"], position=[0.0] * (len(JOINTS) + 1))
        living.say("/s", message)

    send(0)
    before = living.held()
    for number in range(50):
        send(number)
    after = living.held()
    assert [where for where in after if after[where] > before[where]] == []


def test_sizes_are_those_of_all_that_is_held_and_of_nothing_else() -> None:
    class Holder:
        def __init__(self) -> None:
            self.numbers = [1.0, 2.0]
            self.again = self.numbers
            self.function = lambda: self.numbers
            self.outside = outside

    outside = [1] * 100
    found = sizes(Holder(), leave_out=[outside])
    assert sum(size for where, size in found.items() if where.endswith("> list")) == 2
    assert sum(found.values()) < 20
