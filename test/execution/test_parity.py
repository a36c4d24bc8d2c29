"""Node and evaluator come to the same holds, for the same reasons, and send the same commands, whatever goes wrong."""

from collections import Counter

import numpy as np
import pytest

pytest.importorskip("rclpy")

from act_inference_ros.interfaces import Command
from test.execution.parity import draw, evaluated, run_as_node

SEEDS = range(60)
STAMPED_WITHIN_S = 2e-9
"""A message's stamp and each of its times are rounded to ns."""


@pytest.mark.parametrize("seed", SEEDS)
def test_node_and_evaluator_hold_and_command_alike(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    schedule = draw(seed)
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


def test_the_schedules_hold_what_they_are_to_prove(monkeypatch: pytest.MonkeyPatch) -> None:
    faults: Counter[str] = Counter()
    states: Counter[str] = Counter()
    for seed in list(SEEDS)[:20]:
        schedule = draw(seed)
        faults += schedule.faults
        with monkeypatch.context() as patch:
            states.update(what for _, *what in evaluated(schedule, patch).changes for what in what)  # type: ignore[assignment,misc]  # the inner `what` is another one
    assert {"lost", "late", "skewed", "wrong", "jump"} <= set(faults)
    assert {"commanding", "holding", "inference failed", "plan too old", "the clock jumped back"} <= set(states)
