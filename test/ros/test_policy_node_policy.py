"""policy_node with a real checkpoint computes what InferenceClient computes, in whatever form the inputs come."""

import math
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from act_inference_ros.inference.client import InferenceClient
from act_inference_ros.joints import Joint, JointBinding
from act_inference_ros.policy.checkpoint_files import WEIGHTS_FILE
from test.ros.policy_node_stand import Stand, robot_parameters, running_policy_node
from test.ros.robot_stand_in import JOINTS
from test.ros.ros_helpers import PROJECT, wait_until

sys.path.append(str(PROJECT / "test"))
from golden_fill import build_checkpoint  # type: ignore[import-not-found]  # on the path since the line above

pytest.importorskip("torch")
POSITIONS = [0.1, -0.2, 0.3, -0.4, 0.5, -0.6]
UNITS = {"joint__pan__unit": "deg", "joint__grip__scale": 50.0, "joint__grip__offset": 3.0}
STATISTICS = "policy_postprocessor_step_0_unnormalizer_processor.safetensors"
NO_HURRY = {f"joint__{joint}__max_velocity": 100.0 for joint in JOINTS} | {
    f"joint__{joint}__max_acceleration": 10000.0 for joint in JOINTS
}
STANDS_STILL = {f"joint__{joint}__max_deviation": math.inf for joint in JOINTS}
"""The arm stands still, so that the observation is known; following the plan is not tested here."""
SLOW_MACHINE = {"max_age": 5.0, "fps": 4.0, "inference_rate": 3.0, "max_plan_age": 6.0}
"""A plan of five seconds, and inputs that may be as old: speed is not tested here."""


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("checkpoint")
    build_checkpoint(str(PROJECT / "test" / "data" / "golden" / "a_small_1cam"), str(directory))
    return directory


@pytest.fixture(scope="module", params=["raw", "compressed"])
def stand(request: Any, checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    parameters = robot_parameters({"front": request.param}, **SLOW_MACHINE, **UNITS, **NO_HURRY, **STANDS_STILL)
    with running_policy_node(tmp_path_factory.mktemp("node"), parameters, checkpoint, wait=None) as stand:
        stand.robot.frozen = True
        stand.robot.positions = dict(zip(JOINTS, POSITIONS, strict=True))
        stand.node.wait_for_line("commanding", 60.0)
        stand.start_afresh(stand.robot.positions)  # what came before was at home
        yield stand


def test_the_chunk_is_what_the_client_predicts_whatever_the_order_of_the_joints_and_the_transport(
    stand: Stand, checkpoint: Path
) -> None:
    robot = stand.robot
    wait_until(lambda: robot.chunks, 20.0)
    message = robot.chunks[-1].message
    chunk = np.array([point.positions for point in message.points])
    state = [np.rad2deg(POSITIONS[0]), *POSITIONS[1:5], 50.0 * POSITIONS[5] + 3.0]
    observation: dict[str, Any] = {
        "observation.state": np.array(state, np.float32),
        "observation.images.front": robot.images["front"],
    }
    with InferenceClient.create("local", checkpoint=checkpoint) as client:
        expected = client.predict(observation)
    assert list(message.joint_names) == list(JOINTS)
    np.testing.assert_allclose(chunk, expected, rtol=0.0, atol=1e-5)


def test_the_commands_lead_to_what_the_chunk_says(stand: Stand) -> None:
    robot = stand.robot
    message = robot.wait_for_command("arm", time.time())[-1]
    # The last point but one is the plan's last step; after it the arm comes to rest.
    end = dict(zip(message.joint_names, message.points[-2].positions, strict=True))
    chunk = dict(zip(JOINTS, robot.chunks[-1].message.points[-1].positions, strict=True))
    targets = to_ros(chunk)
    for joint in message.joint_names:
        assert end[joint] == pytest.approx(np.clip(targets[joint], -2.5, 2.5), abs=1e-4), joint


def test_an_output_that_is_not_finite_never_becomes_a_command(stand: Stand) -> None:
    robot = stand.robot
    robot.wait_for_command("arm", time.time())
    robot.positions["lift"] = 3.0e38  # finite, until the policy normalises it
    try:
        robot.wait_for_diagnosis("holding: inference failed")
        commands = len(robot.commands["arm"])
        status = robot.wait_for_diagnosis("holding: inference failed")
        assert "expected finite numbers" in status.message
        assert len(robot.commands["arm"]) == commands
        last = time.time()
    finally:
        robot.positions["lift"] = POSITIONS[1]
    robot.wait_for_command("arm", last)


def test_a_policy_whose_outputs_are_never_finite_is_refused_at_configure(checkpoint: Path, tmp_path: Path) -> None:
    overflowing = overflow(checkpoint, tmp_path / "checkpoint")
    with running_policy_node(tmp_path, robot_parameters(), overflowing, wait=None) as stand:
        assert stand.node.wait(60.0) == 2
        assert "configure refused: action chunk" in stand.node.text.splitlines()[-1]
        assert "expected finite numbers" in stand.node.text
        assert "Traceback" not in stand.node.text


def to_ros(chunk: dict[str, float]) -> dict[str, float]:
    binding = JointBinding([Joint("pan", scale=180 / np.pi), *map(Joint, JOINTS[1:5]), Joint("grip", 50.0, 3.0)])
    return dict(zip(JOINTS, binding.to_ros(np.array(list(chunk.values()))), strict=True))


def overflow(checkpoint: Path, directory: Path) -> Path:
    """The checkpoint, with weights and action statistics that together take its outputs beyond float32."""
    directory.mkdir()
    for file in checkpoint.iterdir():
        (directory / file.name).write_bytes(file.read_bytes())
    statistics = load_file(directory / STATISTICS)
    statistics["action.std"] = np.full_like(statistics["action.std"], 1.0e29)
    save_file(statistics, directory / STATISTICS)
    weights = load_file(directory / WEIGHTS_FILE)
    weights["model.action_head.bias"] = np.full_like(weights["model.action_head.bias"], 1.0e20)
    save_file(weights, directory / WEIGHTS_FILE)
    return directory
