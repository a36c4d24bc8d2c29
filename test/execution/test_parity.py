"""Node and evaluator come to the same holds, for the same reasons, and send the same commands, whatever goes wrong."""

from collections import Counter
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy")

from act_inference_ros.interfaces import Command
from test.execution.parity import APART, TOGETHER, Schedule, draw, evaluated, run_as_node

SEEDS = range(60)
SEEDS_APART = range(1000, 1030)
STAMPED_WITHIN_S = 2e-9
"""A message's stamp and each of its times are rounded to ns."""


@pytest.mark.parametrize("seed", SEEDS)
def test_node_and_evaluator_hold_and_command_alike(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    assert_alike(draw(seed, TOGETHER), monkeypatch)


@pytest.mark.parametrize("seed", SEEDS_APART)
def test_they_do_so_where_two_drivers_publish_the_joints(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    assert_alike(draw(seed, APART), monkeypatch)


def assert_alike(schedule: Schedule, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        there = evaluated(schedule, patch)
    with monkeypatch.context() as patch:
        here = run_as_node(schedule, patch)
    assert [change[1:] for change in here.changes] == [change[1:] for change in there.changes]
    assert [change[0] for change in here.changes] == pytest.approx([change[0] for change in there.changes], abs=1e-9)
    assert here.holds == there.holds
    for controller, commands in here.commands.items():
        assert_same(commands, there.commands[controller])


def assert_same(ours: list[Command], theirs: list[Command]) -> None:
    assert len(ours) == len(theirs)
    for one, other in zip(ours, theirs, strict=True):
        assert one.stamp == pytest.approx(other.stamp, abs=STAMPED_WITHIN_S)
        np.testing.assert_allclose(one.times, other.times, rtol=0.0, atol=STAMPED_WITHIN_S)
        np.testing.assert_allclose(one.positions, other.positions, rtol=0.0, atol=1e-9)
        if one.velocities is not None and other.velocities is not None:
            np.testing.assert_allclose(one.velocities, other.velocities, rtol=0.0, atol=1e-9)
        assert (one.velocities is None) == (other.velocities is None)


@pytest.mark.parametrize(
    ("seeds", "drivers", "kinds", "reasons"),
    [
        (SEEDS, TOGETHER, set(), {"stale: state"}),
        (SEEDS_APART, APART, {"twice", "fewer"}, {"stale: state /s", "stale: state /h"}),
    ],
    ids=["together", "apart"],
)
def test_the_schedules_hold_what_they_are_to_prove(
    seeds: range, drivers: Any, kinds: set[str], reasons: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    faults: Counter[str] = Counter()
    states: Counter[str] = Counter()
    for seed in list(seeds)[:20]:
        schedule = draw(seed, drivers)
        faults += schedule.faults
        with monkeypatch.context() as patch:
            states.update(what for _, *what in evaluated(schedule, patch).changes for what in what)  # type: ignore[assignment,misc]  # the inner `what` is another one
    assert {"lost", "late", "skewed", "wrong", "jump"} | kinds <= set(faults)
    assert {"commanding", "holding", "inference failed", "plan too old", "the clock jumped back"} | reasons <= set(
        states
    ), states
