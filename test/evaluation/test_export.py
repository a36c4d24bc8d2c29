"""Evaluated episodes as files for Foxglove and Rerun: the files hold what was evaluated."""

import io
import json
import tracemalloc
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image
from rosbags.highlevel import AnyReader

from act_inference_ros.errors import ConfigurationError
from act_inference_ros.evaluation.bags.bag_evaluation import evaluate_bags
from act_inference_ros.evaluation.bags.bag_options import EvaluationOptions
from act_inference_ros.evaluation.cli import eval_policy as cli
from act_inference_ros.evaluation.datasets.dataset_evaluation import evaluate_dataset
from act_inference_ros.evaluation.datasets.description import read_info
from act_inference_ros.evaluation.datasets.index import read_episodes
from act_inference_ros.evaluation.datasets.stand_in import stand_in_robot
from act_inference_ros.evaluation.episodes.closed_loop import START_NS, make_arm, run_episode
from act_inference_ros.evaluation.episodes.expert_policy import EXPERT_SPEC, expert_policy
from act_inference_ros.evaluation.export.directory import EpisodeFiles, make_directory
from act_inference_ros.evaluation.export.episode_file import CHUNKS, COMMANDED, EXECUTED, MEASURED, image_topic
from act_inference_ros.evaluation.export.jpeg import LONGEST_SIDE, jpeg
from act_inference_ros.evaluation.results import EpisodeResult, EvaluationResult
from act_inference_ros.evaluation.run_settings import RunSettings
from act_inference_ros.robot.configuration import RobotConfiguration
from test.evaluation import bags, datasets, demo_runs
from test.evaluation.bags import FPS, JOINTS, START_S
from test.evaluation.layouts import topics_of

NS = 1e-9


@dataclass
class Rows:
    """A topic of joint states: times (n,) since 1970, positions (n, joints)."""

    names: tuple[str, ...]
    times: npt.NDArray[np.float64]
    positions: npt.NDArray[np.float64]

    @property
    def known(self) -> "Rows":
        """The rows without those in which nothing is known."""
        keep = np.isfinite(self.positions).any(axis=1)
        return Rows(self.names, self.times[keep], self.positions[keep])


class Shown:
    """The messages of an exported episode by topic, in the order of their times."""

    def __init__(self, directory: Path) -> None:
        self.types: dict[str, str] = {}
        self.messages: dict[str, list[tuple[int, Any]]] = {}
        with AnyReader([directory]) as reader:
            for connection in reader.connections:
                self.types[connection.topic] = connection.msgtype
            for connection, time_ns, raw in reader.messages():
                message = reader.deserialize(raw, connection.msgtype)
                self.messages.setdefault(connection.topic, []).append((time_ns, message))

    def rows(self, topic: str) -> Rows:
        found = self.messages[topic]
        (names,) = {tuple(message.name) for _, message in found}
        for time_ns, message in found:
            assert message.header.stamp.sec * 10**9 + message.header.stamp.nanosec == time_ns
        positions = np.array([message.position for _, message in found])
        return Rows(names, np.array([time_ns for time_ns, _ in found]) * NS, positions)


def exported(
    path: Path, out: Path, configuration: RobotConfiguration, policy: bags.Motion = bags.motion, **options: Any
) -> EvaluationResult:
    make_directory(out)
    with bags.client(policy) as client:
        files = EpisodeFiles(out, "local", client.spec, configuration)
        settings, how = RunSettings("test", "test"), EvaluationOptions(**options)
        return evaluate_bags([path], configuration, client, settings, how, watch=files)


def wrong(times: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """A policy that is off by 0.01, as every joint's limits allow it."""
    return bags.motion_from_rest(times) + 0.01


@pytest.fixture(scope="module")
def bag_shown(tmp_path_factory: pytest.TempPathFactory) -> tuple[Shown, EpisodeResult]:
    """A bag of three seconds, with a policy that is off by 0.01."""
    directory = tmp_path_factory.mktemp("bag")
    path = bags.write_bag(
        directory / "bag", bags.events(3.0, commands=bags.motion_from_rest, states=bags.motion_from_rest)
    )
    result = exported(path, directory / "out", bags.configuration(), wrong)
    return Shown(directory / "out" / "bag_local"), result.episodes[0]


def errors(shown: Shown) -> npt.NDArray[np.float64]:
    """Executed minus commanded (n, joints), as far as both are in the file."""
    commanded, executed = shown.rows(COMMANDED), shown.rows(EXECUTED).known
    at = {round(time / NS): row for time, row in zip(commanded.times, commanded.positions, strict=True)}
    times = [round(time / NS) for time in executed.times]
    return np.array([row - at[time] for time, row in zip(times, executed.positions, strict=True) if time in at])


def test_topics_say_what_is_on_them(bag_shown: tuple[Shown, EpisodeResult]) -> None:
    shown, _ = bag_shown
    rows = "sensor_msgs/msg/JointState"
    assert shown.types == {
        MEASURED: rows,
        COMMANDED: rows,
        EXECUTED: rows,
        CHUNKS: "trajectory_msgs/msg/JointTrajectory",
        "/images/top": "sensor_msgs/msg/CompressedImage",
    }
    assert {shown.rows(topic).names for topic in (MEASURED, COMMANDED, EXECUTED)} == {JOINTS}


def test_the_error_of_what_was_executed_follows_from_the_file(bag_shown: tuple[Shown, EpisodeResult]) -> None:
    shown, episode = bag_shown
    found = errors(shown)
    expected = episode.metrics.by_merge["blend"].executed
    for column, joint in enumerate(JOINTS):
        known = found[np.isfinite(found[:, column]), column]
        assert len(known) == expected[joint].count > 40
        assert np.abs(known).mean() == pytest.approx(expected[joint].mae_ros_units, abs=1e-9)
        assert np.abs(known).max() == pytest.approx(expected[joint].max_ros_units, abs=1e-9)


def test_plan_and_truth_are_those_of_the_report(bag_shown: tuple[Shown, EpisodeResult]) -> None:
    shown, episode = bag_shown
    for topic, series in ((EXECUTED, episode.series.plan), (COMMANDED, episode.series.truth)):
        rows = shown.rows(topic)
        times = START_S + np.array(episode.series.plan_times_s)
        places = np.abs(rows.times[None, :] - times[:, None]).argmin(axis=1)
        np.testing.assert_allclose(rows.times[places], times, atol=1e-6)
        np.testing.assert_allclose(rows.positions[places], np.array(series, dtype=float), atol=1e-9)


def test_what_was_measured_is_bound_by_name(bag_shown: tuple[Shown, EpisodeResult]) -> None:
    measured = bag_shown[0].rows(MEASURED)
    assert len(measured.times) == 3 * FPS * 3
    np.testing.assert_allclose(measured.positions, bags.motion_from_rest(measured.times), atol=1e-6)


def test_chunks_are_stamped_with_their_observation(bag_shown: tuple[Shown, EpisodeResult]) -> None:
    shown, episode = bag_shown
    found = [message for _, message in shown.messages[CHUNKS]]
    assert len(found) == len(episode.series.chunks) == episode.metrics.chunks > 10
    for message, kept in zip(found, episode.series.chunks, strict=True):
        t_obs = message.header.stamp.sec + message.header.stamp.nanosec * NS
        assert t_obs == pytest.approx(START_S + kept.t_s, abs=1e-6)
        np.testing.assert_allclose([point.positions for point in message.points], np.array(kept.rows), atol=1e-9)
        ahead = [point.time_from_start.sec + point.time_from_start.nanosec * NS for point in message.points]
        np.testing.assert_allclose(ahead, np.arange(len(ahead)) / FPS, atol=1e-9)


def test_each_image_that_the_policy_saw_is_there(bag_shown: tuple[Shown, EpisodeResult]) -> None:
    shown, episode = bag_shown
    found = shown.messages["/images/top"]
    assert len(found) == episode.metrics.observations
    for _, message in found:
        assert message.format == "jpeg"
        assert Image.open(io.BytesIO(message.data.tobytes())).size == (bags.WIDTH, bags.HEIGHT)


def test_where_nothing_is_executed_the_truth_goes_on_and_the_plan_breaks_off(tmp_path: Path) -> None:
    """The camera is away from 1.0 to 2.5 s: the plan grows old, and the arm would hold."""

    def events() -> Iterator[bags.Event]:
        for event in bags.events(4.0):
            if event[1] != "/top/image_raw" or not START_S + 1.0 < event[0] < START_S + 2.5:
                yield event

    exported(bags.write_bag(tmp_path / "bag", events()), tmp_path / "out", bags.configuration())
    shown = Shown(tmp_path / "out" / "bag_local")
    executed, commanded = shown.rows(EXECUTED), shown.rows(COMMANDED)
    gap = np.diff(executed.known.times)
    assert gap.max() > 0.5
    assert np.isnan(executed.positions).all(axis=1).sum() == 1
    assert np.diff(commanded.times).max() < 1.01 / FPS + 1e-6
    assert commanded.times[0] == pytest.approx(START_S, abs=1.0 / FPS)
    assert commanded.times[-1] > START_S + 3.9
    assert len(set(np.round(commanded.times, 6))) == len(commanded.times)


def test_a_joint_that_was_not_measured_lately_is_not_shown(tmp_path: Path) -> None:
    """Each message has a part of the joints; grip is silent from 1.0 s on, and max_age is 0.2 s."""
    with EpisodeFiles(tmp_path, "local", bags.client().spec, bags.configuration())("episode") as watching:
        for step in range(20):
            now = START_S + step / 10.0
            watching.measured(now, {"pan": 1.0 + step, "lift": 2.0 + step, "other": 9.0})
            watching.measured(now + 0.05, {"grip": 3.0 + step} if step <= 10 else {"other": 9.0})
    measured = Shown(tmp_path / "episode_local").rows(MEASURED)
    since = measured.times - START_S
    assert len(since) == 20 + 11  # a message without one of the action's joints says nothing
    assert np.isnan(measured.positions[0]).tolist() == [False, False, True]
    np.testing.assert_allclose(measured.positions[2], [2.0, 3.0, 3.0])
    assert np.isfinite(measured.positions[(since > 0.01) & (since < 1.25)]).all()
    assert np.isnan(measured.positions[since > 1.26, 2]).all()


def test_a_data_set_gives_a_file_for_each_episode(tmp_path: Path) -> None:
    names = ("pan", "lift", "elsewhere")  # grip is not measured
    info = read_info(datasets.write_dataset(tmp_path / "set", state_names=names))
    out = tmp_path / "out"
    make_directory(out)
    with datasets.client() as client:
        files = EpisodeFiles(out, "local", client.spec, stand_in_robot(info, client.spec))
        settings, how = RunSettings("test", "test"), EvaluationOptions()
        result = evaluate_dataset(info, read_episodes(info, ()), client, settings, how, watch=files)
    for number, length in enumerate(datasets.LENGTHS):
        shown = Shown(out / f"episode_{number}_local")
        frames = np.arange(length)
        commanded, measured = shown.rows(COMMANDED), shown.rows(MEASURED)
        np.testing.assert_allclose(commanded.times, frames / datasets.FPS, atol=1e-6)
        np.testing.assert_allclose(commanded.positions, datasets.actions(number, frames), atol=1e-6)
        np.testing.assert_allclose(measured.positions[:, :2], datasets.states(number, frames)[:, :2], atol=1e-6)
        assert np.isnan(measured.positions[:, 2]).all()
        seen = [np.asarray(Image.open(io.BytesIO(m.data.tobytes()))) for _, m in shown.messages[image_topic("top")]]
        assert [datasets.seen(pixels) for pixels in seen] == [(number, frame) for frame in frames]
        assert len(shown.messages[CHUNKS]) == result.episodes[number].metrics.chunks


def test_a_simulated_episode_shows_what_moved_the_arm(tmp_path: Path) -> None:
    configuration = demo_runs.configuration()
    files = EpisodeFiles(tmp_path, "expert", EXPERT_SPEC, configuration)
    arm = make_arm(EXPERT_SPEC)
    try:
        with files("seed0") as watching:
            episode = run_episode(arm, expert_policy(arm), configuration, 0, 0, limit_s=1.0, watch=watching)
    finally:
        arm.close()
    shown = Shown(tmp_path / "seed0_expert")
    executed = shown.rows(EXECUTED)
    np.testing.assert_allclose(executed.times - START_NS * NS, episode.times, atol=1e-6)
    np.testing.assert_allclose(executed.positions, episode.targets, atol=1e-9)
    assert len(shown.messages[CHUNKS]) == len(episode.chunks) >= 3
    assert len(shown.messages[image_topic("front")]) >= 3
    measured = shown.rows(MEASURED)
    at = np.searchsorted(np.array(episode.times) + START_NS * NS, measured.times[1:] - 0.005) - 1
    np.testing.assert_allclose(measured.positions[1:], np.array(episode.measured)[at], atol=1e-9)


def test_memory_does_not_grow_with_the_episode(tmp_path: Path) -> None:
    """The longer file has 7 MB of images more than the shorter one."""
    pixels = np.random.default_rng(0).integers(0, 255, (60, 80, 3), dtype=np.uint8)
    configuration, spec = bags.configuration(), bags.client().spec
    seen = {"observation.images.top": _jpeg_of(pixels)}

    def peak(images: int) -> float:
        tracemalloc.start()
        try:
            with EpisodeFiles(tmp_path, "local", spec, configuration)(f"{images}") as watching:
                for time in (START_S + np.arange(images) / FPS).tolist():
                    watching.observed(seen, {"top": time})
                    watching.measured(time, {"pan": 0.1})
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    short = peak(1000)
    assert peak(3000) < short + 2e6
    written = [sum(file.stat().st_size for file in (tmp_path / f"{n}_local").iterdir()) for n in (1000, 3000)]
    assert written[1] - written[0] > 7e6


def test_an_image_is_never_larger_than_it_may_be() -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (480, 1300, 3), dtype=np.uint8)
    small = Image.open(io.BytesIO(jpeg(pixels, 480, 1300)))
    assert max(small.size) <= LONGEST_SIDE
    again = jpeg(jpeg(pixels[:, :600], 480, 600), 480, 600)
    assert again == jpeg(pixels[:, :600], 480, 600)  # a JPEG of the right size goes through as it is
    assert max(Image.open(io.BytesIO(jpeg(_jpeg_of(pixels), 480, 1300))).size) <= LONGEST_SIDE


def _jpeg_of(pixels: npt.NDArray[np.uint8]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG")
    return buffer.getvalue()


def test_episodes_of_one_name_do_not_overwrite_each_other(tmp_path: Path) -> None:
    files = EpisodeFiles(tmp_path, "local", bags.client().spec, bags.configuration())
    for _ in range(2):
        with files("run 1/../a") as watching:
            watching.measured(1.0, {"pan": 0.1})
    assert sorted(each.name for each in tmp_path.iterdir() if each.is_dir()) == [
        "run_1_.._a_local",
        "run_1_.._a_local_2",
    ]


def test_an_episode_of_which_nothing_is_known_leaves_no_file(tmp_path: Path) -> None:
    with EpisodeFiles(tmp_path, "local", bags.client().spec, bags.configuration())("empty"):
        pass
    assert [each.name for each in tmp_path.iterdir()] == ["foxglove_layout.json"]


def test_a_disk_that_is_full_is_said_in_one_line(tmp_path: Path) -> None:
    files = EpisodeFiles(tmp_path, "local", bags.client().spec, bags.configuration())
    (tmp_path / "episode_local").write_text("in the way")
    with pytest.raises(ConfigurationError, match="episode_local exists"), files("episode") as watching:
        watching.measured(1.0, {"pan": 0.1})


def test_the_command_line_writes_and_refuses_before_it_begins(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, shown = tmp_path / "out", tmp_path / "shown"
    arguments = ["--episodes", "1", "--expert", "--limit-s", "0.5", "--out", str(out), "--mcap", str(shown)]
    assert cli.main(arguments) == 0
    topics = Shown(shown / "seed0_expert").types
    layout = json.loads((shown / "foxglove_layout.json").read_text())
    assert topics_of(layout) - {COMMANDED} <= set(topics)  # nobody commands in a simulated episode
    plots = [panel for name, panel in layout["configById"].items() if name.startswith("Plot!")]
    assert [panel["foxglovePanelTitle"] for panel in plots] == ["pan", "shoulder", "elbow", "wrist", "roll", "grip"]
    capsys.readouterr()
    assert cli.main(arguments) == 2
    told = capsys.readouterr()
    assert told.err == f"eval_policy: --mcap {shown}: there are files in it; name a new directory, or empty that one\n"
    assert "episode" not in told.out
