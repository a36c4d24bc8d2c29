"""A bag evaluated in local and in triton mode gives the same errors."""

from pathlib import Path

import numpy as np
import pytest

from act_inference_ros.evaluation.bags.bag_evaluation import evaluate_bags
from act_inference_ros.evaluation.run_settings import RunSettings
from act_inference_ros.inference.client import InferenceClient
from act_inference_ros.robot.configuration import RobotConfiguration
from act_inference_ros.spec import IMAGE_PREFIX, PolicySpec
from test.checkpoints import golden_checkpoint
from test.evaluation import bags
from test.evaluation.bags import FPS, START_S

export = pytest.importorskip("act_inference_ros.serving.export", reason="needs the extra export")
pytest.importorskip("tritonclient", reason="needs the extra triton")
CASE = "a_small_1cam"


def test_local_and_triton_mode_agree(tmp_path: Path) -> None:
    from act_inference_ros.serving.model_config import ServingOptions
    from test.inference.triton_process import RunningTriton

    export.export_policy(golden_checkpoint(CASE), tmp_path / "models", ServingOptions(name="policy"))
    with InferenceClient.create("local", checkpoint=golden_checkpoint(CASE), device="cpu") as local:
        configuration, path = write_random_demonstration(tmp_path / "bag", local.spec)
        expected = evaluate_bags([path], configuration, local, RunSettings("local", CASE)).total
    with RunningTriton(tmp_path / "models") as server:
        server.wait_ready("policy")
        with InferenceClient.create("triton", server=server.address, model="policy", timeout_s=20.0) as triton:
            found = evaluate_bags([path], configuration, triton, RunSettings("triton", CASE)).total
    assert found.chunks == expected.chunks > 5
    for joint, error in expected.chunk_error.items():
        assert found.chunk_error[joint].mae_ros_units == pytest.approx(error.mae_ros_units, abs=1e-4)
        assert found.chunk_error[joint].max_ros_units == pytest.approx(error.max_ros_units, abs=1e-4)
    for merge, result in expected.by_merge.items():
        for joint, error in result.executed.items():
            assert found.by_merge[merge].executed[joint].rmse_ros_units == pytest.approx(error.rmse_ros_units, abs=1e-4)


def write_random_demonstration(path: Path, spec: PolicySpec) -> tuple[RobotConfiguration, Path]:
    """Three seconds of random images and states for any policy with one camera."""
    (image,) = spec.images
    assert image.key.startswith(IMAGE_PREFIX)
    names = [f"joint{i}" for i in range(max(spec.state_dim, spec.action_dim))]
    left_out = {f"controller.gripper.{key}": None for key in ("topic", "joints", "interface")}
    configuration = bags.configuration(
        **{
            "state.joints": names[: spec.state_dim], "action.joints": names[: spec.action_dim],
            "cameras": [image.camera], "camera.top.topic": None, f"camera.{image.camera}.topic": "/image",
            "controllers": ["arm"], "controller.arm.joints": names[: spec.action_dim], **left_out,
        }
    )  # fmt: skip
    random = np.random.default_rng(0)
    messages = []
    for step in range(round(2.0 * FPS)):
        now = START_S + step / FPS
        state = bags.joint_state(names, random.normal(size=len(names)), now)
        picture = bags.image(0, now, image.height, image.width)
        picture.data[:] = random.integers(0, 256, picture.data.size, dtype=np.uint8)
        messages.append((now, "/joint_states", "sensor_msgs/msg/JointState", state))
        messages.append((now, "/arm/joint_trajectory", "sensor_msgs/msg/JointState", state))
        messages.append((now, "/image", "sensor_msgs/msg/Image", picture))
    return configuration, bags.write_bag(path, messages)
