"""Fixtures of all tests."""

import signal
from collections.abc import Iterator

import pytest

from act_inference_ros.program.signals import STOP_SIGNALS


@pytest.fixture(autouse=True)
def _own_signal_handlers() -> Iterator[None]:
    """Programs whose `main` a test calls catch signals for good; the next test shall find the handlers as they were."""
    before = {number: signal.getsignal(number) for number in STOP_SIGNALS}
    yield
    if before != {number: signal.getsignal(number) for number in STOP_SIGNALS}:
        signal.set_wakeup_fd(-1)
        for number, handler in before.items():
            signal.signal(number, handler)
