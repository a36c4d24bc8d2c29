"""Dumps of the black box that are broken or hostile: they are shown as far as they can be, and say what cannot."""

import json
from pathlib import Path
from typing import Any

import pytest

from act_inference_ros.black_box import dumps
from act_inference_ros.errors import ConfigurationError
from act_inference_ros.evaluation.bags.black_box import (
    LARGEST_IMAGE_BYTES,
    LONGEST_TEXT,
    MOST_CAMERAS,
    MOST_SAID,
    read_dump,
)
from test.bounds import pipe_instead_of

pytest.importorskip("rosbags", reason="rosbags is not installed")

from test.evaluation.test_black_box_shown import (  # wants rosbags
    NAME,
    PARAMETERS,
    header,
    image,
    made,
    shown,
    status,
    written,
)


def text(data: str) -> Any:
    return made("std_msgs/msg/String", data=data)


def trajectory() -> Any:
    """A trajectory without points."""
    return made("trajectory_msgs/msg/JointTrajectory", header=header(), joint_names=["a"], points=[])


def edit_about(dump: Path, **changes: Any) -> None:
    about = json.loads((dump / dumps.ABOUT).read_text())
    (dump / dumps.ABOUT).write_text(json.dumps({**about, **changes}))


@pytest.mark.parametrize(
    ("topic", "message"),
    [
        ("/node/status", text("hi")),
        ("/node/black_box/inference", text("hi")),
        ("/node/black_box/front/compressed", text("hi")),
        ("/node/black_box/front/compressed", image(bytes(LARGEST_IMAGE_BYTES + 1))),
        ("/node/action_chunk", text("hi")),
        ("/node/action_chunk", trajectory()),
        ("/joint_states", text("hi")),
        ("/arm/command", trajectory()),
        ("/arm/command", text("hi")),
    ],
)
def test_messages_that_are_not_what_the_topic_has_cost_one_line_for_each_topic(
    tmp_path: Path, topic: str, message: Any
) -> None:
    dump = written(tmp_path, PARAMETERS, {}, [(-1.0, topic, message), (-0.9, topic, message)])
    content = read_dump(dump)
    [problem] = content.problems
    assert problem.startswith(f"{topic}: a message of it cannot be shown: ")
    assert [said.text for said in content.inferences] == ["begun", "failed"]
    assert content.measured == {"a": 0.125, "b": 0.25}
    assert content.told == {"a": 0.375, "b": 0.5}


def test_what_is_kept_of_a_dump_has_bounds(tmp_path: Path) -> None:
    """A few kilobytes of a packed bag may hold very many messages, and very long ones."""
    told = [(-2.0 + 1e-4 * i, "/node/status", status(f"{i}", reason="x" * 10_000)) for i in range(MOST_SAID + 2)]
    films = [(-1.0, "/node/black_box/x/compressed", image(b"jpeg", f"camera {i}")) for i in range(MOST_CAMERAS + 2)]
    content = read_dump(written(tmp_path, PARAMETERS, {}, [*told, *films]))
    assert len(content.statuses) == MOST_SAID
    assert len(content.statuses[0].values["reason"]) == LONGEST_TEXT
    assert len(content.images) == MOST_CAMERAS
    assert sorted(content.problems) == [
        *(
            f"/node/black_box/{name}/compressed: only the first {MOST_CAMERAS} cameras are shown"
            for name in ("top", "x")
        ),
        f"/node/status: only the first {MOST_SAID} messages are shown",
    ]


ABOUT: dict[str, tuple[dict[str, Any], str]] = {
    "a time that no clock has": ({"time_ns": 10**400}, "time_ns: expected a time in ns"),
    "a time that is true": ({"time_ns": True}, "time_ns: expected a time in ns"),
    "a number instead of a list": ({"not_written": 5}, "not written 5"),
    "an object instead of a list": ({"not_written": {"a": 1}}, "not written {'a': 1}"),
    "a lone surrogate": ({"detail": "\ud800"}, "detail ?"),
    "words for the terminal": ({"reason": "\x1b[2J[bold]"}, "reason ?[2J[bold]"),
    "facts that are no text": ({"facts": {"engine": [1, {}]}}, "computed with engine: [1, {}]"),
    "a node of no name": ({"node": {"a": "b"}}, "node {'a': 'b'}"),
}


@pytest.mark.parametrize("damage", ABOUT)
def test_a_description_with_values_that_make_no_sense_is_shown_all_the_same(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], damage: str
) -> None:
    changes, said = ABOUT[damage]
    edit_about(dump := written(tmp_path, PARAMETERS, {}), **changes)
    assert any(line.startswith(said) or said in line for line in shown(capsys, dump, "--out", tmp_path / "out"))


@pytest.mark.parametrize("number", ["abc", "nan", "1e999", "9" * 5000])
def test_an_inference_whose_times_are_no_numbers_is_shown_without_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], number: str
) -> None:
    said = status("done", t_obs=number, inference_s=number, error="[/red]\x1b[2J")
    dump = written(tmp_path, PARAMETERS, {}, [(-0.2, "/node/black_box/inference", said)])
    assert "-0.200 done - - [/red]?[2J" in shown(capsys, dump, "--out", tmp_path / "out")


@pytest.mark.parametrize("camera", ["a\0b", "../../evil", "..", "/", "x" * 300, "\n"])
def test_the_name_of_a_camera_leads_to_no_other_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], camera: str
) -> None:
    dump = written(tmp_path, PARAMETERS, {}, [(-0.2, "/node/black_box/x/compressed", image(b"jpeg", camera))])
    shown(capsys, dump, "--out", tmp_path / "out" / "below")
    files = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert {path.parent for path in files} == {tmp_path / "out" / "below" / NAME}
    assert sorted(path.read_bytes() for path in files) == sorted([b"jpeg", b"\xff\xd8pixels"])


def test_a_pipe_in_the_place_of_the_parameters_is_not_waited_for(tmp_path: Path) -> None:
    dump = written(tmp_path, PARAMETERS, {})
    with pipe_instead_of(dump / dumps.PARAMETERS):
        [problem] = read_dump(dump).problems
    assert str(dump / dumps.PARAMETERS) in problem
    assert "expected a file, got a pipe or a device" in problem


def test_a_pipe_in_the_place_of_the_description_is_not_waited_for(tmp_path: Path) -> None:
    dump = written(tmp_path, PARAMETERS, {})
    with pipe_instead_of(dump / dumps.ABOUT), pytest.raises(ConfigurationError, match="got a pipe or a device"):
        read_dump(dump)
