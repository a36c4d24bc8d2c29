"""bag_to_dataset on bags of a policy's run: each frame says who commanded; frames that nobody commanded are absent."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from pyarrow import parquet

from test.evaluation import bags, policy_runs
from test.evaluation.bags import FPS, START_S, Event
from test.evaluation.conversions import ACTION, STATE, TOP, convert, demonstration, numbers, read, read_twice
from test.evaluation.policy_runs import END, OPERATOR_FROM, OPERATOR_UNTIL, POLICY_FROM, POLICY_UNTIL

MARK = "intervention"
FRAME = 1.0 / FPS


def run() -> Iterator[Event]:
    return policy_runs.taken_over(demonstration(END))


def marks(root: Path) -> list[list[bool]]:
    return [[bool(frame.vectors[MARK][0]) for frame in frames] for frames in read(root, TOP, MARK)]


def begins(root: Path) -> npt.NDArray[np.float64]:
    """When each episode begins, s after the start, by the numbers that its images show."""
    from test.evaluation.conversions import shown

    return np.array([shown(frames, TOP)[0][0] / FPS for frames in read(root, TOP)])


def test_each_episode_is_of_one_commander_and_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, root = convert(tmp_path, run())

    assert status == 0
    found = marks(root)
    assert [set(each) for each in found] == [{False}, {True}, {False}]
    np.testing.assert_allclose(begins(root), [0.0, OPERATOR_FROM, POLICY_FROM], atol=FRAME + 1e-6)
    lengths = [len(each) / FPS for each in found]
    silent = 0.5  # so long after the last command the operator still counts as commanding
    wanted = [POLICY_UNTIL, OPERATOR_UNTIL - OPERATOR_FROM + silent, END - POLICY_FROM]
    np.testing.assert_allclose(lengths, wanted, atol=2 * FRAME)
    printed = capsys.readouterr().out
    assert "nobody commanded, and the node may still have been bringing the arm to rest" in printed
    assert "episodes of the operator: 1; episodes of the policy: 0,2" in printed


def test_the_mark_is_that_of_lerobot_and_no_input(tmp_path: Path) -> None:
    _, root = convert(tmp_path, run())

    features = json.loads((root / "meta/info.json").read_text())["features"]
    assert features[MARK] == {"dtype": "bool", "shape": [1], "names": None}
    rows = parquet.read_table(root / "data/chunk-000/file-000.parquet")
    assert rows.column_names[:3] == [STATE, ACTION, MARK]
    assert str(rows.schema.field(MARK).type) == "bool"
    statistics = json.loads((root / "meta/stats.json").read_text())[MARK]
    share = sum(map(sum, marks(root))) / len(rows)
    assert (statistics["min"], statistics["max"], statistics["count"]) == ([0.0], [1.0], [len(rows)])
    assert statistics["mean"] == pytest.approx([share])


def test_the_action_is_what_was_in_force_whoever_commanded(tmp_path: Path) -> None:
    _, root = convert(tmp_path, run())

    for first, frames in zip(begins(root), read(root, TOP, ACTION), strict=True):
        times = START_S + first + np.arange(len(frames)) / FPS
        held = np.minimum(times, START_S + OPERATOR_UNTIL - FRAME) if first == OPERATOR_FROM else times
        np.testing.assert_allclose(numbers(frames, ACTION), bags.motion(held), atol=1e-5)


@pytest.mark.parametrize(("only", "kept"), [("operator", [True]), ("policy", [False, False])])
def test_only_one_of_them_is_kept_if_asked_for(tmp_path: Path, only: str, kept: list[bool]) -> None:
    status, root = convert(tmp_path, run(), "--only", only)

    assert status == 0
    assert [each[0] for each in marks(root)] == kept


def test_an_operator_who_takes_over_without_a_pause_is_told_from_the_hold(tmp_path: Path) -> None:
    """The node waits while somebody else publishes; for a moment both do."""
    spans = [(0.0, 2.0, "policy", "commanding"), (2.0, 4.0, "nobody", "waiting"), (4.0, 6.0, "policy", "commanding")]
    _, root = convert(tmp_path, [*demonstration(6.0), *policy_runs.statuses(spans)])

    found = marks(root)
    assert [set(each) for each in found] == [{False}, {True}, {False}]
    rest = 0.25 + 0.1  # from 2 rad/s at 8 rad/s2, and what a recorder may be late
    np.testing.assert_allclose(begins(root), [0.0, 2.0 + rest, 4.0], atol=2 * FRAME)


def test_a_long_trajectory_of_the_operator_counts_until_its_end(tmp_path: Path) -> None:
    def events() -> Iterator[Event]:
        for time, topic, kind, content in demonstration(6.0):
            if topic not in policy_runs.COMMANDS:
                yield time, topic, kind, content
        for begin in (0.0, 2.0):  # a hold, and the operator's
            times, rows = [0.5, 2.5], [[0.1, 0.1], [0.2, 0.3]]
            arm = bags.trajectory(["pan", "lift"], times, rows, START_S + begin)
            yield START_S + begin, "/arm/joint_trajectory", "trajectory_msgs/msg/JointTrajectory", arm
        yield START_S, "/gripper/commands", "std_msgs/msg/Float64MultiArray", bags.float_array([0.01])
        yield from policy_runs.statuses([(0.0, 6.0, "nobody", "paused")])

    _, root = convert(tmp_path, events(), **{"controller.arm.interface": "joint_trajectory"})

    (found,) = marks(root)
    assert all(found)
    assert begins(root)[0] == pytest.approx(2.0, abs=FRAME + 1e-6)
    assert len(found) / FPS == pytest.approx(2.5 + 0.5, abs=2 * FRAME)


def test_the_way_to_the_start_pose_is_no_demonstration(tmp_path: Path) -> None:
    spans = [(0.0, 2.0, "start pose", "commanding"), (2.0, 4.0, "policy", "commanding")]
    _, root = convert(tmp_path, [*demonstration(4.0), *policy_runs.statuses(spans)])

    (found,) = marks(root)
    assert not any(found)
    assert begins(root)[0] == pytest.approx(2.0, abs=FRAME + 1e-6)


def test_after_the_node_has_died_nobody_knows_who_commands(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spans = [(0.0, 2.0, "policy", "commanding")]
    _, root = convert(tmp_path, [*demonstration(8.0), *policy_runs.statuses(spans)])

    (found,) = marks(root)
    assert len(found) / FPS == pytest.approx(1.5 + 2.0, abs=2 * FRAME)  # the last word, and the longest silence
    assert "who commanded is not known" in capsys.readouterr().out


def test_a_rehearsing_node_commands_nobody(tmp_path: Path) -> None:
    """With `shadow: true` the node says that it commands, but to no controller: the operator does."""
    spans = [(0.0, 4.0, "policy", "commanding")]
    _, root = convert(tmp_path, [*demonstration(4.0), *policy_runs.statuses(spans, shadow="yes")])

    (found,) = marks(root)
    assert all(found)


def test_without_a_status_there_is_no_mark(tmp_path: Path) -> None:
    _, root = convert(tmp_path, demonstration())

    assert MARK not in json.loads((root / "meta/info.json").read_text())["features"]


def test_demonstrations_can_be_marked_to_go_with_corrections(tmp_path: Path) -> None:
    bags.write_bag(tmp_path / "bag" / "demonstrated", demonstration())
    status, root = convert_two(tmp_path, "--unmarked", "operator")

    assert status == 0
    assert [set(each) for each in marks(root)] == [{True}, {False}, {True}, {False}]


def test_a_bag_whose_commander_is_not_known_is_not_guessed_at(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bags.write_bag(tmp_path / "bag" / "demonstrated", demonstration())
    status, root = convert_two(tmp_path)

    assert (status, root.exists()) == (2, False)
    told = capsys.readouterr().err
    assert "who commanded in demonstrated is not known" in told
    assert "--unmarked operator" in told
    assert len(told.splitlines()) == 1


def test_only_wants_to_know_who_commanded(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, _ = convert(tmp_path, demonstration(), "--only", "operator")

    assert status == 2
    assert "who commanded in bag is not known" in capsys.readouterr().err


def second_node(events: Iterator[Event]) -> Iterator[Event]:
    for time, topic, kind, content in events:
        yield time, topic, kind, content
        if topic == policy_runs.STATUS:
            yield time, "/left/policy_node/status", kind, content


def test_of_two_nodes_one_must_be_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, _ = convert(tmp_path, second_node(run()))

    assert status == 2
    told = capsys.readouterr().err
    assert "/left/policy_node/status, /policy_node/status" in told
    assert "--status-topic" in told


def test_the_named_node_is_believed(tmp_path: Path) -> None:
    status, root = convert(tmp_path, second_node(run()), "--status-topic", "/left/policy_node/status")

    assert status == 0
    assert len(marks(root)) == 3


def test_a_topic_without_that_status_is_a_mistake(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, _ = convert(tmp_path, run(), "--status-topic", "/joint_states")

    assert status == 2
    assert "--status-topic /joint_states: no bag has a policy node's status there" in capsys.readouterr().err


def convert_two(directory: Path, *more: str) -> tuple[int, Path]:
    """Convert the bags below `bag`, with that of a run among them."""
    from act_inference_ros.evaluation.cli import bag_to_dataset as cli
    from test.evaluation.conversions import parameter_file

    bags.write_bag(directory / "bag" / "run", run())
    out = directory / "out" / "set"
    arguments = ["--bag", directory / "bag", "--params", parameter_file(directory), "--output", out, *more]
    return cli.main([str(each) for each in arguments]), out


def test_the_shares_add_up_to_the_bag(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    convert(tmp_path, run())

    (told,) = re.findall(r"note: commanded: (.*), as /policy_node/status says", capsys.readouterr().out)
    seconds = {who: float(time) for who, time in re.findall(r"([a-z ]+?) ([0-9.]+) s \(", told.replace(",", ""))}
    seconds = {who.strip(): time for who, time in seconds.items()}
    assert seconds == {
        "operator": pytest.approx(OPERATOR_UNTIL - OPERATOR_FROM + 0.5, abs=0.15),
        "policy": pytest.approx(POLICY_UNTIL + END - POLICY_FROM, abs=0.15),
        "hold": pytest.approx(0.35, abs=0.11),
        "nobody": pytest.approx(POLICY_FROM - OPERATOR_UNTIL - 0.5 + 0.65, abs=0.15),
    }


def test_after_a_clock_that_was_set_back_who_commands_is_learned_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read_twice(monkeypatch)
    _, root = convert(tmp_path, run())

    assert [set(each) for each in marks(root)] == 2 * [{False}, {True}, {False}]


def test_a_run_without_a_correction_is_no_failure_where_others_have_some(tmp_path: Path) -> None:
    fine = [*demonstration(2.0), *policy_runs.statuses([(0.0, 2.0, "policy", "commanding")])]
    bags.write_bag(tmp_path / "bag" / "fine", fine)
    status, root = convert_two(tmp_path, "--only", "operator")

    assert status == 0
    assert [set(each) for each in marks(root)] == [{True}]
