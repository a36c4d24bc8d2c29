"""What a trajectory controller's parameters mean: each shortcoming is one sentence that says what to set."""

from typing import Any

import pytest

from act_inference_ros.execution.controller_parameters import forbids_overlap, names_to_ask, shortcomings
from act_inference_ros.simulation.trajectory_controller import DISTROS, TrajectoryController

JOINTS = ("pan", "lift")
FOLLOWING = {"pan": 0.3, "lift": 0.3}


def found(use_sim_time: bool = False, **values: Any) -> list[str]:
    fitting: dict[str, Any] = {"joints": list(JOINTS), "use_sim_time": False, "interpolate_from_desired_state": True}
    given = fitting | {name.replace("__", "."): value for name, value in values.items()}
    return shortcomings("arm", JOINTS, given, use_sim_time, FOLLOWING, overlaps=False)


def test_parameters_that_fit_give_nothing_to_say() -> None:
    assert found() == []
    assert found(joints=["lift", "pan"]) == []


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"joints": ["pan", "elbow"]}, "it refuses every command"),
        ({"use_sim_time": True}, "set both alike"),
        ({"interpolation_method": "none"}, "set splines"),
        ({"interpolate_from_desired_state": False}, "set interpolate_from_desired_state: true"),
        ({"allow_trajectory_replacement": True}, "set it to false"),
        ({"speed_scaling__state_interface": "speed/scaling"}, "below 1"),
        ({"speed_scaling_interface_name": "speed_scaling/factor"}, "below 1"),
        ({"cmd_timeout": 0.5}, "0.5 s"),
        ({"constraints__pan__trajectory": 0.2}, "constraints.pan.trajectory is 0.2"),
    ],
)
def test_a_shortcoming_says_what_to_set(values: dict[str, Any], words: str) -> None:
    (sentence,) = found(**values)
    assert words in sentence


def test_a_tolerance_wider_than_our_own_needs_no_word() -> None:
    assert found(constraints__pan__trajectory=0.5) == []


@pytest.mark.parametrize("distro", DISTROS.values(), ids=DISTROS.keys())
@pytest.mark.parametrize("from_last_command", [False, True])
def test_every_distributions_controller_is_understood(distro: Any, from_last_command: bool) -> None:
    controller = TrajectoryController(JOINTS, distro=distro, from_last_command=from_last_command)
    answers = {name: value for name, value in controller.parameters().items() if name in names_to_ask(JOINTS)}
    sentences = shortcomings("arm", JOINTS, answers, use_sim_time=False, following=FOLLOWING, overlaps=False)
    assert len(sentences) == (0 if from_last_command else 1)
    assert all(": true, or controller.arm.overlap: auto" in sentence for sentence in sentences)
    assert shortcomings("arm", JOINTS, answers, use_sim_time=False, following=FOLLOWING) == []
    assert forbids_overlap(JOINTS, answers) is None


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({}, "does not show the parameters"),
        ({"interpolation_method": "splines", "joints": ["pan"]}, "other joints"),
        ({"interpolation_method": "splines", "joints": list(JOINTS), "use_sim_time": True}, "use_sim_time"),
        (
            {"interpolation_method": "splines", "joints": list(JOINTS), "allow_trajectory_replacement": True},
            "allow_trajectory_replacement",
        ),
    ],
)
def test_who_may_play_the_past_again_gets_no_message_that_overlaps(values: dict[str, Any], words: str) -> None:
    assert words in str(forbids_overlap(JOINTS, values))
