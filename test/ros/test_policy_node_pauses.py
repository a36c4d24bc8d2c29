"""A node that has to wait, as on a busy machine, publishes nothing late, and its setpoints stay inside the limits."""

import contextlib
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from test.ros.policy_stand_in import Options
from test.witness.cells import Act, Cell
from test.witness.matrix import attempt
from test.witness.rules import UNSAFE
from test.witness.stage import CAMERAS, ENVIRONMENT, Stage, stage

PAUSE_S, APART_S = 0.3, 0.47
POLICY = Options(
    cameras=tuple(CAMERAS), circle=0.4, environment=ENVIRONMENT, isolated=True, chunk_size=30, pause_s=PAUSE_S
)
LATE = "commands not published, too late"


@contextlib.contextmanager
def waiting_before_messages(on: Stage) -> Iterator[None]:
    for _ in range(4):
        on.stand.node.send(signal.SIGUSR1)
        time.sleep(PAUSE_S + APART_S)
    yield


@contextlib.contextmanager
def frozen_now_and_then(on: Stage) -> Iterator[None]:
    for _ in range(4):
        on.stand.node.send(signal.SIGSTOP)
        time.sleep(PAUSE_S)
        on.stand.node.send(signal.SIGCONT)
        time.sleep(APART_S)
    yield


@pytest.mark.parametrize("interface", ["joint_trajectory", "joint_state"])
def test_nothing_late_is_published_and_the_setpoints_keep_the_limits(interface: str, tmp_path: Path) -> None:
    acts: dict[str, Act] = {"waits": waiting_before_messages, "is frozen": frozen_now_and_then}
    with stage(tmp_path, interface, policy=POLICY) as on:
        for name, act in acts.items():
            result = attempt(on, interface, Cell("node", name, act))
            assert [breach for breach in result.breaches if breach.rule in UNSAFE] == [], result.near
        counted = {pair.key: pair.value for pair in on.stand.robot.wait_for_diagnosis("").values}
    assert counted[LATE], "no command had to wait"
