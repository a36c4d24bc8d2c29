"""Fixtures of all tests: they restore signal handlers after each test, and check for leftovers after all tests.

Tests outside TOGETHER have the marker `live`: they run real nodes, which answer in time only where nothing
else keeps the cores busy. The others compute, or wait for a server; several may run at once (`make test` does that).
"""

import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from act_inference_ros.program.signals import STOP_SIGNALS
from test.leftovers import Leftovers

TOGETHER = frozenset(
    {
        "control",
        "drafting",
        "evaluation",
        "execution",
        "fuzz",
        "inference",
        "observation",
        "policy",
        "robot",
        "serving",
        "simulation",
        "test_setup_environment.py",
        "witness/test_planted.py",
        "witness/test_witness.py",
    }
)
"""Rooms, and files, of tests that do not depend on how long something takes."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that are `live`."""
    here = Path(__file__).parent
    for item in items:
        if not any(item.path.is_relative_to(here / room) for room in TOGETHER):
            item.add_marker(pytest.mark.live)


@pytest.fixture(scope="session", autouse=True)
def _leftovers() -> Iterator[Leftovers]:
    """Fails the run if tests have left files in shared memory, temporary files or processes behind."""
    leftovers = Leftovers()
    try:
        yield leftovers
        if "test.checkpoints" in sys.modules:  # needs torch, so it is not imported here
            sys.modules["test.checkpoints"].remove_golden_checkpoints()
        left = leftovers.after()
    finally:
        leftovers.forget()
    if left:
        pytest.fail("the tests have left something behind:\n" + "\n".join(left), pytrace=False)


@pytest.fixture(scope="module", autouse=True)
def _leftovers_of_module(request: pytest.FixtureRequest, _leftovers: Leftovers) -> Iterator[None]:
    """Notes the leftovers after each module, to know which module made them."""
    yield
    _leftovers.note(request.node.nodeid)


@pytest.fixture(autouse=True)
def _own_signal_handlers() -> Iterator[None]:
    """Restores the signal handlers, since a program's `main` that a test calls replaces them permanently."""
    before = {number: signal.getsignal(number) for number in STOP_SIGNALS}
    yield
    if before != {number: signal.getsignal(number) for number in STOP_SIGNALS}:
        signal.set_wakeup_fd(-1)
        for number, handler in before.items():
            signal.signal(number, handler)
