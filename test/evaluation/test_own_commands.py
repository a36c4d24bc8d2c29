"""A policy is not compared with what a policy commanded: that would look right whatever it does."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest
from pyarrow import parquet

from act_inference_ros.evaluation.results import COMPLETE, FAILED, PARTIAL
from test.evaluation import bags, datasets, policy_runs
from test.evaluation.bags import START_S, Event
from test.evaluation.policy_runs import END, OPERATOR_FROM, OPERATOR_UNTIL
from test.evaluation.test_datasets import evaluate as evaluate_set
from test.evaluation.test_never_flatters import Evaluate, episode, evaluate

__all__ = ["evaluate"]  # the fixture

OFF = 0.2
"""How much further than the policy the operator moves every joint, rad."""


def corrected(times: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """The commands in the run: the policy's own motion, and that of the operator, who corrects it."""
    since = np.atleast_1d(np.asarray(times, dtype=np.float64)) - START_S
    operators = (since >= OPERATOR_FROM) & (since < OPERATOR_UNTIL + 1.0)
    return bags.motion(times) + OFF * operators[:, None]


def run() -> Iterator[Event]:
    return policy_runs.taken_over(bags.events(END, commands=corrected))


def test_only_what_the_operator_commanded_is_compared(tmp_path: Path, evaluate: Evaluate) -> None:
    path = bags.write_bag(tmp_path / "bag", run())

    assert evaluate(path, "--max-error", "0.25") == 0
    found = episode(tmp_path)
    # For half a second after its last command the operator holds still, and the policy goes on.
    assert found.metrics.chunk_error["pan"].bias_ros_units == pytest.approx(-OFF, abs=0.05)
    assert evaluate(path, "--max-error", "0.15") == 1
    assert found.commanded_s["operator"] == pytest.approx(OPERATOR_UNTIL - OPERATOR_FROM + 0.5, abs=0.15)
    assert found.commanded_s["policy"] == pytest.approx(4.0, abs=0.15)
    assert sum(found.commanded_s.values()) == pytest.approx(found.duration_s, abs=0.11)


def test_the_shares_are_told(tmp_path: Path, evaluate: Evaluate, capsys: pytest.CaptureFixture[str]) -> None:
    evaluate(bags.write_bag(tmp_path / "bag", run()))

    told = " ".join(capsys.readouterr().out.split())
    assert re.search(r"commanded: operator 2\.[456] s \(2. %\), policy [34]\.. s \(4. %\), hold .*status says", told)
    assert "compared is only what the operator commanded" in told


def test_with_the_policys_own_commands_no_error_is_small_enough(
    tmp_path: Path, evaluate: Evaluate, capsys: pytest.CaptureFixture[str]
) -> None:
    path = bags.write_bag(tmp_path / "bag", run())

    assert evaluate(path, "--max-error", "100", "--commanded-by", "anyone") == 1
    told = " ".join(capsys.readouterr().out.split())
    assert re.search(r"not met: --max-error 100: for 4\.. s the truth of bag may be a policy's own commands", told)
    found = episode(tmp_path)
    assert found.status == PARTIAL
    assert abs(found.metrics.chunk_error["pan"].bias_ros_units) < 0.6 * OFF  # which is why


def test_a_run_without_a_correction_is_no_success(tmp_path: Path, evaluate: Evaluate) -> None:
    spans = [(0.0, 4.0, "policy", "commanding")]
    path = bags.write_bag(tmp_path / "bag", [*bags.events(), *policy_runs.statuses(spans)])

    assert evaluate(path) == 1
    found = episode(tmp_path)
    assert found.status == FAILED
    assert any("or not the operator's" in reason for reason in found.reasons)


def test_measured_positions_come_from_the_policy_too(tmp_path: Path, evaluate: Evaluate) -> None:
    """A person moves the arm by hand while the node is paused; before, the policy moved it."""
    spans = [(0.0, 2.0, "policy", "commanding"), (2.0, 4.0, "nobody", "paused")]
    events = [*bags.events(commands=None, states=bags.motion), *policy_runs.statuses(spans)]
    path = bags.write_bag(tmp_path / "bag", events)
    evaluate(path, "--truth", "state")
    by_hand = episode(tmp_path).metrics.chunk_error["pan"].count

    bags.write_bag(tmp_path / "all", bags.events(commands=None, states=bags.motion))
    evaluate(tmp_path / "all", "--truth", "state")
    assert 0 < by_hand < 0.5 * episode(tmp_path).metrics.chunk_error["pan"].count


def with_chunks(events: Iterator[Event]) -> Iterator[Event]:
    yield from events
    chunk = bags.trajectory(["pan"], [0.0], [[0.0]], START_S + 1.0)
    yield START_S + 1.0, "/policy_node/action_chunk", "trajectory_msgs/msg/JointTrajectory", chunk


def test_a_bag_with_chunks_and_no_status_meets_no_threshold(
    tmp_path: Path, evaluate: Evaluate, capsys: pytest.CaptureFixture[str]
) -> None:
    path = bags.write_bag(tmp_path / "bag", with_chunks(bags.events()))

    assert evaluate(path, "--max-error", "100") == 1
    assert "a policy ran (/policy_node/action_chunk)" in " ".join(capsys.readouterr().out.split())
    assert evaluate(path, "--max-error", "100", "--unmarked", "operator") == 0


def test_a_demonstration_is_compared_as_a_whole(tmp_path: Path, evaluate: Evaluate) -> None:
    assert evaluate(bags.write_bag(tmp_path / "bag", bags.events()), "--max-error", "1e-6") == 0
    found = episode(tmp_path)
    assert (found.status, found.commanded_s, found.flattering_s) == (COMPLETE, {}, 0.0)


def test_marked_frames_of_a_data_set_are_treated_alike(tmp_path: Path) -> None:
    root = datasets.write_dataset(tmp_path / "set", datasets.V30, lengths=(20, 20, 20))
    mark(root, [False] * 20 + [True] * 20 + [None] * 20)

    result = evaluate_set(root)
    assert [each.status for each in result.episodes] == [FAILED, COMPLETE, FAILED]
    assert [set(each.commanded_s) for each in result.episodes] == [{"policy"}, {"operator"}, {"unknown"}]
    result = evaluate_set(root, commanded_by="anyone")
    assert [each.status for each in result.episodes] == [PARTIAL, COMPLETE, PARTIAL]
    assert [each.flattering_s > 0.0 for each in result.episodes] == [True, False, True]


def mark(root: Path, marks: list[bool | None]) -> None:
    """Say of each frame of the data set whether a person commanded; as numbers, which may be missing."""
    info = json.loads((root / "meta/info.json").read_text())
    info["features"]["intervention"] = {"dtype": "float32", "shape": [1], "names": None}
    (root / "meta/info.json").write_text(json.dumps(info))
    (path,) = (root / "data").rglob("*.parquet")
    table = parquet.read_table(path)
    parquet.write_table(
        table.append_column(
            "intervention", pa.array([None if each is None else float(each) for each in marks], pa.float32())
        ),
        path,
    )
