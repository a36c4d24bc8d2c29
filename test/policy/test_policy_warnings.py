"""Policies that run although something in them is unusual: a warning says so once, and the policy keeps it."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file

from act_inference_ros.errors import CheckpointError
from act_inference_ros.policy.load import LoadedPolicy, load_policy
from test.checkpoints import STATE, edit_json, write_checkpoint

STATE_FILE = "pre_step_3.safetensors"
OLD, NEW = "observation.joints", "observation.state"
ENVIRONMENT = {"observation.environment_state": {"type": "ENV", "shape": [7]}}


def write(directory: Path, mode: str = "MEAN_STD", rename: dict[str, str] | None = None) -> Path:
    """A checkpoint without a camera, which loads quickly."""
    modes = dict.fromkeys(("STATE", "ENV", "ACTION"), mode)
    directory.mkdir(exist_ok=True)
    write_checkpoint(directory, inputs={**STATE, **ENVIRONMENT}, rename=rename, normalization_mapping=modes)
    return directory


def edit_statistics(directory: Path, change: Callable[[dict[str, Any]], object]) -> None:
    statistics = load_file(directory / STATE_FILE)
    change(statistics)
    save_file(statistics, directory / STATE_FILE)


def chunk_of(policy: LoadedPolicy, state: Any) -> Any:
    inputs = {"observation.environment_state": np.zeros(7, np.float32), policy.spec.state_key: state}
    with torch.inference_mode():
        return policy.graph(*(torch.from_numpy(inputs[key]).unsqueeze(0) for key in policy.spec.keys)).numpy()


def under_the_old_name(statistics: dict[str, Any]) -> None:
    for name in [name for name in statistics if name.startswith(f"{NEW}.")]:
        statistics[name.replace(NEW, OLD)] = statistics.pop(name)


def test_statistics_under_the_name_before_the_rename_leave_the_input_as_it_is(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    directory = write(tmp_path / "renamed", rename={OLD: NEW})
    edit_statistics(directory, under_the_old_name)
    same = Path(shutil.copytree(directory, tmp_path / "same"))
    # LeRobot's normaliser passes on what it has no statistics for: as if the mode were IDENTITY.
    keys = ["observation.environment_state"]
    edit_json(
        same / "policy_preprocessor.json", lambda p: p["steps"][3]["config"].update(normalize_observation_keys=keys)
    )
    policy, expected = load_policy(directory), load_policy(same)
    state = np.linspace(-1.0, 2.0, 5, dtype=np.float32)
    np.testing.assert_array_equal(chunk_of(policy, state), chunk_of(expected, state))
    assert policy.spec == expected.spec  # the policy_id, too
    assert expected.warnings == ()
    assert len(policy.warnings) == 1
    for word in (NEW, OLD, "not normalised"):
        assert word in policy.warnings[0]
    load_policy(directory)
    assert caplog.text.count(policy.warnings[0]) == 1


ELSEWHERE: dict[str, tuple[dict[str, str], Callable[[dict[str, Any]], object]]] = {
    "no rename": ({}, under_the_old_name),
    "a rename of something else": ({"observation.a": "observation.b"}, under_the_old_name),
    "under neither name": ({OLD: NEW}, lambda s: [s.pop(name) for name in list(s) if name.startswith(f"{NEW}.")]),
    "one of two missing": ({OLD: NEW}, lambda s: s.update({f"{OLD}.std": s.pop(f"{NEW}.std")})),
}


@pytest.mark.parametrize("case", ELSEWHERE)
def test_statistics_missing_in_another_way_stay_an_error(tmp_path: Path, case: str) -> None:
    rename, change = ELSEWHERE[case]
    write(tmp_path, rename=rename)
    edit_statistics(tmp_path, change)
    with pytest.raises(CheckpointError, match=NEW):
        load_policy(tmp_path)


def test_statistics_under_both_names_are_used_without_a_warning(tmp_path: Path) -> None:
    write(tmp_path, rename={OLD: NEW})
    edit_statistics(tmp_path, lambda s: s.update({f"{OLD}.mean": s[f"{NEW}.mean"], f"{OLD}.std": s[f"{NEW}.std"]}))
    policy = load_policy(tmp_path)
    assert policy.warnings == ()
    assert policy.graph.normalize[0].scale.tolist() != [1.0] * 5  # type: ignore[operator]  # a buffer


def still_joint(statistics: dict[str, Any], spread: float = 0.0) -> None:
    statistics[f"{NEW}.std"][3] = spread
    for upper, lower in (("max", "min"), ("q99", "q01"), ("q90", "q10")):
        statistics[f"{NEW}.{upper}"][3] = statistics[f"{NEW}.{lower}"][3] + spread


@pytest.mark.parametrize("spread", [0.0, 1e-7])
@pytest.mark.parametrize("mode", ["MEAN_STD", "MIN_MAX", "QUANTILES", "QUANTILE10"])
def test_a_joint_that_did_not_move_is_a_warning(
    tmp_path: Path, mode: str, spread: float, caplog: pytest.LogCaptureFixture
) -> None:
    write(tmp_path, mode)
    edit_statistics(tmp_path, lambda statistics: still_joint(statistics, spread))
    warnings = load_policy(tmp_path).warnings
    assert len(warnings) == 1
    assert warnings[0].startswith(f"{NEW}[3] did not move in the data set")
    assert warnings[0] in caplog.text


def test_a_joint_that_moved_a_millionth_of_the_others_is_a_warning(tmp_path: Path) -> None:
    write(tmp_path)  # the unit is steps of a servo
    std = np.array([900.0, 5.0, 3000.0, 1e-3, 100.0], np.float32)
    edit_statistics(tmp_path, lambda statistics: statistics.update({f"{NEW}.std": std}))
    assert [warning.split()[0] for warning in load_policy(tmp_path).warnings] == [f"{NEW}[3]"]


@pytest.mark.parametrize("mode", ["MEAN_STD", "MIN_MAX", "IDENTITY"])
def test_joints_that_moved_give_no_warning(tmp_path: Path, mode: str) -> None:
    assert load_policy(write(tmp_path, mode)).warnings == ()
