"""The arrows of docs/states.svg are the changes of state that the supervisor makes, all of them and no others."""

import itertools
from pathlib import Path
from xml.etree import ElementTree

import pytest

from act_inference_ros.execution import reasons
from act_inference_ros.execution.states import State
from act_inference_ros.execution.transitions import Transitions
from test.execution.rig import Rig
from test.execution.test_properties import run

CHART = Path(__file__).parents[2] / "docs" / "states.svg"
SEEDS = range(12)

Change = tuple[State, State]


def arrows() -> set[Change]:
    """The changes of state that the chart shows; an arrow that begins at a frame begins at several states."""
    elements = list(ElementTree.parse(CHART).iter())  # noqa: S314  # our own file
    ends = [(each.get("data-from", ""), each.get("data-to", "")) for each in elements if each.get("class") == "go"]
    pairs = [itertools.product(begins.split(), [end]) for begins, end in ends]
    return {(State(begin), State(end)) for begin, end in itertools.chain.from_iterable(pairs)}


@pytest.fixture
def changes(monkeypatch: pytest.MonkeyPatch) -> set[Change]:
    """The changes of state that any supervisor has made in this test."""
    seen: set[Change] = set()
    enter = Transitions._enter

    def watched(self: Transitions, state: State, since: float, reason: str, detail: str = "") -> None:
        if state is not self.state:
            seen.add((self.state, state))
        enter(self, state, since, reason, detail)

    monkeypatch.setattr(Transitions, "_enter", watched)
    return seen


def test_every_arrow_is_a_change_of_state_that_happens_and_the_other_way_round(
    changes: set[Change], monkeypatch: pytest.MonkeyPatch
) -> None:
    for seed in SEEDS:
        run(seed, monkeypatch)
    begin_paused()
    for state in State:
        deactivate_from(state)
    assert {f"{begin.value} -> {end.value}" for begin, end in changes ^ arrows()} == set()


def begin_paused() -> None:
    rig = Rig(start_paused=True)
    assert rig.state is State.PAUSED


def deactivate_from(state: State) -> None:
    """Make a supervisor that is active, lead it to `state`, and deactivate it there."""
    rig = Rig()
    if state is not State.INACTIVE:
        rig.supervisor.enter(rig.now, state, reasons.OPERATOR)
    rig.supervisor.deactivate(rig.now)
    assert rig.state is State.INACTIVE


def test_the_chart_shows_every_state_in_both_colours() -> None:
    words = [(element.text or "").strip() for element in ElementTree.parse(CHART).iter()]  # noqa: S314  # our own file
    assert {state.value for state in State} <= set(words)
    assert any("prefers-color-scheme: dark" in word for word in words)
