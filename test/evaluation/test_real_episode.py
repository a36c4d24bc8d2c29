"""A real bimanual arm's episode, commanded in the usual ways, compared with policies whose errors are known."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from act_inference_ros.evaluation.bags.bag_evaluation import evaluate_bags
from act_inference_ros.evaluation.results import COMPLETE, EvaluationResult
from act_inference_ros.evaluation.run_settings import RunSettings
from act_inference_ros.evaluation.statistics import pooled
from act_inference_ros.inference.client import InferenceClient
from act_inference_ros.spec import ImageSpec, PolicySpec
from test.evaluation import bags
from test.evaluation.bags import HEIGHT, START_S, WIDTH

EPISODE = Path("../shared/real_data/agilex_dataset/data/chunk-000/episode_000000.parquet")
FPS, CHUNK = 30.0, 30
IMAGE, JOINT_STATE, TRAJECTORY = (
    "sensor_msgs/msg/Image",
    "sensor_msgs/msg/JointState",
    "trajectory_msgs/msg/JointTrajectory",
)
Floats = npt.NDArray[np.float64]
pytestmark = pytest.mark.skipif(not EPISODE.exists(), reason="the real data is not here")


@pytest.fixture(scope="module")
def recorded() -> tuple[Floats, Floats]:
    """Measured and commanded positions (frames, 14)."""
    parquet = pytest.importorskip("pyarrow.parquet")
    columns = parquet.read_table(EPISODE).to_pydict()
    return np.array(columns["observation.qpos"], dtype=float), np.array(columns["action"], dtype=float)


def joints(count: int) -> list[str]:
    return [f"{side}{i}" for side in ("left", "right") for i in range(count // 2)]


class _Backend(bags.KnowingBackend):
    """Answers frame i with `rows` from i on; the last row holds."""

    def __init__(self, rows: Floats) -> None:
        width = rows.shape[1]
        image = ImageSpec("observation.images.top", HEIGHT, WIDTH)
        super().__init__(spec=PolicySpec(CHUNK, width, (image,), state_dim=width))
        self._rows = rows

    def infer(self, inputs: Any, request_id: str = "") -> npt.NDArray[np.float32]:
        frame = int.from_bytes(inputs["observation.images.top"][0, 0].tobytes(), "little")
        return self._rows[np.minimum(frame + np.arange(CHUNK), len(self._rows) - 1)].astype(np.float32)


def messages(measured: Floats, commanded: Floats, ahead_s: float, delay_s: float) -> Iterator[bags.Event]:
    names = joints(commanded.shape[1])
    for frame, (state, action) in enumerate(zip(measured, commanded, strict=True)):
        now = START_S + frame / FPS
        yield now, "/joint_states", JOINT_STATE, bags.joint_state(names, state, now)
        yield now + delay_s, "/arm/joint_trajectory", TRAJECTORY, bags.trajectory(names, [ahead_s], [action], 0.0)
        yield now, "/top/image_raw", IMAGE, bags.image(frame, now)


def evaluate(
    path: Path, recorded: tuple[Floats, Floats], policy: Floats, ahead_s: float = 0.0, delay_s: float = 0.0
) -> EvaluationResult:
    measured, commanded = recorded
    names = joints(commanded.shape[1])
    configuration = bags.configuration(
        **{
            "fps": FPS, "inference_rate": 10.0, "state.joints": names, "controllers": ["arm"],
            "controller.arm.joints": names, "controller.arm.interface": "joint_trajectory",
            "controller.gripper.topic": None, "controller.gripper.joints": None, "controller.gripper.interface": None,
        }
    )  # fmt: skip
    bag = bags.write_bag(path / "bag", messages(measured, commanded, ahead_s, delay_s))
    with InferenceClient(_Backend(policy)) as client:
        return evaluate_bags([bag], configuration, client, RunSettings("test", "test"))


def test_a_perfect_policy_has_no_error_with_single_points(tmp_path: Path, recorded: tuple[Floats, Floats]) -> None:
    result = evaluate(tmp_path, recorded, recorded[1])
    assert result.status == COMPLETE
    assert bags.largest(result.total.chunk_error) < 1e-6
    assert result.total.findings == ()


def test_points_ahead_of_their_time_compare_every_joint(tmp_path: Path, recorded: tuple[Floats, Floats]) -> None:
    result = evaluate(tmp_path, recorded, recorded[1], ahead_s=0.1)
    counts = {error.count for error in result.total.chunk_error.values()}
    assert result.status == COMPLETE
    assert len(counts) == 1
    assert counts.pop() > 1000
    assert result.total.shift.steps in (2, 3)  # such a controller is so far behind what it is sent


def test_frames_paired_as_in_lerobot_are_a_shift_of_one(tmp_path: Path, recorded: tuple[Floats, Floats]) -> None:
    total = evaluate(tmp_path, recorded, recorded[1], delay_s=0.008).total
    assert pooled(total.chunk_error).max_ros_units > 0.05
    assert bags.largest(total.shift.shifted) < 1e-6
    assert [(finding.kind, finding.value) for finding in total.findings] == [("shift", 1.0)]


def test_a_policy_that_hardly_reacts_is_all_that_is_found(tmp_path: Path, recorded: tuple[Floats, Floats]) -> None:
    mean = recorded[1].mean(axis=0)
    offsets = np.linspace(0.001, 0.008, len(mean))
    total = evaluate(tmp_path, recorded, mean + 0.05 * (recorded[1] - mean) + offsets).total
    assert [finding.kind for finding in total.findings] == ["unresponsive"]
