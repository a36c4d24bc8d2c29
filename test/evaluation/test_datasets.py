"""Data sets whose evaluation is known beforehand: both versions, videos and images, and a real robot's."""

import sys
import tracemalloc
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from act_inference_ros.errors import ConfigurationError, MissingDependencyError
from act_inference_ros.evaluation.bags.bag_options import EvaluationOptions
from act_inference_ros.evaluation.datasets.dataset_evaluation import evaluate_dataset
from act_inference_ros.evaluation.datasets.description import read_info
from act_inference_ros.evaluation.datasets.frames import EpisodeFrames
from act_inference_ros.evaluation.datasets.index import read_episodes
from act_inference_ros.evaluation.results import COMPLETE, PARTIAL, EvaluationResult
from act_inference_ros.evaluation.run_settings import RunSettings
from act_inference_ros.inference.client import InferenceClient
from act_inference_ros.interfaces import MERGES
from act_inference_ros.spec import ImageSpec, PolicySpec
from test.evaluation import datasets
from test.evaluation.bags import largest
from test.evaluation.datasets import CAMERA, CHUNK_SIZE, FPS, JOINTS, LENGTHS, SPEC, STATE, V21, V30, KnowingBackend

FLOAT32 = 1e-6
REAL = Path(__file__).parents[3] / "shared" / "real_data" / "agilex_dataset"


def evaluate(
    root: Path,
    backend: KnowingBackend | None = None,
    wanted: tuple[tuple[int, int], ...] = (),
    stopped: Any = lambda: False,
    **options: Any,
) -> EvaluationResult:
    info = read_info(root)
    with InferenceClient(backend or KnowingBackend()) as client:
        return evaluate_dataset(
            info, read_episodes(info, wanted), client, RunSettings("test", "test"), EvaluationOptions(**options),
            stopped=stopped,
        )  # fmt: skip


@pytest.mark.parametrize("stored", ["video", "image"])
@pytest.mark.parametrize("version", [V21, V30])
def test_the_policys_own_output_has_no_error(tmp_path: Path, version: str, stored: str) -> None:
    result = evaluate(datasets.write_dataset(tmp_path / "set", version, stored), merges="all")
    assert [episode.reasons for episode in result.episodes] == [(), ()]
    assert result.status == COMPLETE
    assert [episode.name for episode in result.episodes] == ["episode 0", "episode 1"]
    assert result.total.chunks == result.total.observations == sum(LENGTHS)
    # Row k of the chunk of frame i is compared if there is a frame i + k in the same episode.
    pairs = sum(min(CHUNK_SIZE, length - i) for length in LENGTHS for i in range(length))
    assert {error.count for error in result.total.chunk_error.values()} == {pairs}
    assert largest(result.total.chunk_error) < FLOAT32
    for merge in MERGES:
        assert result.total.by_merge[merge].executed["pan"].count > sum(LENGTHS) - len(LENGTHS) - 2
        assert largest(result.total.by_merge[merge].executed) < FLOAT32
    assert result.total.findings == ()
    assert (result.total.refused, result.total.holds) == ({}, {})


@pytest.mark.parametrize("version", [V21, V30])
def test_row_k_of_frame_i_belongs_to_action_i_plus_k(tmp_path: Path, version: str) -> None:
    """A policy that is one step late has just the error that it has by LeRobot's pairing."""
    backend = KnowingBackend(function=lambda episode, frames: datasets.actions(episode, np.asarray(frames) - 1))
    result = evaluate(datasets.write_dataset(tmp_path / "set", version), backend)
    errors = [
        datasets.actions(episode, i + np.arange(rows) - 1) - datasets.actions(episode, i + np.arange(rows))
        for episode, length in enumerate(LENGTHS)
        for i in range(length)
        for rows in [min(CHUNK_SIZE, length - i)]
    ]
    expected = np.abs(np.concatenate(errors)).mean(axis=0)
    found = [result.total.chunk_error[joint].mae_ros_units for joint in JOINTS]
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert {"delay", "shift"} & {finding.kind for finding in result.total.findings}


@pytest.mark.parametrize("version", [V21, V30])
def test_the_policy_gets_each_frames_own_image_and_state(tmp_path: Path, version: str) -> None:
    backend = KnowingBackend()
    evaluate(datasets.write_dataset(tmp_path / "set", version), backend)
    expected = [(episode, frame) for episode, length in enumerate(LENGTHS) for frame in range(length)]
    assert [datasets.seen(inputs[CAMERA]) for inputs in backend.inputs] == expected
    given = np.stack([inputs[STATE] for inputs in backend.inputs])
    np.testing.assert_array_equal(given, np.stack([datasets.states(*each) for each in expected]).astype(np.float32))


def test_pixels_are_those_that_lerobot_decodes(tmp_path: Path) -> None:
    """As `decode_video_frames_pyav` of LeRobot: `frame.to_ndarray(format="rgb24")`."""
    backend = KnowingBackend()
    root = datasets.write_dataset(tmp_path / "set", V21, lengths=(8,))
    evaluate(root, backend)
    with av.open(str(root / f"videos/chunk-000/{CAMERA}/episode_000000.mp4")) as video:
        frames = [frame.to_ndarray(format="rgb24") for frame in video.decode(video=0)]
    np.testing.assert_array_equal(np.stack([inputs[CAMERA] for inputs in backend.inputs]), np.stack(frames))


def test_an_episode_may_begin_between_two_key_frames_of_its_video(tmp_path: Path) -> None:
    root = datasets.write_dataset(tmp_path / "set", V30)
    pictures = [datasets.picture(episode, i) for episode, length in enumerate(LENGTHS) for i in range(length)]
    datasets.write_video(root / f"videos/{CAMERA}/chunk-000/file-000.mp4", pictures, key_frames=len(pictures))
    backend = KnowingBackend()
    assert evaluate(root, backend, wanted=((1, 1),)).status == COMPLETE
    assert [datasets.seen(inputs[CAMERA]) for inputs in backend.inputs] == [(1, i) for i in range(LENGTHS[1])]


@pytest.mark.parametrize(
    "kind", [pa.list_(pa.float32(), 3), pa.large_list(pa.float32()), pa.list_(pa.float64())], ids=str
)
def test_vectors_are_read_in_every_form_in_which_parquet_has_them(tmp_path: Path, kind: Any) -> None:
    root = datasets.write_dataset(tmp_path / "set", V21, lengths=(12,))
    rows = pa.array(list(datasets.actions(0, np.arange(12))), kind)
    table = datasets.episode_table(0, 12, 0, "video", columns={"action": rows})
    datasets.write_table(root / "data/chunk-000/episode_000000.parquet", table)
    result = evaluate(root)
    assert result.status == COMPLETE
    assert largest(result.total.chunk_error) < FLOAT32


def test_an_action_of_one_number_is_stored_as_a_number(tmp_path: Path) -> None:
    root = datasets.write_dataset(tmp_path / "set", V21, lengths=(12,))
    datasets.edit_feature(root, "action", shape=[1], names=["pan"])
    pan = datasets.actions(0, np.arange(12))[:, 0]
    table = datasets.episode_table(0, 12, 0, "video", columns={"action": pa.array(pan, pa.float32())})
    datasets.write_table(root / "data/chunk-000/episode_000000.parquet", table)
    spec = replace(SPEC, action_dim=1)
    backend = KnowingBackend(spec, lambda episode, frames: datasets.actions(episode, frames)[:, :1])
    result = evaluate(root, backend)
    assert result.status == COMPLETE
    assert largest(result.total.chunk_error) < FLOAT32


def test_images_in_the_table_arrive_pixel_for_pixel(tmp_path: Path) -> None:
    backend = KnowingBackend()
    evaluate(datasets.write_dataset(tmp_path / "set", V30, "image", lengths=(8,)), backend)
    drawn = np.stack([datasets.picture(0, frame) for frame in range(8)])
    np.testing.assert_array_equal(np.stack([inputs[CAMERA] for inputs in backend.inputs]), drawn)


def test_episodes_can_be_chosen(tmp_path: Path) -> None:
    root = datasets.write_dataset(tmp_path / "set", V30, lengths=(6, 7, 8, 9))
    result = evaluate(root, wanted=((3, 3), (0, 1)))
    assert [(episode.name, episode.messages) for episode in result.episodes] == [
        ("episode 0", 6), ("episode 1", 7), ("episode 3", 9),
    ]  # fmt: skip
    with pytest.raises(ConfigurationError, match="no episode 4; it has 4 episodes"):
        evaluate(root, wanted=((3, 900_000_000),))


def test_stride_limit_and_latency_are_as_for_bags(tmp_path: Path) -> None:
    root = datasets.write_dataset(tmp_path / "set", lengths=(30,))
    assert evaluate(root, stride=4).total.chunks == 8
    limited = evaluate(root, limit_s=0.5)
    assert (limited.status, limited.total.chunks) == (COMPLETE, 11)
    assert "only the first 0.5 s" in limited.episodes[0].notes[1]
    # When a chunk has come the newest frame is half a frame old; it is predicted from at once, as in the node.
    late = evaluate(root, latency_s=2.5 / FPS)
    assert late.total.observation_age.p50_s == pytest.approx(3.0 / FPS, rel=0.02)
    assert largest(late.total.chunk_error) < FLOAT32


def test_a_run_that_is_stopped_is_partial(tmp_path: Path) -> None:
    looks = iter(range(1000))
    result = evaluate(datasets.write_dataset(tmp_path / "set"), stopped=lambda: next(looks) > 10)
    assert result.status == PARTIAL
    assert result.reasons == ("interrupted: 1 of 2 episodes were not evaluated",)
    assert result.episodes[0].reasons[0].startswith("interrupted after 0.5 s")


def test_a_policy_that_renames_its_inputs_reads_them_under_their_own_names(tmp_path: Path) -> None:
    root = datasets.write_dataset(tmp_path / "set", state_key="observation.qpos")
    backend = KnowingBackend(replace(SPEC, state_key="observation.qpos"))
    assert evaluate(root, backend).status == COMPLETE
    assert backend.inputs[3]["observation.qpos"] == pytest.approx(datasets.states(0, 3))


def test_joints_that_are_not_measured_start_where_they_are_commanded_to_be(tmp_path: Path) -> None:
    root = datasets.write_dataset(tmp_path / "set", state_names=("x", "y", "grip"))
    result = evaluate(root, merges="all")
    assert result.status == COMPLETE
    assert "not measured: pan, lift;" in result.episodes[0].notes[1]
    assert largest(result.total.by_merge["latest"].executed) < FLOAT32


def test_everything_that_does_not_fit_is_said_at_once_with_both_sides(tmp_path: Path) -> None:
    spec = PolicySpec(
        CHUNK_SIZE, 4, (ImageSpec(CAMERA, 480, 640), ImageSpec("observation.images.side", 32, 64)), state_dim=5
    )
    with pytest.raises(ConfigurationError) as refused:
        evaluate(datasets.write_dataset(tmp_path / "set"), KnowingBackend(spec))
    said = str(refused.value)
    assert "4 problems" in said
    assert "observation.state: the policy reads 5 numbers, the data set has float32 (3,)" in said
    assert f"{CAMERA}: the policy reads images (480, 640, 3), the data set has video (32, 64, 3)" in said
    assert "observation.images.side: the policy reads images (32, 64, 3), the data set has no such feature" in said
    assert "action: the policy commands 4 numbers, the data set has float32 (3,)" in said


@pytest.mark.parametrize(("module", "stored"), [("pyarrow", "image"), ("av", "video")])
def test_a_package_that_is_missing_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str, stored: str
) -> None:
    root = datasets.write_dataset(tmp_path / "set", V21, stored)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'act_inference_ros\[datasets\]'"):
        evaluate(root)


def write_long(root: Path, length: int) -> Path:
    """One episode of noise, of 36 kB a frame as PNG, in one group of rows."""
    datasets.write_dataset(root, V21, "image", lengths=(length,))
    random = np.random.default_rng(1)
    noise = random.integers(0, 256, (96, 128, 3), dtype=np.uint8)
    pictures = [{"bytes": datasets.png(np.roll(noise, i, axis=1)), "path": ""} for i in range(length)]
    table = datasets.episode_table(0, length, 0, "image", columns={CAMERA: pictures})
    parquet.write_table(table, root / "data/chunk-000/episode_000000.parquet", row_group_size=length)
    datasets.edit_feature(root, CAMERA, shape=[96, 128, 3])
    return root


def peak_bytes(root: Path) -> int:
    """The most that reading it held, of Python's memory and of Arrow's."""
    info = read_info(root)
    entry = read_episodes(info)[0]
    peak = 0
    tracemalloc.start()
    try:
        with EpisodeFrames(info, entry, [CAMERA, STATE, "action"]) as source:
            for frame in source.frames():
                assert frame.images
                peak = max(peak, tracemalloc.get_traced_memory()[0] + pa.total_allocated_bytes())
        assert source.problems == []
    finally:
        tracemalloc.stop()
    return peak


def test_an_episode_five_times_as_long_takes_no_more_memory(tmp_path: Path) -> None:
    """The images alone of the longer one are 27 MB, in one group of rows."""
    short, long = write_long(tmp_path / "short", 150), write_long(tmp_path / "long", 750)
    assert peak_bytes(long) < peak_bytes(short) + 3e6


@pytest.mark.skipif(not REAL.is_dir(), reason="the real robot's data is not part of the repository")
def test_a_real_robots_data_set_is_evaluated() -> None:
    table = parquet.read_table(REAL / "data/chunk-000/episode_000000.parquet", columns=["action"])
    recorded = np.array(table["action"].to_pylist(), dtype=np.float32)
    cameras = [f"observation.images.cam_{name}" for name in ("high", "left_wrist", "right_wrist")]

    class Counting(KnowingBackend):
        """Predicts what was recorded: every sixth frame is asked for once, in order."""

        def infer(self, inputs: Any, request_id: str = "") -> Any:
            self.inputs.append({"observation.qpos": inputs["observation.qpos"]})
            rows = np.minimum(6 * len(self.inputs) - 6 + np.arange(CHUNK_SIZE), len(recorded) - 1)
            return recorded[rows]

    spec = PolicySpec(
        CHUNK_SIZE, 14, tuple(ImageSpec(key, 480, 640) for key in cameras), 14, state_key="observation.qpos"
    )
    result = evaluate(REAL, Counting(spec), stride=6)
    assert (result.status, result.episodes[0].reasons) == (COMPLETE, ())
    assert (result.episodes[0].messages, result.total.chunks) == (398, 67)
    assert largest(result.total.chunk_error) < FLOAT32
    assert list(result.total.chunk_error)[:2] == ["left.j0", "left.j1"]
