"""Every mistake in a parameter is named, all at once; the page of parameters says what the code says."""

import difflib
import math
import re
import time

import pytest

from act_inference_ros.errors import ConfigurationError
from act_inference_ros.robot.given_parameters import MOST_PROBLEMS, complete, concrete_parameters
from act_inference_ros.robot.parameters import PARAMETERS
from docs_tools.parameter_page import PAGE, page


def problem_with(**given: object) -> str:
    with pytest.raises(ConfigurationError) as refusal:
        complete({name.replace("__", "."): value for name, value in given.items()})
    return str(refusal.value)


def test_what_is_not_given_has_its_default() -> None:
    values = complete({})
    assert values == {p.name: p.default for p in PARAMETERS if "<" not in p.name}


def test_a_joint_has_one_set_of_parameters_whatever_is_read_of_it() -> None:
    names = concrete_parameters({"state.joints": ["a", "a/velocity", "b/effort"]})
    assert {name for name in names if name.endswith(".unit")} == {"joint.a.unit", "joint.b.unit"}


def test_templates_stand_for_every_camera_joint_and_controller_named() -> None:
    given = {"cameras": ["top"], "state.joints": ["a"], "action.joints": ["b"], "controllers": ["arm"]}
    names = concrete_parameters(given)
    assert {"camera.top.topic", "joint.a.min", "joint.b.max", "controller.arm.lead"} <= set(names)
    assert not any("<" in name for name in names)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"max_aeg": 0.2}, "max_aeg: no such parameter; did you mean max_age?"),
        ({"joint.elbw.min": 0.0}, "joint.elbw.min: no such parameter; joint names come from state.joints and action."),
        ({"state.joints": ["elbow"], "joint.elbw.min": 0.0}, "where elbw is missing; did you mean elbow?"),
        (
            {"state.joints": ["a", "a/velocity"], "joint.a/velocity.unit": "deg"},
            "joint.a/velocity.unit: no such parameter; what is said of joint a holds for its velocity, too: write joi",
        ),
        ({"camera.top.topic": "/t"}, "camera.top.topic: no such parameter; camera names come from cameras"),
        ({"cameras": ["top"], "camera.top.topik": "/t"}, "did you mean camera.top.topic?"),
        (
            {
                "cameras": ["right"],
                "camera.left.topic": "/t",
                "camera.left.transport": "raw",
                "camera.right.topic": "/t",
            },
            "parameters: camera.left.topic, camera.left.transport: no such parameters; camera names come from cameras, "
            "where left is missing",
        ),
        ({"nonsense": 1}, "nonsense: no such parameter"),
        ({"max_age": "0.2"}, "max_age: expected a number, got '0.2'"),
        ({"max_age": True}, "max_age: expected a number, got True"),
        ({"resize": 1}, "resize: expected true or false, got 1"),
        ({"cameras": "top"}, "cameras: expected a list of strings, got 'top'"),
        ({"cameras": ["top", 2]}, "cameras: expected a list of strings"),
        ({"mode": "tritn"}, "mode: expected one of (empty), local, triton, got 'tritn'"),
        ({"merge": "newest"}, "merge: expected one of blend, temporal_ensemble, latest, got 'newest'"),
        ({"max_age": 0.0}, "max_age: expected a number from 0.001 to 60, got 0"),
        ({"fps": -30.0}, "fps: expected a number from 0.1 to 1000, got -30"),
        ({"max_age": math.nan}, "max_age: expected a number from 0.001 to 60, got nan"),
        ({"fps": math.inf}, "fps: expected a number from 0.1 to 1000, got inf"),
    ],
)
def test_a_mistake_is_named_with_what_was_expected_and_what_came(given: dict[str, object], message: str) -> None:
    assert message in problem_with(**given)


def test_what_follows_from_a_list_of_the_wrong_type_is_not_told_as_well() -> None:
    text = problem_with(**{"cameras": "top", "camera.top.topic": "/t"})
    assert text == "parameters: cameras: expected a list of strings, got 'top'"


def test_all_mistakes_are_listed_at_once() -> None:
    text = problem_with(max_aeg=0.2, fps="fast", merge="newest")
    assert text.startswith("parameters: 3 problems")
    assert all(word in text for word in ("max_aeg", "fps", "merge"))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"state.joints": ["a"], "joint.a.unit": "???"}, "joint.a.unit is ???: fill it in; candidates: rad, deg, m, c"),
        ({"fps": "???"}, "fps is ???: fill it in; candidates stand beside it in the file"),
        ({"state.topic": "???"}, "state.topic is ???: fill it in; candidates stand beside it in the file"),
        ({"state.joints": ["a", "???j1", "???j2"]}, "state.joints is ???j1, ???j2: fill it in; candidates stand"),
        (
            {"controllers": ["arm"], "controller.arm.interface": "???"},
            "interface is ???: fill it in; candidates: joint_",
        ),
        # What it belongs to is not known yet, either.
        ({"joint.???j1.unit": "???"}, "joint.???j1.unit is ???: fill it in"),
    ],
)
def test_what_is_still_to_be_filled_in_is_refused_by_name_in_one_line(given: dict[str, object], message: str) -> None:
    text = problem_with(**given)
    assert message in text
    assert "\n" not in text


def test_while_something_is_to_be_filled_in_nothing_else_is_complained_about() -> None:
    text = problem_with(fps="???", merge="newest", nonsense=1)
    assert text == "parameters: fps is ???: fill it in; candidates stand beside it in the file"


def test_an_integer_will_do_for_a_number() -> None:
    values = complete({"fps": 50, "state.joints": ("a",), "joint.a.min": -1})
    assert (values["fps"], type(values["fps"])) == (50.0, float)
    assert values["joint.a.min"] == -1.0


def test_the_page_of_parameters_is_what_its_command_writes() -> None:
    assert PAGE.read_text() == page(), "write it anew: python -m docs_tools.parameter_page"


def test_the_page_has_every_parameter_once_and_shows_what_stands_in_angle_brackets() -> None:
    rows = [line.split(" | ") for line in page().splitlines() if line.startswith("| `")]
    assert [row[0] for row in rows] == [f"| `{parameter.name}`" for parameter in PARAMETERS]
    assert [len(row) for row in rows] == [4] * len(rows)
    assert not re.search(r"<", "".join(row[3] for row in rows)), "HTML swallows <camera>"


LISTED = [f"j{i}" for i in range(512)]


def test_only_problems_that_are_shown_are_compared_with_known_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """The comparison takes long: of 2500 wrong joints 4 s."""
    compared: list[str] = []

    def near(name: str, *_: object, **__: object) -> list[str]:
        compared.append(name)
        return []

    monkeypatch.setattr(difflib, "get_close_matches", near)
    joints = {f"joint.k{i}.min": 0.0 for i in range(2500)}
    others = {f"nonsense{i}": 0.0 for i in range(2500)}
    for wrong in (joints, others, joints | others):
        compared.clear()
        with pytest.raises(ConfigurationError, match=f"{len(wrong)} problems"):
            complete({"action.joints": LISTED, **wrong})
        assert 0 < len(compared) <= MOST_PROBLEMS


@pytest.mark.parametrize(
    ("joints", "wrong"),
    [
        (LISTED, [f"joint.j{i}.minn" for i in range(512)]),
        ([f"{i:03}{'a' * 90}" for i in range(512)], [f"joint.k{i}{'a' * 90}.min" for i in range(100)]),
        ([f"{i:03}{'a' * 90}" for i in range(512)], [f"jiont.k{i}{'a' * 90}.min" for i in range(100)]),
    ],
)
def test_names_that_are_hard_to_compare_take_little_time(joints: list[str], wrong: list[str]) -> None:
    began = time.process_time()
    with pytest.raises(ConfigurationError, match=f"{len(wrong)} problems"):
        complete({"action.joints": joints, **dict.fromkeys(wrong, 0.0)})
    assert time.process_time() - began < 5.0
