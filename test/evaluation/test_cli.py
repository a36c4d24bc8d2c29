"""eval_policy as its users call it: what it prints, writes and exits with."""

import json
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from act_inference_ros.evaluation.cli import eval_policy as cli
from act_inference_ros.evaluation.episodes import demo_policy
from act_inference_ros.evaluation.results import METRICS_VERSION, EvaluationResult
from act_inference_ros.inference import client
from act_inference_ros.simulation.success import success_line
from test.evaluation.demo_runs import expert_episode, write_demo_checkpoint

PROJECT = Path(__file__).parents[2]

pytestmark = pytest.mark.usefixtures("no_policy_of_the_environment")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_demo_checkpoint(tmp_path_factory.mktemp("checkpoint"))


@pytest.fixture(scope="module")
def bags(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("bags")
    for seed in (0, 1):
        expert_episode(seed, limit_s=1.5, record=directory / f"operator{seed}")
    return directory


def result_in(out: Path) -> EvaluationResult:
    return EvaluationResult.from_json((out / "metrics.json").read_text())


def test_episodes_end_with_the_success_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--episodes", "2", "--expert", "--seed", "4", "--out", str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == success_line(2, 2)
    assert any(re.match(r"episode 2/2: lifted after \d\.\d s", line) for line in lines)
    result = result_in(tmp_path)
    assert (result.version, result.status, result.simulation.successes) == (METRICS_VERSION, "complete", 2)
    assert [episode.seed for episode in result.simulation.episodes] == [4, 5]
    assert "data:image/gif" in (tmp_path / "report.html").read_text()


def test_a_policy_from_a_checkpoint_is_run_in_the_simulator(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], checkpoint: Path
) -> None:
    arguments = ["--mode", "local", "--checkpoint", str(checkpoint), "--episodes", "1", "--limit-s", "0.6"]
    assert cli.main([*arguments, "--min-success", "0.5", "--out", str(tmp_path)]) == 1
    out = capsys.readouterr().out
    assert "not met: --min-success 0.5: 0 of 1 episodes" in out
    assert out.splitlines()[-1] == success_line(0, 1)
    result = result_in(tmp_path)
    assert result.simulation.episodes[0].predictions == result.simulation.inference_time.count == 3
    assert result.settings.policy == str(checkpoint)
    assert re.match(r"torch \d", result.settings.engine)
    assert (result.settings.precision, result.settings.device) == ("float32", "cpu")
    assert result.settings.max_acceleration["pan"] == 20.0


def test_what_is_recorded_can_be_evaluated(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], checkpoint: Path
) -> None:
    recorded = tmp_path / "recorded"
    arguments = ["--checkpoint", str(checkpoint), "--mode", "local", "--out", str(tmp_path / "out")]
    assert cli.main([*arguments, "--episodes", "1", "--limit-s", "1", "--record", str(recorded)]) == 0
    # Only the policy commanded in it, and a policy is not compared with itself, unless that is asked for.
    assert cli.main([*arguments, "--bag", str(recorded)]) == 1
    assert cli.main([*arguments, "--bag", str(recorded), "--commanded-by", "anyone"]) == 0
    result = result_in(tmp_path / "out")
    assert result.episodes[0].status == "partial"
    assert result.episodes[0].commanded_s["policy"] > 0.5
    assert result.total.chunks >= 3
    assert "error per joint" in capsys.readouterr().out


def test_bags_against_the_operator_and_the_error_threshold(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], checkpoint: Path, bags: Path
) -> None:
    arguments = ["--mode", "local", "--checkpoint", str(checkpoint), "--bag", str(bags), "--out", str(tmp_path)]
    assert cli.main([*arguments, "--max-error", "1000", "--max-latency-p95", "1000"]) == 0
    result = result_in(tmp_path)
    assert [episode.name for episode in result.episodes] == ["operator0", "operator1"]
    assert set(result.total.chunk_error) == {"pan", "shoulder", "elbow", "wrist", "roll", "grip"}
    assert cli.main([*arguments, "--max-error", "1e-6", "--max-latency-p95", "1e-9"]) == 1
    out = capsys.readouterr().out
    assert "not met: --max-error 1e-06: the mean error of" in out
    assert "not met: --max-latency-p95 1e-09" in out


def test_rough_motion_does_not_pass_for_a_smooth_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], checkpoint: Path, bags: Path
) -> None:
    arguments = ["--mode", "local", "--checkpoint", str(checkpoint), "--bag", str(bags), "--out", str(tmp_path)]
    loose, tight = ("1e9", "1e9", "10"), ("1e-3", "1e-3", "1e-9")
    names = ("--max-jerk", "--max-acceleration", "--max-seam-jump")
    assert cli.main([*arguments, *(word for pair in zip(names, loose, strict=True) for word in pair)]) == 0
    out = capsys.readouterr().out
    assert re.search(r"joint +motion +seam jump", out)
    assert re.search(r"pan +demonstration +- ", out)  # no chunk joins what the operator does
    assert cli.main([*arguments, *(word for pair in zip(names, tight, strict=True) for word in pair)]) == 1
    out = capsys.readouterr().out
    assert re.search(r"not met: --max-jerk 0.001: the RMS jerk of \w+ is [\d.e+]+ \(rad/s3 or m/s3\)", out)
    assert "not met: --max-acceleration 0.001: the peak acceleration of " in out
    assert "not met: --max-seam-jump 1e-09: the jump at seams of " in out


def test_a_figure_that_does_not_exist_meets_no_threshold(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], checkpoint: Path
) -> None:
    """The policy gets to say something once only: no chunk joins a motion."""
    arguments = ["--mode", "local", "--checkpoint", str(checkpoint), "--episodes", "1", "--limit-s", "0.15"]
    assert cli.main([*arguments, "--max-seam-jump", "10", "--out", str(tmp_path)]) == 1
    assert "--max-seam-jump 10: the jump at seams of pan, shoulder" in capsys.readouterr().out
    assert result_in(tmp_path).simulation.smoothness["pan"].seams == 0
    assert cli.main([*arguments, "--max-acceleration", "1e9", "--out", str(tmp_path)]) == 0


def test_a_run_compared_with_itself_differs_by_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], checkpoint: Path, bags: Path
) -> None:
    arguments = ["--mode", "local", "--checkpoint", str(checkpoint), "--bag", str(bags / "operator0")]
    assert cli.main([*arguments, "--out", str(tmp_path / "first")]) == 0
    assert cli.main([*arguments, "--out", str(tmp_path / "second"), "--compare", str(tmp_path / "first")]) == 0
    told = re.search(r"largest difference of (\d+) chunks .*: (\S+) rad or m", capsys.readouterr().out)
    assert int(told[1]) == result_in(tmp_path / "second").total.chunks
    assert float(told[2]) < 1e-5
    assert "The two runs" in (tmp_path / "second" / "report.html").read_text()


def test_two_modes_are_run_and_compared(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, checkpoint: Path, bags: Path
) -> None:
    # Both modes answer with the same policy here: what is tested is that both are asked, written and compared.
    monkeypatch.setattr(client, "BACKENDS", {**client.BACKENDS, "triton": client.BACKENDS["local"]})
    arguments = ["--mode", "local,triton", "--checkpoint", str(checkpoint), "--bag", str(bags / "operator0")]
    assert cli.main([*arguments, "--out", str(tmp_path)]) == 0
    assert [result_in(tmp_path / mode).settings.mode for mode in ("local", "triton")] == ["local", "triton"]
    told = re.search(r"largest difference of (\d+) chunks .*: (\S+) rad or m", capsys.readouterr().out)
    assert int(told[1]) == result_in(tmp_path / "local").total.chunks
    assert float(told[2]) < 1e-5


def test_without_a_policy_the_demos_is_trained_where_make_demo_puts_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, checkpoint: Path
) -> None:
    monkeypatch.chdir(tmp_path)

    def train(out: Path, log: Callable[[str], object]) -> None:
        log("training")
        shutil.copytree(checkpoint, out)

    monkeypatch.setattr(demo_policy, "make_checkpoint", train)
    arguments = ["--mode", "local", "--episodes", "1", "--limit-s", "0.3"]
    assert cli.main(arguments) == 0
    assert "training the demo's into .demo/checkpoint" in capsys.readouterr().out
    assert cli.main(arguments) == 0
    assert "training" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "--bag --dataset --episodes is required"),
        (["--episodes", "0"], "whole number from 1"),
        (["--episodes", "1", "--mode", "remote"], "expected local, triton"),
        (["--bag", "x", "--expert"], "--expert is for --episodes"),
        (["--episodes", "1", "--max-error", "1"], "--max-error is for --bag"),
        (["--bag", "nowhere", "--mode", "local", "--checkpoint", "{checkpoint}"], "nowhere: no such file"),
        (["--episodes", "1", "--mode", "local", "--checkpoint", "nowhere"], "nowhere"),
        (["--bag", "nowhere", "--mode", "local"], "name the policy: --checkpoint"),
        (["--episodes", "1", "--expert", "--params", "nowhere.yaml"], "nowhere.yaml"),
        (["--episodes", "1", "--expert", "--compare", "nowhere.json"], "nowhere.json"),
        (["--episodes", "1", "--expert", "--latency-s", "measured"], "--latency-s measured is for bags"),
    ],
)
def test_a_mistake_is_told_in_one_line(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    checkpoint: Path,
    arguments: list[str],
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    arguments = [argument.format(checkpoint=checkpoint) for argument in arguments]
    try:
        status = cli.main(arguments)
    except SystemExit as ended:  # argparse
        status = ended.code  # type: ignore[assignment]  # a number
    assert status == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("eval_policy: ")
    assert said in last
    assert not (tmp_path / "evaluation" / "metrics.json").exists()


@pytest.mark.parametrize("module", ["plotly.offline", "rich.console", "yaml", "PIL"])
def test_a_missing_package_is_named_with_how_to_install_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, module: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    arguments = ["--episodes", "1", "--expert", "--limit-s", "0.1", "--out", str(tmp_path)]
    assert cli.main(arguments) == 2
    assert re.search(r"^eval_policy: .* needs? .*: pip install \w+$", capsys.readouterr().err, re.MULTILINE)


def test_ctrl_c_writes_what_there_is(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-u",
        "-m",
        "act_inference_ros.evaluation.cli.eval_policy",
        "--episodes",
        "100000",
        "--expert",
    ]
    with subprocess.Popen(
        [*command, "--out", str(tmp_path)], cwd=PROJECT, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        try:
            for line in process.stdout:
                if line.startswith("episode      1/100000"):
                    process.send_signal(signal.SIGINT)
                    break
            rest = process.stdout.read()
            assert process.wait(60) == 130
        finally:
            process.kill()
    result = json.loads((tmp_path / "metrics.json").read_text())
    assert result["status"] == "partial"
    assert 1 <= len(result["simulation"]["episodes"]) < 100
    assert "interrupted after" in rest
    assert 'class="badge partial"' in (tmp_path / "report.html").read_text()
