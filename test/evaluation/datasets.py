"""Small LeRobot data sets of both versions, written with pyarrow and PyAV, and a policy whose output is known."""

import io
import json
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from types import MappingProxyType
from typing import Any

import av
import numpy as np
import numpy.typing as npt
import pyarrow as pa
from PIL import Image
from pyarrow import parquet

from act_inference_ros.inference.client import InferenceClient
from act_inference_ros.spec import ImageSpec, PolicySpec
from test.plain_backend import PlainBackend

V21, V30 = "v2.1", "v3.0"
FPS = 20
HEIGHT, WIDTH = 32, 64
BLOCK = 8
"""Pixels; a number is drawn as eight black or white squares of this size, which lossy video keeps apart."""
CAMERA = "observation.images.top"
STATE = "observation.state"
JOINTS = ("pan", "lift", "grip")
CHUNK_SIZE = 10
LENGTHS = (30, 24)
SPEC = PolicySpec(CHUNK_SIZE, len(JOINTS), (ImageSpec(CAMERA, HEIGHT, WIDTH),), state_dim=len(JOINTS))

NOTHING: Mapping[str, Any] = MappingProxyType({})

Floats = npt.NDArray[np.float64]
Pixels = npt.NDArray[np.uint8]
Actions = Callable[[int, npt.ArrayLike], Floats]
"""Episode and frames (n,) -> actions (n, joints)."""


def actions(episode: int, frames: npt.ArrayLike) -> Floats:
    """Return the operator's positions, from rest, so that a plan can follow them; different per joint and episode."""
    since = np.maximum(np.asarray(frames, dtype=np.float64) / FPS - 0.2, 0.0)
    t = since**3 / (since**2 + 0.1) + 3.0 * episode
    rows = np.stack([0.6 * np.sin(1.3 * t), 0.5 * np.cos(0.9 * t), 0.1 * np.sin(2.1 * t)], axis=-1)
    return rows.astype(np.float32).astype(np.float64)


def states(episode: int, frames: npt.ArrayLike) -> Floats:
    """Return the measured positions: one frame behind the actions, like an arm."""
    return actions(episode, np.asarray(frames) - 1)


def picture(episode: int, frame: int, height: int = HEIGHT, width: int = WIDTH) -> Pixels:
    """Return an image that shows its frame (first row of squares) and its episode (second row)."""
    pixels = np.full((height, width, 3), 128, dtype=np.uint8)
    for row, number in enumerate((frame, episode)):
        for bit in range(8):
            square = pixels[row * BLOCK : (row + 1) * BLOCK, bit * BLOCK : (bit + 1) * BLOCK]
            square[...] = 235 if number >> bit & 1 else 20
    return pixels


def seen(pixels: Pixels) -> tuple[int, int]:
    """(episode, frame) that `picture` drew."""
    middles = pixels[BLOCK // 2 : 2 * BLOCK : BLOCK, BLOCK // 2 : 8 * BLOCK : BLOCK, 1] > 128
    frame, episode = (middles * (1 << np.arange(8))).sum(axis=1).tolist()
    return episode, frame


class KnowingBackend(PlainBackend):
    """Reads episode and frame from the image, and predicts the actions of this frame and the following ones."""

    def __init__(self, spec: PolicySpec = SPEC, function: Actions = actions) -> None:
        self.spec = spec
        self.function = function
        self.inputs: list[dict[str, Any]] = []

    def infer(self, inputs: Mapping[str, Any], request_id: str = "") -> npt.NDArray[np.float32]:
        self.inputs.append(dict(inputs))
        episode, frame = seen(inputs[self.spec.images[0].key])
        return self.function(episode, frame + np.arange(self.spec.chunk_size)).astype(np.float32)


def client(spec: PolicySpec = SPEC, function: Actions = actions) -> InferenceClient:
    return InferenceClient(KnowingBackend(spec, function))


def vector(length: int, names: Any, dtype: str = "float32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": [length], "names": names}


def camera(dtype: str, height: int = HEIGHT, width: int = WIDTH) -> dict[str, Any]:
    return {"dtype": dtype, "shape": [height, width, 3], "names": ["height", "width", "channels"]}


def features(stored: str, state_key: str = STATE, state_names: Any = JOINTS) -> dict[str, Any]:
    own = {name: vector(1, None, "int64") for name in ("frame_index", "episode_index", "index", "task_index")}
    return {
        CAMERA: camera(stored),
        state_key: vector(len(JOINTS), list(state_names) if state_names else None),
        "action": vector(len(JOINTS), {"motors": list(JOINTS)}),
        "timestamp": vector(1, None),
        **own,
    }


def png(pixels: Pixels) -> bytes:
    data = io.BytesIO()
    Image.fromarray(pixels).save(data, format="PNG")
    return data.getvalue()


def write_video(path: Path, pictures: Sequence[Pixels], fps: int = FPS, key_frames: int = 2) -> None:
    """Write an h264 mp4 with a key frame every `key_frames`; its index comes first, so that a truncated file opens."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", options={"movflags": "faststart"}) as container:
        stream = container.add_stream("h264", rate=fps, options={"g": str(key_frames), "crf": "10"})
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt, stream.time_base = "yuv420p", Fraction(1, fps)
        for pts, pixels in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts = pts
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def episode_table(
    episode: int, length: int, first: int, stored: str, state_key: str = STATE, columns: Mapping[str, Any] = NOTHING
) -> pa.Table:
    """Return the rows of an episode; `columns` replace the default columns (None: no such column)."""
    frames = np.arange(length)
    made: dict[str, Any] = {
        state_key: pa.array(list(states(episode, frames).astype(np.float32)), pa.list_(pa.float32())),
        "action": pa.array(list(actions(episode, frames).astype(np.float32)), pa.list_(pa.float32())),
        "timestamp": pa.array((frames / FPS).astype(np.float32)),
        "frame_index": frames,
        "episode_index": np.full(length, episode),
        "index": first + frames,
        "task_index": np.zeros(length, dtype=np.int64),
    }
    if stored == "image":
        made[CAMERA] = [{"bytes": png(picture(episode, i)), "path": f"frame-{i:06d}.png"} for i in range(length)]
    made.update(columns)
    return pa.table({name: column for name, column in made.items() if column is not None})


def write_table(path: Path, table: pa.Table) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(table, path)


def write_dataset(
    root: Path,
    version: str = V21,
    stored: str = "video",
    lengths: Sequence[int] = LENGTHS,
    state_key: str = STATE,
    state_names: Any = JOINTS,
) -> Path:
    """A data set of episodes of these lengths, laid out as LeRobot does; returns its directory."""
    described = features(stored, state_key, state_names)
    info = {
        "codebase_version": version,
        "robot_type": "test",
        "total_episodes": len(lengths),
        "total_frames": sum(lengths),
        "total_tasks": 1,
        "chunks_size": 1000,
        "fps": FPS,
        "splits": {"train": f"0:{len(lengths)}"},
        "features": described,
        "video_path": None,
    }
    (root / "meta").mkdir(parents=True)
    (root / "meta/info.json").write_text(json.dumps(info))
    firsts = [sum(lengths[:i]) for i in range(len(lengths))]
    tables = [
        episode_table(i, n, first, stored, state_key) for i, (n, first) in enumerate(zip(lengths, firsts, strict=True))
    ]
    pictures = [[picture(i, frame) for frame in range(n)] for i, n in enumerate(lengths)]
    if version == V21:
        _write_v21(root, stored, lengths, tables, pictures)
    else:
        _write_v30(root, stored, lengths, firsts, tables, pictures)
    return root


def _write_v21(
    root: Path, stored: str, lengths: Sequence[int], tables: Sequence[pa.Table], pictures: Sequence[Sequence[Pixels]]
) -> None:
    lines = [{"episode_index": i, "tasks": ["lift the cube"], "length": n} for i, n in enumerate(lengths)]
    (root / "meta/episodes.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    for i, table in enumerate(tables):
        write_table(root / f"data/chunk-000/episode_{i:06d}.parquet", table)
        if stored == "video":
            write_video(root / f"videos/chunk-000/{CAMERA}/episode_{i:06d}.mp4", pictures[i])


def _write_v30(
    root: Path,
    stored: str,
    lengths: Sequence[int],
    firsts: Sequence[int],
    tables: Sequence[pa.Table],
    pictures: Sequence[Sequence[Pixels]],
) -> None:
    zeros = [0] * len(lengths)
    columns: dict[str, Any] = {
        "episode_index": list(range(len(lengths))),
        "tasks": [["lift the cube"]] * len(lengths),
        "length": list(lengths),
        "data/chunk_index": zeros,
        "data/file_index": zeros,
        "dataset_from_index": list(firsts),
        "stats/action/max": [[1.0]] * len(lengths),
    }
    if stored == "video":
        columns |= {f"videos/{CAMERA}/chunk_index": zeros, f"videos/{CAMERA}/file_index": zeros}
        columns |= {f"videos/{CAMERA}/from_timestamp": [first / FPS for first in firsts]}
        write_video(root / f"videos/{CAMERA}/chunk-000/file-000.mp4", [each for part in pictures for each in part])
    write_table(root / "meta/episodes/chunk-000/file-000.parquet", pa.table(columns))
    write_table(root / "data/chunk-000/file-000.parquet", pa.concat_tables(tables))


def edit_info(root: Path, **changes: Any) -> None:
    """Change entries of meta/info.json; None removes one."""
    path = root / "meta/info.json"
    info = {**json.loads(path.read_text()), **changes}
    path.write_text(json.dumps({name: value for name, value in info.items() if value is not None}))


def edit_feature(root: Path, key: str, **changes: Any) -> None:
    info = json.loads((root / "meta/info.json").read_text())
    info["features"][key].update(changes)
    edit_info(root, features=info["features"])
