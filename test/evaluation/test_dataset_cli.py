"""eval_policy --dataset as its users call it: what it prints, writes and exits with."""

from pathlib import Path
from typing import Any

import pytest

from act_inference_ros.evaluation.cli import eval_policy as cli
from act_inference_ros.evaluation.results import EvaluationResult
from test.checkpoints import write_checkpoint
from test.evaluation import bags, datasets
from test.evaluation.datasets import CAMERA, HEIGHT, JOINTS, V21, V30, WIDTH

INPUTS = {
    "observation.state": {"type": "STATE", "shape": [len(JOINTS)]},
    CAMERA: {"type": "VISUAL", "shape": [3, HEIGHT, WIDTH]},
}
OUTPUTS = {"action": {"type": "ACTION", "shape": [len(JOINTS)]}}

pytestmark = pytest.mark.usefixtures("no_policy_of_the_environment")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("checkpoint")
    write_checkpoint(directory, inputs=INPUTS, outputs=OUTPUTS, rename={"observation.qpos": "observation.state"})
    return directory


def evaluate(*arguments: Any) -> int:
    return cli.main([str(each) for each in (*arguments, "--mode", "local")])


def test_a_data_set_needs_a_policy_and_nothing_else(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], checkpoint: Path
) -> None:
    root = datasets.write_dataset(tmp_path / "set", V30, lengths=(6, 6, 6), state_key="observation.qpos")
    out = tmp_path / "out"
    chosen = ["--dataset", root, "--episodes-of", "0,2", "--checkpoint", checkpoint, "--out", out]
    assert evaluate(*chosen, "--max-error", "0.001") == 1
    printed = capsys.readouterr().out
    assert "not met: --max-error 0.001: the mean error of " in printed
    result = EvaluationResult.from_json((out / "metrics.json").read_text())
    assert [(episode.name, episode.status) for episode in result.episodes] == [
        ("episode 0", "complete"), ("episode 2", "complete"),
    ]  # fmt: skip
    assert (result.settings.dataset, result.settings.bags, result.settings.truth) == (str(root), (), "commands")
    assert result.settings.joints == JOINTS
    assert result.total.chunks == 12
    report = (out / "report.html").read_text()
    assert f"2 episodes of the data set <code>{root}</code>" in report
    assert "task: lift the cube" in report
    assert "own units" in report


def test_thresholds_are_met_by_a_policy_that_is_good_enough(tmp_path: Path, checkpoint: Path) -> None:
    root = datasets.write_dataset(tmp_path / "set", V21, lengths=(6,), state_key="observation.qpos")
    given = ["--dataset", root, "--checkpoint", checkpoint, "--out", tmp_path / "out"]
    assert evaluate(*given, "--max-error", "100", "--stride", "2") == 0


def test_a_data_set_that_cannot_be_read_is_no_success(tmp_path: Path, checkpoint: Path) -> None:
    root = datasets.write_dataset(tmp_path / "set", V21, lengths=(6,), state_key="observation.qpos")
    (root / "data/chunk-000/episode_000000.parquet").unlink()
    assert evaluate("--dataset", root, "--checkpoint", checkpoint, "--out", tmp_path / "out") == 1


def test_mistakes_are_told_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str], checkpoint: Path) -> None:
    root = datasets.write_dataset(tmp_path / "set", V21, lengths=(6,))
    bag = bags.write_bag(tmp_path / "bags/one", bags.events(0.2))
    out = ["--out", tmp_path / "out"]

    def said(*arguments: Any) -> str:
        assert evaluate(*arguments, *out) == 2
        error = capsys.readouterr().err.strip()
        assert "Traceback" not in error
        return error.splitlines()[-1]

    policy = ["--checkpoint", checkpoint]
    assert said("--bag", root, *policy).endswith("this is a LeRobot data set, not a bag: use --dataset")
    for directory in (bag, bag.parent):
        assert said("--dataset", directory, *policy).endswith("not a LeRobot data set: use --bag")
    assert "no LeRobot data set here, expected meta/info.json" in said("--dataset", tmp_path / "out", *policy)
    assert "no LeRobot data set here" in said("--dataset", tmp_path / "missing", *policy)
    assert "name the policy: --checkpoint DIR" in said("--dataset", root)
    assert "no episode 7; it has 1 episodes" in said("--dataset", root, "--episodes-of", "0,7", *policy)
    assert "observation.qpos: the policy reads 3 numbers" in said("--dataset", root, *policy)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--bag", "x", "--episodes-of", "1"], "--episodes-of is for --dataset"),
        (["--dataset", "x", "--episodes-of", "3-1"], "expected numbers of episodes such as 0,3-5, got '3-1'"),
        (["--dataset", "x", "--episodes-of", "1,"], "expected numbers of episodes"),
        (["--dataset", "x", "--bag", "y"], "not allowed with argument"),
        (["--dataset", "x", "--truth", "state"], "--truth state is for --bag"),
        (["--dataset", "x", "--record", "y"], "--record is for --episodes"),
    ],
)
def test_options_that_do_not_go_together_are_refused(
    capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(arguments)
    assert ended.value.code == 2
    assert said in capsys.readouterr().err
