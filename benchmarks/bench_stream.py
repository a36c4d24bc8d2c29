"""How regularly policy_node publishes a stream of 100 commands a second while it infers without a pause.

The real node runs the standard ACT (ResNet-18, 512, chunks of 100, 640x480 images) with random weights as fast as the
machine can: with the inference in a process of its own (the node's default), in the node's own, and in a process of its
own beside a node with real-time priority (`thread_priority`), where this user may have that. Baseline: `idle`, the same
node with a policy that computes nothing. A third process receives the stream over DDS. The periods are those between
the middleware's stamps of the commands: when the node wrote them, and when they reached the receiver. The kinds take
turns.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # so that it also runs as a script

import numpy as np  # noqa: E402

from act_inference_ros.errors import ActInferenceError  # noqa: E402
from act_inference_ros.program.processes import ManagedProcess  # noqa: E402
from benchmarks.others import Others, verdict  # noqa: E402
from benchmarks.program import RESULTS, count, machine, peak_memory_mb, run, write_results  # noqa: E402
from benchmarks.real_time import PRIORITY, may_have_priority  # noqa: E402
from benchmarks.robot_stand import node_arguments, running_robot  # noqa: E402
from benchmarks.standard_act import write_checkpoint  # noqa: E402
from benchmarks.stream_parts import RATE, WARM_UP_S, stream_parameters  # noqa: E402

PERIOD_MS = 1e3 / RATE
DEVIATION_TARGET_MS = 0.8
P99_TARGET_MS = {1: 2.5, 4: 3.5}
"""Number of cameras -> allowed excess over the period; for inference in a separate process, on a quiet machine."""
START_S = 300.0
"""Longest wait for the first command; the policy is loaded meanwhile, and perhaps exported."""
ROUNDS = 3
IDLE, PROCESS, THREAD, REAL_TIME = KINDS = ("idle", "process", "thread", "real-time")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one camera, one round of 5 s")
    parser.add_argument("--seconds", type=count, default=None, help="length of a round, s (default 15, quick 5)")
    parser.add_argument("--rounds", type=count, default=None, help=f"rounds of each kind (default {ROUNDS}, quick 1)")
    parser.add_argument("--cameras", type=int, nargs="+", choices=P99_TARGET_MS, help="default: 1 4, quick 1")
    parser.add_argument("--engine", default="torch", help="the node's parameter (default: torch)")
    parser.add_argument("--precision", default="float32", help="the node's parameter (default: float32)")
    parser.add_argument("--output", type=Path, default=RESULTS / "stream.json")
    arguments = parser.parse_args()
    quick = arguments.quick
    seconds = arguments.seconds or (5 if quick else 15)
    rounds = arguments.rounds or (1 if quick else ROUNDS)
    policy = {"engine": arguments.engine, "precision": arguments.precision}
    runs = []
    for cameras in arguments.cameras or ((1,) if quick else (1, 4)):
        runs += measure(cameras, rounds, seconds, policy)
    results = {**policy, "period_ms": PERIOD_MS, "seconds": seconds, "rounds": rounds, **machine()}
    write_results(arguments.output, {**results, "runs": runs})
    return 0


def measure(cameras: int, rounds: int, seconds: float, policy: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return the results of each kind."""
    noted: dict[str, list[dict[str, Any]]] = {kind: [] for kind in kinds_here(KINDS)}
    with tempfile.TemporaryDirectory() as directory:
        checkpoint = Path(directory) / "checkpoint"
        write_checkpoint(checkpoint, cameras)
        for _ in range(rounds):
            for kind, so_far in noted.items():
                parameters = stream_parameters(cameras, checkpoint=str(checkpoint), **policy, **node_settings(kind))
                so_far.append(one_round(kind, cameras, seconds, parameters, Path(directory) / "cache"))
    runs = []
    for kind, of_kind in noted.items():
        runs.append({"cameras": cameras, "inference": kind, **summary(of_kind)})
        runs[-1] |= beside_idle(runs[-1]["published"], runs[0]["published"])
        if kind in (PROCESS, REAL_TIME):
            runs[-1] |= judgement(runs[-1], runs[0])
        report(runs[-1])
    return runs


def kinds_here(kinds: Sequence[str]) -> list[str]:
    """Return the kinds that can be measured here; says which cannot."""
    if REAL_TIME not in kinds or may_have_priority(PRIORITY):
        return list(kinds)
    print(f"{REAL_TIME}: not run, this user may have no real-time priority", flush=True)
    return [kind for kind in kinds if kind != REAL_TIME]


def node_settings(kind: str) -> dict[str, Any]:
    """The node's parameters for a kind; `idle` has no inference to keep apart."""
    return {
        "isolation": THREAD if kind == THREAD else PROCESS,
        "thread_priority": PRIORITY if kind == REAL_TIME else 0,
    }


def one_round(
    kind: str,
    cameras: int,
    seconds: float,
    parameters: Mapping[str, Any],
    cache: Path,
    beside: Mapping[str, Sequence[str]] = MappingProxyType({}),
) -> dict[str, Any]:
    """Return the receiver's notes, the node's peak memory, and other programs' share of the processor.

    A temporary export of the policy is cached in `cache`. `beside` is what else runs: module -> its arguments.
    """
    others = Others()
    part = [sys.executable, "-m", "benchmarks.stream_parts"]
    own = [str(cameras), str(seconds)]
    node = [sys.executable, "-m", "act_inference_ros.ros.policy.policy_node", *node_arguments(parameters)]
    with running_robot(cameras, len(parameters["state.joints"]), listens=False) as environment:
        environment["XDG_CACHE_HOME"] = str(cache)
        log = Path(environment["ROS_LOG_DIR"]) / "receiver.txt"
        with (
            contextlib.ExitStack() as stack,
            ManagedProcess("receiver", [*part, "receiver", *own], environment, log) as receiver,
            ManagedProcess("policy_node", [*part, IDLE, *own] if kind == IDLE else node, environment, None) as running,
        ):
            for module, options in beside.items():
                log = Path(environment["ROS_LOG_DIR"]) / f"{module}.txt"
                stack.enter_context(ManagedProcess.module(module, options, environment, log))
            until = time.monotonic() + START_S + WARM_UP_S + seconds
            while (status := receiver.wait(0.2)) is None:
                if running.returncode is not None:
                    raise ActInferenceError(f"policy_node ended with exit status {running.returncode}")
                if time.monotonic() > until:
                    said = (receiver.last_lines().splitlines() or ["nothing"])[-1]
                    raise ActInferenceError(f"policy_node did not command the arm in {START_S:g} s; it said: {said}")
            if status != 0:
                raise ActInferenceError(f"the receiver failed: {receiver.last_lines()}")
            noted: dict[str, Any] = json.loads(list(receiver.lines())[-1])
            return {**noted, "node_peak_memory_mb": peak_memory_mb(running.pid), "others": others.share()}


def summary(rounds: list[dict[str, Any]]) -> dict[str, Any]:
    """Figures of all rounds together; a period never reaches from one round into the next."""
    found: dict[str, Any] = {"commands": sum(len(each["published"]) for each in rounds)}
    for name in ("published", "received"):
        periods_ms = np.concatenate([np.diff(each[name]) for each in rounds]) * 1e-6
        found[name] = {
            "deviation_ms": float(periods_ms.std()),
            "p50_ms": float(np.median(periods_ms)),
            "p99_ms": float(np.percentile(periods_ms, 99)),
            "max_ms": float(periods_ms.max()),
        }
    found["chunks_per_s"] = float(np.mean([each["chunks_per_s"] for each in rounds]))
    found["states"] = sorted({state for each in rounds for state in each["states"]})
    found["node_peak_memory_mb"] = max(each["node_peak_memory_mb"] for each in rounds)
    found["others"] = max(each["others"] for each in rounds)
    return found


def beside_idle(published: Mapping[str, float], idle: Mapping[str, float]) -> dict[str, float]:
    """Return what inference adds to the idle node's figures; this is useful even on a busy machine."""
    return {
        "deviation_of_idle": published["deviation_ms"] / idle["deviation_ms"],
        "p99_beyond_idle_ms": published["p99_ms"] - idle["p99_ms"],
    }


def judgement(run: Mapping[str, Any], idle: Mapping[str, Any]) -> dict[str, Any]:
    """Return the target, and whether it was met, as published and as received.

    If the node misses it without any inference, the machine cannot show anything about inference.
    """
    targets = {"deviation_ms": DEVIATION_TARGET_MS, "p99_ms": PERIOD_MS + P99_TARGET_MS[run["cameras"]]}
    if run["states"] != ["commanding"]:
        return {"targets": targets, "verdict": f"not judged: the node was {', '.join(run['states']) or 'silent'}"}
    if not meets(idle, targets):
        return {"targets": targets, "verdict": "not judged: on this machine the idle node misses them, too"}
    return {"targets": targets, "verdict": verdict(meets(run, targets), run["others"])}


def meets(run: Mapping[str, Any], targets: Mapping[str, float]) -> bool:
    return all(run[name][figure] <= target for name in ("published", "received") for figure, target in targets.items())


def report(run: Mapping[str, Any]) -> None:
    figures = "; ".join(
        f"{name} with deviation {run[name]['deviation_ms']:.2f} ms, p99 {run[name]['p99_ms']:.1f} ms"
        for name in ("published", "received")
    )
    print(
        f"{run['cameras']} camera(s), {run['inference']:9}: {figures}; {run['chunks_per_s']:.1f} chunks/s", flush=True
    )
    if run["inference"] != IDLE:
        print(
            f"  beside idle: deviation {run['deviation_of_idle']:.2f} times, p99 {run['p99_beyond_idle_ms']:+.1f} ms",
            flush=True,
        )
    if "targets" in run:
        deviation_ms, p99_ms = run["targets"].values()
        print(f"  targets: deviation {deviation_ms:g} ms, p99 {p99_ms:g} ms: {run['verdict']}", flush=True)


if __name__ == "__main__":
    sys.exit(run(main))
