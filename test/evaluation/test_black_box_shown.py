"""eval_policy --bag shows what a black box holds: what the node saw, said and did, without inferring it again."""

import json
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from act_inference_ros.black_box import dumps
from act_inference_ros.black_box.bag import write_dump
from act_inference_ros.black_box.frames import Dump, Record, Topic
from act_inference_ros.evaluation.cli import eval_policy as cli
from act_inference_ros.evaluation.report.summary import NOTHING
from act_inference_ros.inference import client
from act_inference_ros.robot.parameter_file import parameter_file_text, read_parameters

typesys = pytest.importorskip("rosbags.typesys", reason="rosbags is not installed")

from test.controller_states import DEFINITIONS, TYPE, controller_state  # noqa: E402  # wants rosbags

STORE = typesys.get_typestore(typesys.Stores.ROS2_JAZZY)
NAME = "20260131T101500.250Z_holding-stale-top"
MOMENT_S = 1000.0
PARAMETERS = {
    "state.topic": "/joint_states",
    "state.joints": ["a", "b"],
    "controllers": ["arm"],
    "controller.arm.topic": "/arm/command",
    "controller.arm.joints": ["b", "a"],
    "controller.arm.interface": "position_stream",
    "max_age": 0.25,
}


Messages = Sequence[tuple[float, str, Any]]
"""When each came, s after the dump's moment, its topic, and the message."""


def made(kind: str, **fields: Any) -> Any:
    return STORE.types[kind](**fields)


def status(text: str, **values: str) -> Any:
    pairs = [made("diagnostic_msgs/msg/KeyValue", key=key, value=value) for key, value in values.items()]
    fields = {"level": 0, "name": "policy_node", "hardware_id": "", "values": pairs}
    return made("diagnostic_msgs/msg/DiagnosticStatus", message=text, **fields)


def header(frame_id: str = "") -> Any:
    return made("std_msgs/msg/Header", stamp=made("builtin_interfaces/msg/Time", sec=999, nanosec=0), frame_id=frame_id)


def joint_state(a: float, b: float) -> Any:
    nothing = np.zeros(0)
    fields = {"name": ["b", "a"], "position": np.array([b, a]), "velocity": nothing, "effort": nothing}
    return made("sensor_msgs/msg/JointState", header=header(), **fields)


def command(b: float, a: float) -> Any:
    layout = made("std_msgs/msg/MultiArrayLayout", dim=[], data_offset=0)
    return made("std_msgs/msg/Float64MultiArray", layout=layout, data=np.array([b, a]))


def image(jpeg: bytes, camera: str = "top") -> Any:
    data = np.frombuffer(jpeg, np.uint8)
    return made("sensor_msgs/msg/CompressedImage", header=header(camera), format="jpeg", data=data)


@pytest.fixture
def dump(tmp_path: Path) -> Path:
    return written(tmp_path, PARAMETERS, {})


def written(tmp_path: Path, parameters: dict[str, Any], states: dict[float, bytes], more: Messages = ()) -> Path:
    """A dump; `states` are messages of /arm/controller_state by when they came, `more` are any others."""
    messages = [
        *more,
        (-1.5, "/node/status", status("commanding", reason="", detail="")),
        (-1.2, "/node/status", status("holding", reason="stale: top", detail="0.3 s old")),
        (-0.9, "/node/black_box/inference", status("begun", t_obs="999.0")),
        (-0.8, "/node/black_box/inference", status("failed", t_obs="999.0", error="the inference process was killed")),
        (-0.7, "/joint_states", joint_state(0.125, 0.25)),
        (-0.6, "/arm/command", command(0.5, 0.375)),
        (-0.5, "/node/black_box/top/compressed", image(b"\xff\xd8pixels")),
        (0.5, "/joint_states", joint_state(9.0, 9.0)),
    ]
    topics, records = {}, []
    connections = list(dict.fromkeys((topic, message.__msgtype__) for _, topic, message in messages))
    for at, topic, message in messages:
        number = connections.index((topic, message.__msgtype__))
        topics[number] = Topic(number, topic, message.__msgtype__)
        data = bytes(STORE.serialize_cdr(message, message.__msgtype__))
        records.append(Record(number, round((MOMENT_S + at) * 1e9), data))
    if states:
        topics[99] = Topic(99, "/arm/controller_state", TYPE, DEFINITIONS)
        records += [Record(99, round((MOMENT_S + at) * 1e9), data) for at, data in states.items()]
    about = {
        "reason": "holding: stale: top",
        "detail": "0.3 s old",
        "node": "/node",
        "policy_id": "ab" * 32,
        "version": "1.2.3",
        "time_ns": round(MOMENT_S * 1e9),
        "parameters": parameter_file_text(parameters),
    }
    (tmp_path / "box").mkdir()
    return write_dump(tmp_path / "box", Dump(NAME, about), topics, records)


@pytest.fixture(autouse=True)
def _nothing_is_inferred(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**_: object) -> None:
        raise AssertionError("a client was made")

    monkeypatch.setattr(client.InferenceClient, "create", refuse)


def shown(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> list[str]:
    assert cli.main(["--bag", *map(str, arguments)]) == 0
    return [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]


def test_a_dump_is_shown_with_its_reason_states_inferences_joints_and_messages(
    dump: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = shown(capsys, dump, "--out", tmp_path / "out")
    for line in (
        "reason holding: stale: top",
        f"policy_id {'ab' * 32}",
        "version 1.2.3",
        "-1.50 commanding",
        "-1.20 holding stale: top 0.3 s old",
        f"-0.800 failed -1.000 {NOTHING} the inference process was killed",
        "/joint_states 2 0.8 1.200 s +0.50",
    ):
        assert line in lines, line
    [a] = [line for line in lines if re.match(r"a 0", line)]
    assert a.startswith("a 0.1250 0.3750")  # measured and told, as at that moment
    assert any(line.startswith("do not ros2 bag play it where a robot listens") for line in lines)
    assert (tmp_path / "out" / NAME / "top.jpg").read_bytes() == b"\xff\xd8pixels"


def test_what_the_controller_wanted_and_measured_itself_is_shown_beside_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    parameters = PARAMETERS | {"controller.arm.interface": "joint_trajectory"}
    states = {
        -0.4: controller_state({"b": 0.625, "a": 0.75}, {"b": 0.5625, "a": 0.6875}),
        0.5: controller_state({"b": 9.0, "a": 9.0}, {"b": 9.0, "a": 9.0}),
    }
    lines = shown(capsys, written(tmp_path, parameters, states), "--out", tmp_path / "out")
    [a] = [line for line in lines if re.match(r"a 0", line)]
    assert a.startswith("a 0.1250 ")
    assert a.endswith(" 0.7500 0.6875")
    assert "/arm/controller_state 2 1.1 0.900 s +0.50" in lines
    assert not any("nobody here knows" in line for line in lines)


@pytest.mark.parametrize("which", ["directory", "mcap"])
def test_a_directory_of_dumps_and_the_file_alone_are_recognised(
    dump: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], which: str
) -> None:
    shutil.copytree(dump, under_way := dump.parent / ".partial-1" / NAME)
    (under_way / dumps.ABOUT).unlink()
    path = dump.parent if which == "directory" else next(dump.glob("*.mcap"))
    lines = shown(capsys, path, "--out", tmp_path / "out")
    assert "reason holding: stale: top" in lines


@pytest.mark.parametrize("option", [("--max-error", "1"), ("--max-latency-p95", "1")])
def test_a_threshold_is_refused_since_nothing_is_evaluated(
    dump: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], option: tuple[str, str]
) -> None:
    assert cli.main(["--bag", str(dump), *option, "--out", str(tmp_path / "out")]) == 2
    assert f"{option[0]}: {dump} was written by a black box" in capsys.readouterr().err


def test_a_dump_and_a_recording_are_not_for_one_call(
    dump: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(dump, other := tmp_path / "recording")
    (other / dumps.ABOUT).unlink()
    assert cli.main(["--bag", str(dump), str(other), "--out", str(tmp_path / "out")]) == 2
    assert "name them in two calls" in capsys.readouterr().err


def test_a_damaged_description_is_one_line(dump: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (dump / dumps.ABOUT).write_text("{")
    assert cli.main(["--bag", str(dump), "--out", str(tmp_path / "out")]) == 2
    assert f"{dumps.ABOUT}: cannot be read" in capsys.readouterr().err


def test_the_metadata_names_reason_policy_and_version_for_other_tools(dump: Path) -> None:
    text = (dump / "metadata.yaml").read_text()
    assert all(word in text for word in ("holding: stale: top", "ab" * 32, "1.2.3", "max_age: 0.25"))


def test_a_parameter_file_reads_back_as_it_was_written(tmp_path: Path) -> None:
    values: dict[str, Any] = {
        "autostart": True,
        "fps": 30.0,
        "max_velocity": 1e-06,
        "threads": 4,
        "mode": "",
        "robot_description": "<a b='c'>\n\t#",
        "joint.a.max": float("inf"),
        "state.joints": ["on", "1", "ü"],
        "start_pose": [1.0, -2e-07],
        "stuck": 'on: # \\ "',
    }
    (path := tmp_path / "robot.yaml").write_text(parameter_file_text(values | {"cameras": []}))
    read = read_parameters(path)
    assert json.dumps(read, sort_keys=True) == json.dumps(values, sort_keys=True)
