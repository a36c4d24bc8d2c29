"""bag_to_dataset: what it refuses, what it leaves behind, and how it continues when a file is full or a bag ends."""

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from act_inference_ros.evaluation.cli import bag_to_dataset as cli
from act_inference_ros.evaluation.conversion import dataset_writer, video_writer
from test.evaluation import bags
from test.evaluation.bags import START_S, Event
from test.evaluation.conversions import (
    ACTION,
    SUFFIXES,
    TOP,
    convert,
    demonstration,
    image,
    leftovers,
    numbers,
    parameter_file,
    read,
    read_twice,
    shown,
    without,
)


def test_an_output_is_only_replaced_if_it_is_a_data_set_and_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, root = convert(tmp_path, demonstration())
    arguments = [str(each) for each in ("--bag", tmp_path / "bag", "--params", tmp_path / "robot.yaml", "--output")]
    written = (root / "meta/info.json").stat().st_ino

    assert (status, cli.main([*arguments, str(root)])) == (0, 2)
    assert "exists" in capsys.readouterr().err
    assert cli.main([*arguments, str(root), "--force"]) == 0
    assert (root / "meta/info.json").stat().st_ino != written
    assert leftovers(root.parent) == ["set"]
    assert cli.main([*arguments, str(tmp_path / "bag"), "--force"]) == 2
    assert "expected a LeRobot data set to replace" in capsys.readouterr().err
    assert (tmp_path / "bag").is_dir()


def test_an_interrupted_conversion_leaves_nothing(tmp_path: Path) -> None:
    bag = bags.write_bag(tmp_path / "bag", demonstration(3.0))
    out = tmp_path / "out" / "set"
    given = ["--bag", bag, "--params", parameter_file(tmp_path), "--output", out]
    options = cli._parser().parse_args([str(each) for each in given])
    parts: list[Mapping[str, Any]] = []

    def interrupt() -> None:
        films = list(out.parent.glob(".*/videos/*/*/*.mp4"))
        if films and films[0].stat().st_size:
            parts.append({"films": films})
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cli.convert(options, interrupt)
    assert parts
    assert leftovers(out.parent) == []


@pytest.mark.parametrize(
    ("changes", "more", "expected"),
    [
        ({"camera.top.topic": "/elsewhere"}, (), "camera top (/elsewhere): the bag has no such topic"),
        ({"camera.top.transport": "compressed"}, (), "camera.top.transport: raw reads that"),
        ({"fps": 19.5}, (), "expected a whole number of frames per second, got 19.5"),
        ({"controller.arm.interface": "joint_trajectory"}, (), "controller.arm.interface: joint_state reads that"),
    ],
)
def test_what_cannot_be_converted_is_refused_in_words(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], changes: Mapping[str, Any], more: tuple[str, ...], expected: str
) -> None:
    status, root = convert(tmp_path, demonstration(), *more, **changes)

    assert status == 2
    assert expected in capsys.readouterr().err
    assert leftovers(root.parent) == []


@pytest.mark.parametrize("module", ["pyarrow", "av"])
def test_a_missing_library_is_named_before_anything_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], module: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    status, root = convert(tmp_path, demonstration())

    assert status == 2
    assert "act_inference_ros[datasets]" in capsys.readouterr().err
    assert leftovers(root.parent) == []


def test_too_short_a_bag_gives_no_data_set(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, root = convert(tmp_path, demonstration(0.8))

    assert status == 1
    printed = capsys.readouterr()
    assert "no bag gave an episode" in printed.err
    assert "16 frames from 0.0 s on left out" in printed.out
    assert leftovers(root.parent) == []


def test_a_bag_of_another_clock_gives_nothing_and_says_why(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def old() -> Iterator[Event]:
        for time, topic, kind, content in demonstration():
            yield time, topic, kind, image(0, 0, time - 60.0) if topic == "/top/image_raw" else content

    assert convert(tmp_path, old())[0] == 1
    assert "no observation could be taken: stale: top: " in capsys.readouterr().out


def test_a_clock_that_is_set_back_begins_a_new_episode(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    read_twice(monkeypatch)
    status, root = convert(tmp_path, demonstration())

    assert status == 0
    first, second = read(root, TOP, ACTION)
    assert (len(first), len(second)) == (40, 40)
    np.testing.assert_allclose(numbers(second, ACTION), numbers(first, ACTION), atol=1e-5)
    assert "the bag's clock was set back by 1.983 s" in capsys.readouterr().out


def test_a_file_that_is_full_is_followed_by_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dataset_writer, "VIDEO_FILE_MB", 0)
    monkeypatch.setattr(dataset_writer, "DATA_FILE_MB", 0)
    _, root = convert(tmp_path, without(demonstration(4.0), "/top/image_raw", 1.5, 2.0))

    first, second = read(root, TOP, ACTION)
    assert (shown(first, TOP)[0], shown(second, TOP)[0]) == ((0, 0), (40, 0))
    np.testing.assert_allclose(numbers(second, ACTION)[0], bags.motion([START_S + 2.0])[0], atol=1e-5)
    for kind in ("data", f"videos/{TOP}"):
        assert leftovers(root / kind / "chunk-000") == [f"file-00{n}.{SUFFIXES[kind]}" for n in (0, 1)]


def test_an_encoder_that_is_not_there_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    others = {"no_such_encoder": {}, "mpeg4": video_writer.ENCODERS["mpeg4"]}
    monkeypatch.setattr(video_writer, "ENCODERS", others)
    monkeypatch.setattr(video_writer, "CODECS", {each: each for each in others})
    status, root = convert(tmp_path, demonstration())

    assert status == 0
    described = json.loads((root / "meta/info.json").read_text())["features"][TOP]["info"]
    assert described["video.codec"] == "mpeg4"
    assert [step for step, _ in shown(read(root, TOP)[0], TOP)] == list(range(40))


def test_images_of_an_odd_size_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def odd() -> Iterator[Event]:
        for event in bags.events(2.0):
            picture_of = bags.image(0, event[0], height=63, width=65)
            yield (*event[:3], picture_of) if event[1] == "/top/image_raw" else event

    status, root = convert(tmp_path, odd())

    assert status == 2
    assert "even height and width" in capsys.readouterr().err
    assert leftovers(root.parent) == []
