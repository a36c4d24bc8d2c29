"""How long a policy takes from a process's start to its first chunk, and in how much memory.

Each start is a fresh process that does nothing else, for the standard ACT with random weights: with torch, and with
onnxruntime from a cached export and from an exported repository; and with the inference in a process of its own, where
the memory is that of the process that asks. The kinds take turns; one start of each comes first, so that files are in
the page cache and the export is cached. At last the real policy_node with its inference in a process of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # so that it also runs as a script

from act_inference_ros.errors import ActInferenceError  # noqa: E402
from act_inference_ros.interfaces import ONNXRUNTIME, PROCESS, TORCH  # noqa: E402
from benchmarks.bench_stream import one_round  # noqa: E402
from benchmarks.others import Others, verdict  # noqa: E402
from benchmarks.program import RESULTS, count, machine, run, write_results  # noqa: E402
from benchmarks.standard_act import write_checkpoint  # noqa: E402
from benchmarks.stream_parts import stream_parameters  # noqa: E402

START_TARGET_S, ONNXRUNTIME_TARGET_MB, TORCH_TARGET_MB, NODE_TARGET_MB = 1.0, 350.0, 800.0, 150.0
LONGEST_S = 300.0
"""Longest time of one start, including the export in the first one."""


class Kind(NamedTuple):
    """A way of starting: the client's options, and its targets (None: no target)."""

    name: str
    options: Mapping[str, Any]
    target_s: float | None = None
    target_mb: float | None = None


def kinds(checkpoint: Path, repository: Path, threads: int) -> list[Kind]:
    given = {"device": "cpu", "threads": threads}
    torch = {**given, "engine": TORCH, "checkpoint": str(checkpoint)}
    cached = {**given, "engine": ONNXRUNTIME, "checkpoint": str(checkpoint)}
    exported = {**cached, "checkpoint": str(repository)}
    return [
        Kind("torch", torch, None, TORCH_TARGET_MB),
        Kind("onnxruntime, cached export", cached, START_TARGET_S, ONNXRUNTIME_TARGET_MB),
        Kind("onnxruntime, exported repository", exported, START_TARGET_S, ONNXRUNTIME_TARGET_MB),
        Kind("beside torch in a process of its own", {**torch, "isolation": PROCESS}),
        Kind("beside onnxruntime in a process of its own", {**exported, "isolation": PROCESS}),
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="each once, without the node")
    parser.add_argument("--repeat", type=count, default=None, help="starts of each kind (default 5, quick 1)")
    parser.add_argument("--cameras", type=count, default=1, help="of 640x480 pixels (default: 1)")
    parser.add_argument("--threads", type=count, default=min(2, os.cpu_count() or 1), help="CPU threads")
    parser.add_argument("--output", type=Path, default=RESULTS / "start.json")
    arguments = parser.parse_args()
    repeat = arguments.repeat or (1 if arguments.quick else 5)
    results: dict[str, Any] = {"cameras": arguments.cameras, "threads": arguments.threads, **machine()}
    with tempfile.TemporaryDirectory() as directory:
        checkpoint, repository = Path(directory) / "checkpoint", Path(directory) / "exported"
        write_checkpoint(checkpoint, arguments.cameras)
        export(checkpoint, repository)
        ways = kinds(checkpoint, repository, arguments.threads)
        results["starts"] = measure(ways, repeat, Path(directory) / "cache")
        for row in results["starts"]:
            report(row)
        if not arguments.quick:
            results["node"] = measure_node(arguments.cameras, checkpoint)
            report(results["node"])
    write_results(arguments.output, results)
    return 0


def export(checkpoint: Path, repository: Path) -> None:
    from act_inference_ros.serving.export import export_policy

    export_policy(str(checkpoint), repository, log=lambda _line: None)


def measure(ways: list[Kind], repeat: int, cache: Path) -> list[dict[str, Any]]:
    """A row for each kind."""
    rows = {kind.name: [start(kind.options, cache)] for kind in ways}
    others = Others()
    for _ in range(repeat):
        for kind in ways:
            if "does_not_run" not in rows[kind.name][0]:
                rows[kind.name].append(start(kind.options, cache))
    share = others.share()
    return [judged(kind, rows[kind.name], share) for kind in ways]


def start(options: Mapping[str, Any], cache: Path) -> dict[str, Any]:
    """Return seconds from the start of a process, and its peak memory; or why it failed."""
    command = [sys.executable, "-m", "benchmarks.first_chunk", json.dumps(options)]
    environment = os.environ | {"XDG_CACHE_HOME": str(cache), "PYTHONPATH": str(ROOT)}
    began = time.monotonic()
    done = subprocess.run(
        command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=LONGEST_S, check=False
    )
    if done.returncode != 0:
        return {"does_not_run": (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]}
    noted = json.loads(done.stdout.splitlines()[-1])
    seconds = {
        f"{name.removesuffix('_at')}_s": noted[name] - began for name in ("imported_at", "opened_at", "chunk_at")
    }
    return {**seconds, "peak_memory_mb": noted["peak_memory_mb"]}


def judged(kind: Kind, starts: list[dict[str, Any]], share: float) -> dict[str, Any]:
    """Return medians of all starts except the first, and whether they meet the targets."""
    first, *rest = starts
    row: dict[str, Any] = {"kind": kind.name}
    if broken := next((each for each in starts if "does_not_run" in each), None):
        return row | broken
    row |= {name: statistics.median(each[name] for each in rest) for name in first}
    row |= {"first_start_s": first["chunk_s"], "others": share}
    if kind.target_s is not None:
        row |= {"target_s": kind.target_s, "verdict_s": verdict(row["chunk_s"] <= kind.target_s, share)}
    if kind.target_mb is not None:
        row |= memory_verdict(row["peak_memory_mb"], kind.target_mb)
    return row


def memory_verdict(peak_mb: float, target_mb: float) -> dict[str, Any]:
    """Return the verdict on memory, which does not depend on other programs."""
    return {"target_mb": target_mb, "verdict_mb": "met" if peak_mb <= target_mb else "missed"}


def measure_node(cameras: int, checkpoint: Path) -> dict[str, Any]:
    """The peak memory of a policy_node that has commanded an arm for a few seconds."""
    row: dict[str, Any] = {"kind": "policy_node beside torch in a process of its own"}
    try:
        parameters = stream_parameters(cameras, checkpoint=str(checkpoint))
        noted = one_round(PROCESS, cameras, 3.0, parameters, checkpoint.parent / "cache")
    except ActInferenceError as error:
        return row | {"does_not_run": str(error)}
    peak_mb = noted["node_peak_memory_mb"]
    return row | {"peak_memory_mb": peak_mb} | memory_verdict(peak_mb, NODE_TARGET_MB)


def report(row: Mapping[str, Any]) -> None:
    if "does_not_run" in row:
        print(f"{row['kind']}: does not run here: {row['does_not_run']}", flush=True)
        return
    parts = []
    if "chunk_s" in row:
        wanted = f" (target {row['target_s']:g} s: {row['verdict_s']})" if "target_s" in row else ""
        parts.append(f"first chunk after {row['chunk_s']:.2f} s{wanted}")
    wanted = f" (target {row['target_mb']:g} MB: {row['verdict_mb']})" if "target_mb" in row else ""
    parts.append(f"peak memory {row['peak_memory_mb']:.0f} MB{wanted}")
    print(f"{row['kind']}: {', '.join(parts)}", flush=True)


if __name__ == "__main__":
    sys.exit(run(main))
