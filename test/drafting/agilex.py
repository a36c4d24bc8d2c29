"""A real robot's data set as a bag, for tests that find it beside the project; they are skipped without it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from test.evaluation import bags

DATA = Path(__file__).parents[3] / "shared" / "real_data" / "agilex_dataset"
CAMERAS = ("cam_high", "cam_left_wrist", "cam_right_wrist")
JOINTS = tuple(
    f"{side}_{joint}" for side in ("left", "right") for joint in ("j0", "j1", "j2", "j3", "j4", "j5", "gripper")
)
FPS = 30.0
HEIGHT, WIDTH = 480, 640


def vectors(column: str) -> npt.NDArray[np.float64]:
    """A column of the episode, (frames, n)."""
    parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed")
    table = parquet.read_table(DATA / "data" / "chunk-000" / "episode_000000.parquet", columns=[column])
    return np.array(table.column(0).to_pylist(), dtype=np.float64)


def frames(camera: str, count: int) -> Iterator[npt.NDArray[np.uint8]]:
    """The first frames of a camera, (height, width, 3) RGB each."""
    av = pytest.importorskip("av", reason="PyAV is not installed")
    video = DATA / "videos" / "chunk-000" / f"observation.images.{camera}" / "episode_000000.mp4"
    with av.open(video) as container:
        for _, frame in zip(range(count), container.decode(video=0), strict=False):
            yield frame.to_ndarray(format="rgb24")


def jpeg(stamp: float, pixels: npt.NDArray[np.uint8]) -> Any:
    cv2 = pytest.importorskip("cv2", reason="OpenCV is not installed")
    _, data = cv2.imencode(".jpg", pixels[..., ::-1])
    return bags.message(
        "sensor_msgs/msg/CompressedImage", header=bags.header(stamp), format="rgb8; jpeg compressed bgr8", data=data
    )


def events(count: int, names: tuple[str, ...] = JOINTS, images: int = 60) -> Iterator[bags.Event]:
    """The episode as messages: three cameras (JPEG; the first `images` frames), one joint state, two controllers."""
    state, action = vectors("observation.qpos"), vectors("action")
    order = np.random.default_rng(0).permutation(len(names))
    for step in range(count):
        now = bags.START_S + step / FPS
        measured = bags.joint_state([names[i] for i in order], state[step][order], now)
        yield now, "/joint_states", "sensor_msgs/msg/JointState", measured
        arm = bags.trajectory(names[:6], [0.1], [action[step, :6]], now)
        yield now, "/left_arm_controller/joint_trajectory", "trajectory_msgs/msg/JointTrajectory", arm
        yield (
            now,
            "/left_gripper_controller/commands",
            "std_msgs/msg/Float64MultiArray",
            bags.float_array(action[step, 6:7]),
        )
        right = bags.joint_state(names[7:], action[step, 7:], now)
        yield now, "/right_arm/joint_commands", "sensor_msgs/msg/JointState", right
    for camera in CAMERAS:
        for step, pixels in enumerate(frames(camera, images)):
            now = bags.START_S + step / FPS
            yield now, f"/{camera}/image_raw/compressed", "sensor_msgs/msg/CompressedImage", jpeg(now, pixels)
