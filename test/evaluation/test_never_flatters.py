"""The evaluation reports what could not be compared, and this meets no threshold."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

from act_inference_ros.evaluation.cli import eval_policy as cli
from act_inference_ros.evaluation.results import COMPLETE, FAILED, PARTIAL, EpisodeResult, EvaluationResult
from act_inference_ros.inference.client import InferenceClient
from test.evaluation import bags
from test.evaluation.bags import START_S

ARM_TRAJECTORY = {"controller.arm.interface": "joint_trajectory"}
TRAJECTORY = "trajectory_msgs/msg/JointTrajectory"
Evaluate = Callable[..., int]


@pytest.fixture
def evaluate(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Evaluate:
    """eval_policy with the policy of the synthetic bags; returns the exit status."""

    def run(path: Path, *arguments: str, **changes: object) -> int:
        monkeypatch.setattr(cli, "read_configuration", lambda *_, **__: bags.configuration(**changes))
        monkeypatch.setattr(InferenceClient, "create", lambda **_: bags.client())
        fixed = ["--mode", "local", "--checkpoint", "x", "--out", str(tmp_path / "out")]
        return cli.main(["--bag", str(path), *fixed, *arguments])

    return run


def result(tmp_path: Path) -> EvaluationResult:
    return EvaluationResult.from_json((tmp_path / "out" / "metrics.json").read_text())


def episode(tmp_path: Path) -> EpisodeResult:
    (found,) = result(tmp_path).episodes
    return found


def with_arm_trajectories(
    ahead_s: float, events: Iterable[bags.Event] | None = None, delay_s: float = 0.0
) -> Iterator[bags.Event]:
    """The usual events, but the arm is commanded by trajectories of one point, `ahead_s` after it was sent."""
    for time, topic, kind, message in bags.events() if events is None else events:
        if topic == "/arm/joint_trajectory":
            point = bags.trajectory(["lift", "pan"], [ahead_s], [message.position], 0.0)
            yield time + delay_s, topic, TRAJECTORY, point
        else:
            yield time, topic, kind, message


def without(topic: str, events: Iterable[bags.Event]) -> list[bags.Event]:
    return [event for event in events if event[1] != topic]


def test_points_further_ahead_than_the_next_message_are_compared(tmp_path: Path, evaluate: Evaluate) -> None:
    path = bags.write_bag(tmp_path / "bag", with_arm_trajectories(0.1))
    assert evaluate(path, "--max-error", "0.005", **ARM_TRAJECTORY) == 1  # the arm is told to be 0.1 s behind
    errors = episode(tmp_path).metrics.chunk_error
    assert errors["pan"].count == errors["lift"].count == errors["grip"].count > 0
    assert 0.02 < errors["pan"].mae_ros_units < 0.1


def test_the_controller_jumps_to_single_points_stamped_now(tmp_path: Path, evaluate: Evaluate) -> None:
    path = bags.write_bag(tmp_path / "bag", with_arm_trajectories(0.0))
    assert evaluate(path, "--max-error", "1e-6", **ARM_TRAJECTORY) == 0
    assert episode(tmp_path).status == COMPLETE


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_commands_that_nobody_can_read_are_no_truth(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], evaluate: Evaluate, share: float
) -> None:
    events = [
        (time, topic, kind, bags.joint_state(["x", "y"], [0.0, 0.0], time))
        if topic == "/arm/joint_trajectory" and time >= START_S + 4.0 * share
        else (time, topic, kind, message)
        for time, topic, kind, message in bags.events()
    ]
    status = evaluate(bags.write_bag(tmp_path / "bag", events), "--max-error", "100")
    out = " ".join(capsys.readouterr().out.split())
    assert episode(tmp_path).status == PARTIAL
    assert "missing joints ['pan', 'lift']" in out
    assert status == (0 if share else 1)
    if not share:
        assert "pan, lift never compared: none of its commands could be used" in out
        assert "not met: --max-error 100: pan, lift could not be compared in bag" in out


def test_a_joint_that_one_of_two_bags_lacks_meets_no_threshold(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], evaluate: Evaluate
) -> None:
    bags.write_bag(tmp_path / "bags" / "a", bags.events(2.0))
    bags.write_bag(tmp_path / "bags" / "b", without("/arm/joint_trajectory", bags.events(2.0)))
    assert evaluate(tmp_path / "bags", "--max-error", "100", "--truth", "commands") == 1
    assert "not met: --max-error 100: pan, lift could not be compared in b" in capsys.readouterr().out
    assert result(tmp_path).total.chunk_error["pan"].count > 0


def test_a_bag_of_which_nothing_could_be_compared_is_no_success(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], evaluate: Evaluate
) -> None:
    bags.write_bag(tmp_path / "bags" / "a", bags.events(2.0))
    commands = without("/gripper/commands", without("/arm/joint_trajectory", bags.events(2.0)))
    bags.write_bag(tmp_path / "bags" / "b", commands)
    assert evaluate(tmp_path / "bags", "--truth", "commands") == 1
    assert "b: nothing of it could be compared" in capsys.readouterr().out
    assert [each.status for each in result(tmp_path).episodes] == [COMPLETE, FAILED]
    assert result(tmp_path).status == PARTIAL


def test_a_bag_in_which_nothing_was_executed_is_not_smooth(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], evaluate: Evaluate
) -> None:
    """Chunks come so late in the second bag that no motion begins."""
    bags.write_bag(tmp_path / "bags" / "a", bags.events(2.0))
    bags.write_bag(tmp_path / "bags" / "b", bags.events(0.3))
    assert evaluate(tmp_path / "bags", "--max-jerk", "1e9", "--latency-s", "0.5") == 1
    out = capsys.readouterr().out
    assert "not met: --max-jerk 1e+09: nothing was executed for pan, lift, grip in b" in out


def test_notes_are_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str], evaluate: Evaluate) -> None:
    path = bags.write_bag(tmp_path / "bag", bags.events(6.0, commands=None))
    assert evaluate(path) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "note: bag: command arm (/arm/joint_trajectory): the bag has no such topic" in out
    assert "compared with the measured positions that followed" in out
    assert out.count("compared with the measured positions that followed") == 2  # once for each controller
    assert 'class="box notes"' in (tmp_path / "out" / "report.html").read_text()


def test_an_interface_of_the_wrong_type_is_told_where_people_look(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], evaluate: Evaluate
) -> None:
    path = bags.write_bag(tmp_path / "bag", bags.events(2.0))
    assert evaluate(path, **{"controller.gripper.interface": "joint_trajectory"}) == 0
    out = " ".join(capsys.readouterr().out.split())
    reason = "the bag has std_msgs/msg/Float64MultiArray; controller.gripper.interface: position_stream reads that"
    assert reason in out
    assert (episode(tmp_path).status, episode(tmp_path).truth["gripper"]) == (PARTIAL, "state")
    assert reason in (tmp_path / "out" / "report.html").read_text()


def test_a_mistake_is_told_once(tmp_path: Path, capsys: pytest.CaptureFixture[str], evaluate: Evaluate) -> None:
    assert evaluate(bags.write_bag(tmp_path / "bag", bags.events(1.0, names=("a", "b", "c")))) == 1
    assert " ".join(capsys.readouterr().out.split()).count("missing ['pan', 'lift', 'grip']") == 1


def test_a_rate_that_nobody_gave_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], evaluate: Evaluate
) -> None:
    path = bags.write_bag(tmp_path / "bag", bags.events(1.0))
    file = tmp_path / "robot.yaml"
    file.write_text("policy_node: {ros__parameters: {merge: blend}}\n")
    assert evaluate(path, "--params", str(file)) == 0
    assert "fps: 20 is taken, the default" in capsys.readouterr().out
    file.write_text("policy_node: {ros__parameters: {fps: 20.0}}\n")
    assert evaluate(path, "--params", str(file)) == 0
    out = capsys.readouterr().out
    assert "fps:" not in out
    assert " 0.0 times real time" not in out


def test_commands_on_a_topic_that_nobody_names_are_a_reason(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], evaluate: Evaluate
) -> None:
    path = bags.write_bag(tmp_path / "bag", bags.events(2.0))
    assert evaluate(path, **{"controller.gripper.topic": "/griper/commands"}) == 0
    assert (episode(tmp_path).status, episode(tmp_path).truth["gripper"]) == (PARTIAL, "state")
    out = " ".join(capsys.readouterr().out.split())
    assert "no such topic; of that type it has /gripper/commands; its joints are compared with the measured" in out


def test_a_truth_that_is_seldom_known_is_a_reason(tmp_path: Path, evaluate: Evaluate) -> None:
    """The operator's first command comes in the last second of six."""
    events = [
        event for event in bags.events(6.0) if event[1] != "/arm/joint_trajectory" or event[0] >= START_S + 5.0
    ]  # fmt: skip
    assert evaluate(bags.write_bag(tmp_path / "bag", events)) == 0
    found = episode(tmp_path)
    assert found.status == PARTIAL
    (reason,) = found.reasons
    assert reason.startswith("controller arm: pan, lift compared at ")
    share = found.metrics.chunk_error["pan"].count / found.metrics.chunk_error["grip"].count
    assert f"compared at {100.0 * share:.2g} % of the predicted positions only" in reason
