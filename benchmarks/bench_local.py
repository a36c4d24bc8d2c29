"""Local mode with every engine and precision against the same network written plainly, on this machine, in one run.

Baseline: `plain ACT` (test/plain_act.py): the operations of LeRobot's eager model in float32, contiguous images, batch
norms unfolded, nothing precomputed. For each engine and precision, the plain network, an inference in this process and
one in a separate process take turns, with the same weights, observation and threads. The result is the ratio of
medians, because it depends little on the machine's speed. Each time has the chunk's error against the plain one beside
it. Combinations that do not run here are listed with the reason. The weights are random.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # so that it also runs as a script

import numpy as np  # noqa: E402
import numpy.typing as npt  # noqa: E402

from act_inference_ros.errors import ActInferenceError  # noqa: E402
from act_inference_ros.inference.client import InferenceClient  # noqa: E402
from act_inference_ros.interfaces import ONNXRUNTIME, PRECISIONS, PROCESS, THREAD, TORCH  # noqa: E402
from act_inference_ros.program import exit_status  # noqa: E402
from act_inference_ros.program.processor import BFLOAT16_FLAGS, instructions  # noqa: E402
from benchmarks.others import Others, verdict  # noqa: E402
from benchmarks.program import RESULTS, count, machine, run, write_results  # noqa: E402
from benchmarks.standard_act import observation_of, plain_policy, write_checkpoint  # noqa: E402

EAGER_TARGET, COMPILED_TARGET = 0.85, 0.70
ONNXRUNTIME_TARGET = {1: 0.66, 4: 0.66}
BFLOAT16_TARGET = {1: 0.38, 4: 0.42}
"""Number of cameras -> ratio to plain ACT, on a processor; bfloat16 where it has instructions for that."""
PROVIDERS = {"cpu": ("cpu", "openvino"), "cuda": ("cuda", "tensorrt")}
PAUSE_S = 0.02
"""Pause before each chunk, because threads of the last one may spin for a while."""
LONGEST_S = 120.0
"""Longest time for one engine in one precision; a slower one is measured with fewer chunks, at least FEWEST."""
FEWEST = 3


@dataclass(frozen=True)
class Candidate:
    """What is measured; `provider` is empty for torch."""

    engine: str
    precision: str
    provider: str = ""
    compile: bool = False

    def __str__(self) -> str:
        name = f"{self.engine} ({self.provider})" if self.provider else self.engine
        return f"{name} {self.precision}{', compiled' if self.compile else ''}"


def candidates(device: str, quick: bool) -> list[Candidate]:
    """Return every engine and provider in every precision; quick: only those with a target, and nothing compiled."""
    torch_ones = [Candidate(TORCH, precision) for precision in PRECISIONS]
    compiled = [Candidate(TORCH, "float32", compile=True)]
    others = [Candidate(ONNXRUNTIME, precision, p) for p in PROVIDERS[device] for precision in PRECISIONS]
    return [*torch_ones[:2], others[0]] if quick else [*torch_ones[:1], *compiled, *torch_ones[1:], *others]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one camera, few engines and repetitions")
    parser.add_argument("--repeat", type=count, default=None, help="chunks of each kind (default 15, quick 5)")
    parser.add_argument("--cameras", type=count, nargs="+", default=None, help="default: 1 4, quick 1")
    parser.add_argument("--threads", type=count, default=min(2, os.cpu_count() or 1), help="CPU threads")
    parser.add_argument("--device", choices=PROVIDERS, default="cpu", help="cuda: the first GPU (default: cpu)")
    parser.add_argument("--output", type=Path, default=None, help="default: benchmarks/results/local[_cuda].json")
    arguments = parser.parse_args()
    quick, device = arguments.quick, arguments.device
    if device == "cuda":
        from act_inference_ros.inference.local.torch_engine import choose_device

        choose_device(device)  # raises where there is none
    repeat = arguments.repeat or (5 if quick else 15)
    settings = {"device": device, "threads": arguments.threads, "repeat": repeat, **machine()}
    runs = []
    for cameras in arguments.cameras or ((1,) if quick else (1, 4)):
        with tempfile.TemporaryDirectory() as directory:
            setting = Setting(Path(directory), cameras, device, arguments.threads, repeat)
            for candidate in candidates(device, quick):
                runs.append({"cameras": cameras, **asdict(candidate), **measured(setting, candidate)})
                report(candidate, runs[-1])
    name = "local.json" if device == "cpu" else f"local_{device}.json"
    write_results(arguments.output or RESULTS / name, {**settings, "runs": runs})
    return exit_status.FAULT if any(run.get("unforeseen") for run in runs) else exit_status.OK


class Setting:
    """A policy in `directory`, as a checkpoint and exported, and the plain network with the same weights."""

    def __init__(self, directory: Path, cameras: int, device: str, threads: int, repeat: int) -> None:
        self.cameras, self.device, self.threads, self.repeat = cameras, device, threads, repeat
        self.checkpoint = directory / "checkpoint"
        write_checkpoint(self.checkpoint, cameras)
        self.observation = observation_of(cameras)
        self.plain = plain_policy(self.checkpoint, device, threads)
        self.right: npt.NDArray[Any] = plain_policy(self.checkpoint, threads=threads)(self.observation)
        """The expected answer of each engine: the plain network's chunk, computed by the processor."""
        self._directory = directory
        self._exports: dict[str, Path] = {}

    def exported(self, precision: str) -> Path:
        """An exported repository; TensorRT and OpenVINO make bfloat16 of a float32 graph themselves."""
        from act_inference_ros.serving.export import export_policy

        precision = "float32" if precision == "bfloat16" else precision
        if precision not in self._exports:
            repository = self._directory / f"exported_{precision}"
            export_policy(str(self.checkpoint), repository, precision=precision, log=lambda _line: None)
            self._exports[precision] = repository
        return self._exports[precision]

    @contextlib.contextmanager
    def client(self, candidate: Candidate, isolation: str) -> Iterator[InferenceClient]:
        on_torch = candidate.engine == TORCH
        with InferenceClient.create(
            "local",
            checkpoint=self.checkpoint if on_torch else self.exported(candidate.precision),
            device=self.device,
            precision=candidate.precision,
            compile=candidate.compile,
            threads=self.threads,
            engine=candidate.engine,
            providers=candidate.provider or "auto",
            isolation=isolation,
            niceness=0,  # what the process costs is asked, not how much it yields to others
        ) as client:
            yield client


def measured(setting: Setting, candidate: Candidate) -> dict[str, Any]:
    """The figures, or why there are none."""
    try:
        return measure(setting, candidate)
    except ActInferenceError as error:
        return {"does_not_run": str(error).splitlines()[0]}
    except Exception as error:  # perhaps from one provider; the others can still be measured
        first_line = (str(error).splitlines() or [""])[0]
        return {"does_not_run": f"{type(error).__name__}: {first_line}", "unforeseen": True}


def measure(setting: Setting, candidate: Candidate) -> dict[str, Any]:
    """Seconds per chunk here and in a process of its own, as ratios to the plain network's; the chunk's error."""
    with (
        setting.client(candidate, THREAD) as here,
        setting.client(candidate, PROCESS) as apart,
    ):
        chunk = here.predict(setting.observation)
        calls = {"plain": setting.plain, THREAD: here.predict, PROCESS: apart.predict}
        others = Others()
        times = alternated(calls, setting.observation, setting.repeat)
        share = others.share()
        facts = dict(here.facts)
    error = float(np.abs(chunk - setting.right).max())
    figures: dict[str, Any] = {"plain_chunk_s": statistics.median(times["plain"])}
    for name in (THREAD, PROCESS):
        figures[name] = {
            "chunk_s": statistics.median(times[name]),
            "chunk_min_s": min(times[name]),
            "ratio": statistics.median(times[name]) / figures["plain_chunk_s"],
            "ratio_of_fastest": min(times[name]) / min(times["plain"]),  # what is left of it on a busy machine
        }
    figures["process_adds_s"] = figures[PROCESS]["chunk_s"] - figures[THREAD]["chunk_s"]
    figures |= {
        "max_error": error,
        "max_error_of_range": error / float(np.ptp(setting.right)),
        "others": share,
        "facts": facts,
    }
    wanted = target(candidate, setting.cameras, setting.device)
    if wanted is not None:
        figures |= {"target": wanted, "verdict": verdict(figures[THREAD]["ratio"] <= wanted, share)}
    return figures


def alternated(calls: Mapping[str, Callable[..., Any]], observation: Any, repeat: int) -> dict[str, list[float]]:
    """Seconds of each call, in turns, after one of each that does not count."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    until = time.monotonic() + LONGEST_S
    for index in range(repeat + 1):
        for name, call in calls.items():
            time.sleep(PAUSE_S)
            start = time.perf_counter()
            call(observation)
            if index > 0:
                times[name].append(time.perf_counter() - start)
        if index >= FEWEST and time.monotonic() > until:
            break
    return times


def target(candidate: Candidate, cameras: int, device: str) -> float | None:
    """Return the target for the ratio; None if there is none."""
    if device != "cpu":
        return None
    if candidate.precision == "bfloat16":
        return BFLOAT16_TARGET.get(cameras) if instructions(BFLOAT16_FLAGS) else None
    if candidate.precision != "float32":
        return None
    if candidate.engine == TORCH:
        return COMPILED_TARGET if candidate.compile else EAGER_TARGET
    return ONNXRUNTIME_TARGET.get(cameras)


def report(candidate: Candidate, run: Mapping[str, Any]) -> None:
    head = f"{run['cameras']} camera(s), {candidate}"
    if "does_not_run" in run:
        print(f"{head}: does not run here: {run['does_not_run']}", flush=True)
        return
    thread = run[THREAD]
    wanted = f", target {run['target']:.2f}: {run['verdict']}" if "target" in run else ""
    print(
        f"{head}: {thread['chunk_s'] * 1e3:.0f} ms, plain ACT {run['plain_chunk_s'] * 1e3:.0f} ms, "
        f"ratio {thread['ratio']:.2f} (of the fastest {thread['ratio_of_fastest']:.2f}{wanted}); "
        f"a process adds {run['process_adds_s'] * 1e3:.1f} ms; error {run['max_error']:.1e}, "
        f"{run['max_error_of_range']:.2%} of the range",
        flush=True,
    )


if __name__ == "__main__":
    sys.exit(run(main))
