"""Every mistake in a parameter is named, all at once; the README's table says what the code says."""

import math
from pathlib import Path

import pytest
import yaml

from act_inference_ros.errors import ConfigurationError
from act_inference_ros.robot.parameters import PARAMETERS, Parameter, complete, concrete_parameters

README = Path(__file__).parents[1] / "README.md"


def problem_with(**given: object) -> str:
    with pytest.raises(ConfigurationError) as refusal:
        complete({name.replace("__", "."): value for name, value in given.items()})
    return str(refusal.value)


def test_what_is_not_given_has_its_default() -> None:
    values = complete({})
    assert values == {p.name: p.default for p in PARAMETERS if "<" not in p.name}


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
        ({"camera.top.topic": "/t"}, "camera.top.topic: no such parameter; camera names come from cameras"),
        ({"cameras": ["top"], "camera.top.topik": "/t"}, "did you mean camera.top.topic?"),
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


def test_all_mistakes_are_listed_at_once() -> None:
    text = problem_with(max_aeg=0.2, fps="fast", merge="newest")
    assert text.startswith("parameters: 3 problems")
    assert all(word in text for word in ("max_aeg", "fps", "merge"))


def test_an_integer_will_do_for_a_number() -> None:
    values = complete({"fps": 50, "state.joints": ("a",), "joint.a.min": -1})
    assert (values["fps"], type(values["fps"])) == (50.0, float)
    assert values["joint.a.min"] == -1.0


@pytest.mark.parametrize("parameter", PARAMETERS, ids=lambda parameter: parameter.name)
def test_the_readme_has_every_parameter_as_the_code_has_it(parameter: Parameter) -> None:
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in README.read_text().splitlines()]
    (row,) = [row for row in rows if row[0] == f"`{parameter.name}`"]
    choices = ", ".join(f"`{choice}`" for choice in parameter.choices if choice)
    limits = parameter.range_text[:1].upper() + parameter.range_text[1:]
    meaning = " ".join([parameter.description, *([f"One of {choices}."] if choices else [limits + "." * bool(limits)])])
    assert row == [row[0], written(parameter.default), "yes" if parameter.live else "", meaning.strip()]


def written(default: object) -> str:
    """As YAML has it, for a reader."""
    return yaml.safe_dump(default).removesuffix("...\n").strip() if default != "" else "(empty)"
