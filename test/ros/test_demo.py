"""The demo ends what it started, on every path, and says what happened. A stand-in plays the policy node."""

import os
import re
import signal
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from act_inference_ros.demo.figures import Figures
from act_inference_ros.demo.recording import DemoRecording
from act_inference_ros.evaluation.report.summary import figure
from act_inference_ros.serving.export import export_policy
from act_inference_ros.simulation.scene import CUBE_RADIUS_M
from test.evaluation.demo_runs import write_demo_checkpoint
from test.ros.ros_helpers import NodeProcess, wait_until
from test.torch_free import make_torch_free_environment

STAND_IN = """
    import os, pathlib, sys
    import rclpy
    from std_srvs.srv import Trigger
    from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint
    from builtin_interfaces.msg import Duration

    pathlib.Path({pid_file!r}).write_text(str(os.getpid()))
    if {dies}:
        sys.exit("the checkpoint is no good")
    rclpy.init()
    node = rclpy.create_node("policy_node")
    arm = node.create_publisher(JointTrajectory, "/arm_controller/joint_trajectory", 10)
    point = JointTrajectoryPoint(positions=[0.0, -0.5, 1.7, 1.9, 0.0], time_from_start=Duration(nanosec=100_000_000))
    names = ["pan", "shoulder", "elbow", "wrist", "roll"]
    node.create_timer(0.1, lambda: arm.publish(JointTrajectory(joint_names=names, points=[point])))
    node.create_service(Trigger, "~/reset", lambda request, response: response)
    rclpy.spin(node)
"""

StartDemo = Callable[..., NodeProcess]


@pytest.fixture
def start_demo(tmp_path: Path, environment: dict[str, str]) -> StartDemo:
    checkpoint = tmp_path / "checkpoint"
    checkpoint.mkdir()
    for name in ("config.json", "model.safetensors"):
        (checkpoint / name).touch()

    def start(*arguments: str, policy_dies: bool = False) -> NodeProcess:
        stand_in = STAND_IN.format(pid_file=str(tmp_path / "pid"), dies=policy_dies)
        (tmp_path / "stand_in_policy.py").write_text(textwrap.dedent(stand_in))
        environment["PYTHONPATH"] = os.pathsep.join([str(tmp_path), environment["PYTHONPATH"]])
        run = "import sys; from act_inference_ros.demo import run as demo; demo.POLICY_NODE = 'stand_in_policy'; "
        command = [
            *(sys.executable, "-c", run + "sys.exit(demo.main(sys.argv[1:]))", *arguments),
            *("--checkpoint", str(checkpoint), "--out", str(tmp_path / "out")),
        ]
        return NodeProcess(command, environment, tmp_path / "demo.txt")

    return start


def has_ended(pid_file: Path) -> bool:
    try:
        os.kill(int(pid_file.read_text()), 0)
    except ProcessLookupError:
        return True
    return False


def test_shows_each_episode_and_ends_with_the_success_line(start_demo: StartDemo, tmp_path: Path) -> None:
    with start_demo("--episodes", "2", "--episode-time", "1", "--cover-camera") as demo:
        assert demo.wait(90.0) == 0, demo.text
    lines = demo.text.splitlines()
    assert len([line for line in lines if re.match(r"episode [12]/2: not lifted in 1\.\d s", line)]) == 2
    assert lines[-1] == "success: 0/2 (0 %, 95 % interval 0..66 %)"
    assert has_ended(tmp_path / "pid")
    left = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert left == ["demo.html", "recording"], demo.text
    assert re.search(r"watch it live: .* `export ROS_DOMAIN_ID=\d+ ", demo.text)
    check_page(tmp_path / "out")


def check_page(out: Path) -> None:
    """The recording has what the stand-in policy commanded and the covered camera; the page says the same."""
    recording = DemoRecording(out / "recording")
    commanded = np.array([0.0, -0.5, 1.7, 1.9, 0.0])
    figures = Figures()
    for episode in recording.episodes():
        figures.add(episode)
        cycles = round(episode.outcome.duration_s * 100) + 1
        assert len(episode.told) >= 0.98 * cycles
        assert len(episode.measured) >= 0.98 * cycles / 2 - 1
        assert np.abs(episode.told[max(episode.told)][:5] - commanded).max() < 1e-3
        assert np.abs(episode.measured[max(episode.measured)][:5] - commanded).max() < 0.05
        assert all(CUBE_RADIUS_M[0] <= np.hypot(*pose[:2]) <= CUBE_RADIUS_M[1] for pose in episode.cube.values())
        assert episode.images
        assert not any(image.any() for image in episode.images.values()), "the camera is covered"
    page = (out / "demo.html").read_text()
    assert "success: 0/2 (0 %, 95 % interval 0..66 %)" in page
    assert "episode 2/2: not lifted in 1." in page
    for joint, each in figures.smoothness().items():
        assert f"<td>{joint}</td><td>{figure(each.largest_step_ros_units)}</td>" in page


def test_too_few_successes_are_a_failure_if_so_wanted(start_demo: StartDemo, tmp_path: Path) -> None:
    with start_demo("--episodes", "1", "--episode-time", "1", "--min-success", "1", "--no-page") as demo:
        assert demo.wait(90.0) == 1
    assert demo.text.splitlines()[-1].startswith("success: 0/1 ")
    assert list((tmp_path / "out").iterdir()) == [], "nobody wanted a page"


def test_a_policy_node_that_dies_ends_the_demo_with_its_last_words(start_demo: StartDemo) -> None:
    with start_demo(policy_dies=True) as demo:
        assert demo.wait(60.0) == 1
    assert "stand_in_policy (exit status 1) ended too early" in demo.text
    assert "the checkpoint is no good" in demo.text
    assert "Traceback" not in demo.text


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_everything(start_demo: StartDemo, tmp_path: Path, number: int) -> None:
    pid_file = tmp_path / "pid"
    with start_demo() as demo:
        wait_until(lambda: pid_file.exists() and pid_file.read_text(), 60.0)
        assert demo.stop(number, deadline_s=20.0) == 128 + number
        assert has_ended(pid_file)
    assert "Traceback" not in demo.text


TRAINER = """
    import pathlib, sys
    print("training, really")
    out = pathlib.Path(sys.argv[sys.argv.index("--out") + 1])
    if {fails}:
        sys.exit("no demonstrations")
    out.mkdir(parents=True)
    (out / "config.json").touch()
    (out / "model.safetensors").touch()
"""


def test_trains_where_there_is_no_policy_yet_and_only_then(tmp_path: Path, environment: dict[str, str]) -> None:
    def train(fails: bool) -> str:
        (tmp_path / "stand_in_trainer.py").write_text(textwrap.dedent(TRAINER.format(fails=fails)))
        run = "import sys; from act_inference_ros.demo import run as demo; demo.TRAINER = 'stand_in_trainer'; "
        run += "demo.POLICY_NODE = 'nonexistent_policy_node'; sys.exit(demo.main(sys.argv[1:]))"
        environment["PYTHONPATH"] = os.pathsep.join([str(tmp_path), environment["PYTHONPATH"]])
        command = [sys.executable, "-c", run, "--out", str(tmp_path / "out")]
        with NodeProcess(command, environment, tmp_path / "demo.txt") as demo:
            assert demo.wait(60.0) == 1
        return demo.text

    failed = train(fails=True)
    assert "no demonstrations" in failed
    assert "training failed (exit status 1)" in failed
    assert "episodes" not in failed
    assert "training, really" in train(fails=False)
    assert (tmp_path / "out" / "checkpoint" / "model.safetensors").exists()
    assert "training, really" not in train(fails=False)


def test_a_wrong_checkpoint_is_answered_with_one_line(tmp_path: Path, environment: dict[str, str]) -> None:
    arguments = ["--checkpoint", str(tmp_path / "nothing"), "--out", str(tmp_path / "out")]
    with NodeProcess.module(
        "act_inference_ros.demo", *arguments, environment=environment, output=tmp_path / "demo.txt"
    ) as demo:
        assert demo.wait(30.0) == 2
    assert re.fullmatch(r"demo: .*nothing: expected a checkpoint directory with .*\n", demo.text)


def test_without_torch_it_runs_an_exported_repository(tmp_path: Path, environment: dict[str, str]) -> None:
    checkpoint = write_demo_checkpoint(tmp_path / "checkpoint")
    export_policy(str(checkpoint), tmp_path / "repository", log=lambda _: None)
    python = str(make_torch_free_environment(tmp_path / "environment"))
    environment["PYTHONPATH"] = ""
    with NodeProcess([python, "-c", "import torch"], environment, tmp_path / "torch.txt") as torch:
        assert torch.wait(60.0) == 1
    command = [python, "-m", "act_inference_ros.demo", "--checkpoint", str(tmp_path / "repository")]
    command += [
        "--engine",
        "onnxruntime",
        "--no-page",
        "--episodes",
        "1",
        "--episode-time",
        "1",
        "--out",
        str(tmp_path / "out"),
    ]
    with NodeProcess(command, environment, tmp_path / "demo.txt") as demo:
        assert demo.wait(120.0) == 0, demo.text
    assert demo.text.splitlines()[-1].startswith("success: 0/1 "), demo.text  # it was not trained
