"""A bag whose joint states come on several topics gives the numbers of one that has them on one."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from act_inference_ros.evaluation import codec
from act_inference_ros.evaluation.bags.bag_evaluation import EvaluationOptions, evaluate_bags
from act_inference_ros.evaluation.datasets.description import read_info
from act_inference_ros.evaluation.datasets.stand_in import stand_in_robot
from act_inference_ros.evaluation.results import COMPLETE, FAILED, EvaluationResult, Metrics
from act_inference_ros.evaluation.run_settings import RunSettings
from act_inference_ros.inference.client import InferenceClient
from act_inference_ros.robot.configuration import RobotConfiguration
from act_inference_ros.spec import ImageSpec, PolicySpec
from test.evaluation import bags
from test.evaluation.bags import CHUNK_SIZE, FPS, HEIGHT, JOINTS, START_S, WIDTH
from test.evaluation.conversions import ACTION, SIDE, STATE, TOP, convert, demonstration, numbers, read

DRIVERS = {
    "one for each controller": {"/arm/states": ("lift", "pan"), "/hand/states": ("grip",)},
    "across the controllers": {"/one/states": ("pan",), "/other/states": ("grip", "other", "lift")},
}


def evaluate(path: Path, configuration: RobotConfiguration, spec: PolicySpec | None = None) -> EvaluationResult:
    with InferenceClient(bags.KnowingBackend(spec=spec)) as client:
        return evaluate_bags([path], configuration, client, RunSettings("test", "test"), EvaluationOptions())


def figures(metrics: Metrics | None) -> dict[str, Any]:
    """What does not depend on how fast this machine is."""
    assert metrics is not None
    plain: dict[str, Any] = codec.to_plain(metrics)  # where a nan is equal to itself
    return {name: value for name, value in plain.items() if name != "inference_time"}


def several(drivers: Any, **changes: Any) -> dict[str, Any]:
    return {"state.topic": None, "state.topics": list(drivers), **changes}


@pytest.mark.parametrize("drivers", DRIVERS.values(), ids=DRIVERS)
@pytest.mark.parametrize("commands", [bags.motion, None], ids=["commands", "states"])
def test_a_bag_evaluates_to_the_same_numbers(tmp_path: Path, drivers: Any, commands: Any) -> None:
    together = bags.write_bag(tmp_path / "together", bags.events(commands=commands))
    apart = bags.write_bag(tmp_path / "apart", bags.apart(bags.events(commands=commands), drivers))

    expected = evaluate(together, bags.configuration())
    result = evaluate(apart, bags.configuration(**several(drivers)))

    assert result.status == expected.status == COMPLETE
    assert result.episodes[0].truth == expected.episodes[0].truth
    assert expected.total is not None
    assert expected.total.chunks > 10
    assert figures(result.total) == figures(expected.total)
    assert result.episodes[0].series.truth == expected.episodes[0].series.truth


@pytest.mark.parametrize("drivers", DRIVERS.values(), ids=DRIVERS)
def test_a_bag_becomes_the_same_data_set_with_velocities_in_it(tmp_path: Path, drivers: Any) -> None:
    entries = {
        "state.joints": ["grip", "pan/velocity", "pan"],
        "action.joints": list(JOINTS),
        "joint.pan.unit": "deg",
        "joint.pan.offset": 30.0,
    }
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    recorded = list(bags.with_velocities(demonstration()))
    status, one = convert(tmp_path / "one", recorded, **entries)
    again, two = convert(tmp_path / "two", bags.apart(recorded, drivers), **several(drivers, **entries))

    assert (status, again) == (0, 0)
    ((ours,), (theirs,)) = read(two, STATE, ACTION), read(one, STATE, ACTION)
    assert len(ours) == len(theirs) == 40
    for key in (STATE, ACTION):
        np.testing.assert_array_equal(numbers(ours, key), numbers(theirs, key))
    times = START_S + np.arange(40) / FPS
    expected = (bags.motion(times + 1e-4)[:, 0] - bags.motion(times - 1e-4)[:, 0]) / 2e-4
    np.testing.assert_allclose(numbers(ours, STATE)[:, 1], np.rad2deg(expected), atol=1e-3)
    names = json.loads((two / "meta/info.json").read_text())["features"][STATE]["names"]
    assert names == ["grip", "pan/velocity", "pan"]
    read_back = stand_in_robot(read_info(two), PolicySpec(1, 3, (ImageSpec(TOP, SIDE, SIDE),), state_dim=3))
    assert read_back.state is not None
    assert read_back.state.names == ("grip", "pan/velocity", "pan")
    assert read_back.action.names == JOINTS


def test_a_state_with_velocities_is_evaluated_as_the_node_reads_it(tmp_path: Path) -> None:
    drivers = DRIVERS["one for each controller"]
    image = ImageSpec("observation.images.top", HEIGHT, WIDTH)
    spec = PolicySpec(CHUNK_SIZE, 3, (image,), state_dim=5)
    entries = {"state.joints": [*JOINTS, "grip/velocity", "lift/velocity"]}
    moving = bags.write_bag(tmp_path / "moving", bags.apart(bags.with_velocities(bags.events()), drivers))
    result = evaluate(moving, bags.configuration(**several(drivers, **entries)), spec)
    assert result.status == COMPLETE

    without = bags.write_bag(tmp_path / "without", bags.apart(bags.events(), drivers))
    result = evaluate(without, bags.configuration(**several(drivers, **entries)), spec)
    assert result.status == FAILED
    (reason,) = [each for each in result.episodes[0].reasons if each.startswith("no observation could be taken")]
    assert "no message has grip/velocity, lift/velocity" in reason


def test_a_topic_that_was_not_recorded_is_named(tmp_path: Path) -> None:
    drivers = DRIVERS["one for each controller"]
    path = bags.write_bag(tmp_path / "bag", bags.apart(bags.events(), {"/arm/states": drivers["/arm/states"]}))
    result = evaluate(path, bags.configuration(**several(drivers)))
    assert result.status == FAILED
    assert result.episodes[0].reasons[0].startswith("state (/hand/states): the bag has no such topic")


def test_a_joint_on_two_topics_is_a_loss_that_names_both(tmp_path: Path) -> None:
    drivers = {"/arm/states": ("lift", "pan"), "/hand/states": ("grip", "pan")}
    path = bags.write_bag(tmp_path / "bag", bags.apart(bags.events(1.0), drivers))
    result = evaluate(path, bags.configuration(**several(drivers)))
    assert result.status == FAILED
    told = " ".join(result.episodes[0].reasons)
    assert "published twice: state /hand/states" in told
    assert "pan on /hand/states and on /arm/states, too" in told
