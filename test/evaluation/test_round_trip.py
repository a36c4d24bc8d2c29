"""One real episode as a data set, as bags made of it, and as a data set made of such a bag: the same errors."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from act_inference_ros.evaluation.cli import bag_to_dataset, eval_policy
from act_inference_ros.evaluation.results import COMPLETE, EvaluationResult
from act_inference_ros.policy.description import describe_policy
from test.checkpoints import write_checkpoint
from test.drafting import agilex
from test.drafting.agilex import CAMERAS, DATA, FPS, HEIGHT, JOINTS, WIDTH
from test.evaluation import bags

STRIDE = 40
"""A chunk at every so many frames: three images of VGA size take the policy a while."""
LOSSY = 0.05
"""By how much of themselves errors may differ where images were compressed again."""
pytestmark = pytest.mark.skipif(not DATA.exists(), reason="the real data is not here")


def untrained(directory: Path, rename: dict[str, str]) -> Path:
    """A policy for this robot, always the same one."""
    inputs: dict[str, Any] = {"observation.state": {"type": "STATE", "shape": [len(JOINTS)]}}
    inputs |= {f"observation.images.{each}": {"type": "VISUAL", "shape": [3, HEIGHT, WIDTH]} for each in CAMERAS}
    outputs = {"action": {"type": "ACTION", "shape": [len(JOINTS)]}}
    write_checkpoint(directory, inputs=inputs, outputs=outputs, rename=rename, chunk_size=30, n_action_steps=30)
    return directory


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """For the data set, which calls the state observation.qpos."""
    return untrained(tmp_path_factory.mktemp("checkpoint"), {"observation.qpos": "observation.state"})


@pytest.fixture(scope="module")
def plain_checkpoint(tmp_path_factory: pytest.TempPathFactory, checkpoint: Path) -> Path:
    """The same policy for data sets with LeRobot's own names."""
    directory = untrained(tmp_path_factory.mktemp("plain"), {})
    assert describe_policy(directory).spec.policy_id == describe_policy(checkpoint).spec.policy_id
    return directory


@pytest.fixture(scope="module")
def of_dataset(tmp_path_factory: pytest.TempPathFactory, checkpoint: Path) -> list[float]:
    return errors(tmp_path_factory.mktemp("dataset"), checkpoint, "--dataset", str(DATA))


def recording(compressed: bool) -> Iterator[bags.Event]:
    """The episode as a robot records it: images, joint states, and a command with each frame."""
    state, action = agilex.vectors("observation.qpos"), agilex.vectors("action")
    films = [agilex.frames(camera, len(state)) for camera in CAMERAS]
    for step, pictures in enumerate(zip(*films, strict=True)):
        now = bags.START_S + step / FPS
        yield now, "/joint_states", "sensor_msgs/msg/JointState", bags.joint_state(JOINTS, state[step], now)
        yield now, "/arm/commands", "std_msgs/msg/Float64MultiArray", bags.float_array(action[step])
        for camera, pixels in zip(CAMERAS, pictures, strict=True):
            if compressed:
                yield now, f"/{camera}/compressed", "sensor_msgs/msg/CompressedImage", agilex.jpeg(now, pixels)
            else:
                yield now, f"/{camera}/raw", "sensor_msgs/msg/Image", raw(now, pixels)


def raw(stamp: float, pixels: Any) -> Any:
    return bags.message(
        "sensor_msgs/msg/Image", header=bags.header(stamp), height=HEIGHT, width=WIDTH, encoding="rgb8",
        is_bigendian=0, step=3 * WIDTH, data=np.ascontiguousarray(pixels).reshape(-1),
    )  # fmt: skip


def parameter_file(path: Path, transport: str) -> Path:
    ending = "compressed" if transport == "compressed" else "raw"
    cameras = {name: {"topic": f"/{name}/{ending}", "transport": transport} for name in CAMERAS}
    limits = {"min": -float("inf"), "max": float("inf"), "max_velocity": 100.0, "max_acceleration": 1000.0}
    parameters = {
        "fps": FPS, "inference_rate": FPS, "state": {"topic": "/joint_states", "joints": list(JOINTS)},
        "cameras": list(CAMERAS), "camera": cameras, "joint": {name: dict(limits) for name in JOINTS},
        "controllers": ["arm"],
        "controller": {
            "arm": {"interface": "position_stream", "topic": "/arm/commands", "joints": list(JOINTS)},
        },
    }  # fmt: skip
    path.write_text(yaml.safe_dump({"policy_node": {"ros__parameters": parameters}}))
    return path


def errors(directory: Path, checkpoint: Path, *source: str) -> list[float]:
    """Each joint's mean error of the raw chunks, rad, in the policy's order; a data set has other names for them."""
    given = ["--mode", "local", "--checkpoint", str(checkpoint), "--stride", str(STRIDE), "--out", str(directory)]
    assert eval_policy.main([*source, *given]) == 0
    result = EvaluationResult.from_json((directory / "metrics.json").read_text())
    assert result.status == COMPLETE, (result.reasons, [episode.reasons for episode in result.episodes])
    assert result.total is not None
    return [error.mae_ros_units for error in result.total.chunk_error.values()]


@pytest.mark.parametrize("transport", ["raw", "compressed"])
def test_bags_of_it_and_a_data_set_of_these_give_the_same_errors(
    tmp_path: Path, checkpoint: Path, plain_checkpoint: Path, of_dataset: list[float], transport: str
) -> None:
    bag = bags.write_bag(tmp_path / "bag", recording(compressed=transport == "compressed"))
    parameters = str(parameter_file(tmp_path / "robot.yaml", transport))
    of_bag = errors(tmp_path / "of_bag", checkpoint, "--bag", str(bag), "--params", parameters)
    tolerance = 1e-5 if transport == "raw" else LOSSY
    assert len(of_bag) == len(JOINTS)
    np.testing.assert_allclose(of_bag, of_dataset, rtol=tolerance)

    if transport == "raw":  # once is enough
        return
    made = tmp_path / "made"
    assert bag_to_dataset.main(["--bag", str(bag), "--params", parameters, "--output", str(made)]) == 0
    info = json.loads((made / "meta" / "info.json").read_text())
    assert info["total_frames"] in (397, 398)
    of_made = errors(tmp_path / "of_made", plain_checkpoint, "--dataset", str(made))
    np.testing.assert_allclose(of_made, of_dataset, rtol=LOSSY)
