"""A checkpoint of any generation shows the range of its training data."""

from pathlib import Path

import numpy as np
import pytest

from act_inference_ros.drafting.policy_facts import read_policy_facts
from act_inference_ros.errors import CheckpointError
from test.checkpoints import (
    ACTION,
    CAMERA,
    STATE,
    statistics_of,
    write_buffer_checkpoint,
    write_checkpoint,
    write_config,
)


def test_processor_files_have_the_smallest_and_the_largest(tmp_path: Path) -> None:
    write_checkpoint(tmp_path)
    facts, directory = read_policy_facts(str(tmp_path))
    stored = statistics_of({**STATE, **CAMERA, **ACTION})
    assert directory == tmp_path
    assert (facts.spec.state_dim, facts.spec.action_dim, facts.spec.cameras) == (5, 4, ("top_cam",))
    np.testing.assert_allclose(facts.ranges["observation.state"].lowest, stored["observation.state.min"])
    np.testing.assert_allclose(facts.ranges["action"].highest, stored["action.max"])
    assert "min and max" in facts.ranges["action"].source


def test_a_renamed_state_goes_by_the_robots_name(tmp_path: Path) -> None:
    write_checkpoint(tmp_path, rename={"observation.qpos": "observation.state"})
    facts, _ = read_policy_facts(str(tmp_path))
    assert set(facts.ranges) == {"observation.qpos", "action"}


def test_old_checkpoints_have_mean_and_deviation_among_the_weights(tmp_path: Path) -> None:
    features = {**STATE, **CAMERA, **ACTION}
    modes = dict.fromkeys(features, "MEAN_STD")
    config = write_config(tmp_path)
    write_buffer_checkpoint(tmp_path, config, features, modes)
    facts, _ = read_policy_facts(str(tmp_path))
    stored = statistics_of(features)
    expected = stored["action.mean"] - 3.0 * stored["action.std"]
    np.testing.assert_allclose(facts.ranges["action"].lowest, expected, rtol=1e-6)
    assert "mean +- 3 std" in facts.ranges["observation.state"].source


def test_what_is_no_checkpoint_is_said(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="expected a file of a LeRobot checkpoint"):
        read_policy_facts(str(tmp_path))
