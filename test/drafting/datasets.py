"""Small LeRobot data sets for tests, in the layouts of v2.1 and v3.0."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Rows = npt.NDArray[np.float64]


def write_info(root: Path, features: dict[str, Any], fps: float = 20.0) -> None:
    (root / "meta").mkdir(parents=True, exist_ok=True)
    info = {"codebase_version": "v2.1", "fps": fps, "features": features}
    (root / "meta" / "info.json").write_text(json.dumps(info))


def vector(names: Any, dim: int) -> dict[str, Any]:
    return {"dtype": "float32", "shape": [dim], "names": names}


def statistics_of(rows: Rows) -> dict[str, Any]:
    return {"min": rows.min(axis=0).tolist(), "max": rows.max(axis=0).tolist(), "count": [len(rows)]}


def write_v21(root: Path, joints: list[str], episodes: list[Rows], parquet: bool = True) -> Path:
    """State and action alike, an episode (frames, n) in each file; without `parquet` only what meta/ has."""
    write_info(root, {key: vector(joints, len(joints)) for key in ("observation.state", "action")})
    lines = [
        json.dumps({"episode_index": i, "stats": dict.fromkeys(("observation.state", "action"), statistics_of(rows))})
        for i, rows in enumerate(episodes)
    ]
    (root / "meta" / "episodes_stats.jsonl").write_text("\n".join(lines) + "\n")
    for i, rows in enumerate(episodes if parquet else ()):
        write_table(root / "data" / "chunk-000" / f"episode_{i:06d}.parquet", [rows])
    return root


def write_v30(root: Path, joints: list[str], episodes: list[Rows]) -> Path:
    """All episodes in one file, the statistics in another."""
    write_info(root, {key: vector({"motors": joints}, len(joints)) for key in ("observation.state", "action")})
    everything = statistics_of(np.concatenate(episodes))
    (root / "meta" / "stats.json").write_text(json.dumps({"observation.state": everything, "action": everything}))
    write_table(root / "data" / "chunk-000" / "file-000.parquet", episodes)
    return root


def write_table(path: Path, episodes: list[Rows]) -> None:
    import pyarrow
    import pyarrow.parquet

    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [row for each in episodes for row in each.tolist()]
    frames = [index for each in episodes for index in range(len(each))]
    pyarrow.parquet.write_table(pyarrow.table({"observation.state": rows, "action": rows, "frame_index": frames}), path)
