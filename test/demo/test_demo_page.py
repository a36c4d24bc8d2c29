"""The demo's page says what was recorded, plays its film without a network, and fits on a phone."""

import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from act_inference_ros.demo import demo_page, film, showing
from act_inference_ros.demo.demo_page import write_page
from act_inference_ros.demo.figures import Figures
from act_inference_ros.demo.recording import JOINTS, DemoRecording
from act_inference_ros.errors import ConfigurationError
from act_inference_ros.evaluation.metrics.smoothness import smoothness
from act_inference_ros.evaluation.report.summary import figure
from act_inference_ros.simulation.scene import DemoArm
from test.demo.demo_bags import INFERENCE_MS, Written, write_recording
from test.evaluation.browser import needs_chromium, open_report

pytest.importorskip("rosbags", reason="rosbags is not installed")
images = pytest.importorskip("PIL.Image", reason="pillow is not installed")

NASTY = '</script><b>"&'


def make_page(directory: Path, **options: Any) -> tuple[Path, Written]:
    written = write_recording(directory / "recording", **options)
    page = directory / "demo.html"
    write_page(page, DemoRecording(directory / "recording"), NASTY, "eval_policy", lambda: None, lambda _: None)
    return page, written


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Written]:
    return make_page(tmp_path_factory.mktemp("demo"))


def data_of(page: Path) -> Any:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page.read_text(), re.DOTALL)
    assert found is not None
    return json.loads(found[1])


def row_of(page: Path, first: str) -> list[str]:
    """The cells of the table's line that begins so."""
    found = re.search(rf"<tr><td>{re.escape(first)}</td>(.*?)</tr>", page.read_text())
    assert found is not None, first
    return re.findall(r"<td>(.*?)</td>", found[1])


def test_an_episode_has_what_was_recorded_in_it_and_nothing_of_before_and_after(
    made: tuple[Path, Written],
) -> None:
    page, written = made
    for told, measured, episode in zip(
        written.told, written.measured, DemoRecording(page.parent / "recording").episodes(), strict=True
    ):
        recorded = np.array([episode.told[time] for time in sorted(episode.told)])
        assert np.array_equal(recorded, told)
        assert np.allclose(np.array(list(episode.measured.values())), measured[:: len(told) // len(measured)][::2])


def test_plots_and_figures_on_the_page_are_those_of_the_recording(made: tuple[Path, Written]) -> None:
    page, written = made
    for shown, told, measured in zip(data_of(page)["episodes"], written.told, written.measured, strict=True):
        for lines, rows in ((shown["told"], told), (shown["measured"], measured)):
            cycles = np.round(np.array(lines["times"]) * 100).astype(int)
            assert len(cycles) > 40
            for j, joint in enumerate(JOINTS):
                assert lines["joints"][joint] == pytest.approx(rows[cycles, j], abs=6e-5)
    alone = smoothness(written.told[1], 0.01)
    first = smoothness(written.told[0], 0.01)
    for j, joint in enumerate(JOINTS):
        cells = row_of(page, joint)
        assert cells[0] == figure(max(first.largest_step[j], alone.largest_step[j]))
        assert cells[1] == figure(max(first.peak_acceleration[j], alone.peak_acceleration[j]))
        apart = np.concatenate([(a - b)[::2, j] for a, b in zip(written.told, written.measured, strict=True)])
        assert cells[5:] == [figure(float(np.sqrt(np.mean(apart**2)))), figure(float(np.abs(apart).max()))]
    assert row_of(page, "1")[:2] == ["not lifted", "1.0"]
    assert row_of(page, "2")[:2] == ["lifted", "1.5"]
    text = page.read_text()
    assert "success: 1/2 (50 %" in text
    assert f"{INFERENCE_MS} <small>ms" in text
    assert NASTY not in text


def test_lost_cycles_are_counted_and_nothing_is_judged_across_them(tmp_path: Path) -> None:
    page, written = make_page(tmp_path, cycles=(100,), lose=20)
    assert "20 cycles were not recorded" in page.read_text()
    figures = Figures()
    for episode in DemoRecording(tmp_path / "recording").episodes():
        figures.add(episode)
    steps = np.abs(np.diff(written.told[0], axis=0)).max(axis=0)
    found = figures.smoothness()
    assert all(found[joint].largest_step_ros_units <= steps[j] + 1e-12 for j, joint in enumerate(JOINTS))


def test_the_page_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo_page, "MOST_FILM_BYTES", 1)
    page, _ = make_page(tmp_path)
    assert [episode["index"] for episode in data_of(page)["episodes"]] == [1]
    assert "The film shows the first 1 episodes" in page.read_text()
    assert row_of(page, "2")[0] == "lifted"


def test_the_film_shows_arm_and_cube_where_they_were(made: tuple[Path, Written]) -> None:
    episode = next(DemoRecording(made[0].parent / "recording").episodes())
    with film.Camera() as camera:
        pictures = [picture for _, picture in camera.frames(episode)]
    assert len(pictures) == 1 + film.FRAME_RATE
    arm = DemoArm(0, film.HEIGHT, film.WIDTH)
    time = max(episode.cube)
    arm.show(episode.measured[time], episode.cube[time])
    expected = arm.render("overview")
    arm.close()
    outside = np.s_[film.INSET + 20 :, :]
    assert np.array_equal(pictures[-1][outside], expected[outside])
    assert (pictures[0] != pictures[-1]).any()


def test_a_gif_is_written_of_the_chosen_episode(made: tuple[Path, Written], tmp_path: Path) -> None:
    bag = str(made[0].parent / "recording")
    assert film.main(["--recording", bag, "--episodes", "2", "--gif", str(tmp_path / "a.gif")]) == 0
    with images.open(io.BytesIO((tmp_path / "a.gif").read_bytes())) as read:
        assert read.size == (film.WIDTH, film.HEIGHT)
        assert read.n_frames == 1 + round(1.5 * film.FRAME_RATE)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--recording", "nowhere", "--gif", "a.gif"], "nowhere: no recording of a demo here"),
        (["--episodes", "7", "--gif", "a.gif"], r"expected episodes from 1 to 2, got \[7\]"),
        (["--gif", "/no/such/place.gif"], "cannot write /no/such/place.gif"),
    ],
)
def test_a_mistake_is_told_in_one_line(
    made: tuple[Path, Written],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    arguments: list[str],
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert film.main(["--recording", str(made[0].parent / "recording"), *arguments]) == 2
    assert re.fullmatch(rf"film: .*{said}.*\n", capsys.readouterr().err)


def test_a_bag_without_episodes_is_no_recording_of_a_demo(tmp_path: Path) -> None:
    write_recording(tmp_path / "bag", cycles=())
    with pytest.raises(ConfigurationError, match="no episode ends in it"):
        DemoRecording(tmp_path / "bag")


@needs_chromium
@pytest.mark.parametrize("width", [390, 1280])
def test_the_film_plays_and_the_page_fits(made: tuple[Path, Written], tmp_path: Path, width: int) -> None:
    seen = open_report(made[0], width, tmp_path)
    assert seen.width == width
    assert seen.console == []
    assert seen.requests == []
    assert seen.images == [True]
    clock = re.search(r"(\d\.\d) s\n", seen.text)
    assert clock is not None
    assert float(clock[1]) > 0.0, "the film does not play"
    assert "2: lifted" in seen.text
    assert NASTY in seen.text


@needs_chromium
def test_another_episode_can_be_chosen_and_the_film_stopped(made: tuple[Path, Written], tmp_path: Path) -> None:
    choose = 'page.querySelectorAll("#chips button")[1].click(); page.getElementById("play").click()'
    seen = open_report(made[0], 1280, tmp_path, choose)
    assert "episode 2/2: lifted after 1.5 s" in seen.text
    assert re.search(r"play\s+0\.0 s", seen.text)
    assert seen.console == []


def test_the_live_line_names_what_another_terminal_needs(tmp_path: Path) -> None:
    environment = {"ROS_DOMAIN_ID": "42", "FASTDDS_DEFAULT_PROFILES_FILE": "/a b/c.xml", "HOME": "/home"}
    line = showing.live_line(environment, tmp_path)
    assert "export ROS_DOMAIN_ID=42 FASTDDS_DEFAULT_PROFILES_FILE='/a b/c.xml'`" in line
    assert "foxglove_bridge_launch.xml" in line
    assert "layout" not in line


@pytest.mark.parametrize("display", [{}, {"DISPLAY": ":0"}])
def test_no_browser_opens_where_nobody_sits_at_a_terminal(display: dict[str, str]) -> None:
    assert not showing.can_open(display)
