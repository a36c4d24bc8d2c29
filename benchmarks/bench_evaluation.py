"""How fast bags and data sets are evaluated, inference left out, in how much memory, and how fast a report opens.

A robot with two arms of seven joints (`--robot one_arm`: one of six), one 640x480 camera at 30 Hz, joint states at
90 Hz, a joint_trajectory command of each arm per image, and chunks of 50 steps from a policy that answers at once.

* speed: 10 chunks a second are asked for. Baseline: the bag's own length (real time), and reading every message of it.
* export: the same with every episode written for Foxglove (`--mcap`). Baseline: without.
* memory: a bag of an hour, with images of 64x48 and a chunk a second. Baseline: one of a minute; what must not
  grow is the peak.
* data set: episodes at 30 fps with a chunk for each frame. Baseline: the bags with JPEG images that it was made of.
* report: that of the hour's bag, opened in Chromium. Baseline: the same page without its plots.

Each evaluation runs in a process of its own, after the others, on all cores.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
ALONE = "--alone"
"""The first argument of a process that takes one measurement for another one."""
sys.path.insert(0, str(ROOT))  # so that it also runs as a script

from rosbags.rosbag2 import CompressionMode, StoragePlugin  # noqa: E402

from act_inference_ros.evaluation.bags.bag import Bag  # noqa: E402
from act_inference_ros.evaluation.bags.bag_evaluation import evaluate_bags  # noqa: E402
from act_inference_ros.evaluation.bags.bag_options import EvaluationOptions  # noqa: E402
from act_inference_ros.evaluation.cli.runners import run_settings  # noqa: E402
from act_inference_ros.evaluation.datasets.dataset_evaluation import evaluate_dataset  # noqa: E402
from act_inference_ros.evaluation.datasets.description import read_info  # noqa: E402
from act_inference_ros.evaluation.datasets.index import read_episodes  # noqa: E402
from act_inference_ros.evaluation.export.directory import EpisodeFiles  # noqa: E402
from act_inference_ros.evaluation.report.html_report import write_report  # noqa: E402
from act_inference_ros.evaluation.results import EvaluationResult  # noqa: E402
from act_inference_ros.evaluation.run_settings import RunSettings  # noqa: E402
from act_inference_ros.evaluation.runs import Run  # noqa: E402
from act_inference_ros.evaluation.watch import nobody  # noqa: E402
from benchmarks import evaluation_data as data  # noqa: E402
from benchmarks import report_page  # noqa: E402
from benchmarks.others import Others, verdict  # noqa: E402
from benchmarks.program import RESULTS, count, machine, peak_memory_mb, run, write_results  # noqa: E402

TIMES_REAL_TIME = 10.0
MORE_MEMORY = 1.1
"""Largest ratio of the peak memory with the hour's bag to that with the minute's bag."""
OPENS_S = 2.0
RATE, LONG_RATE = 10.0, 1.0
"""Chunks per second, unless each frame has one; fewer for the long bag, so that it does not take an hour."""
SMALL = (48, 64)
Figures = dict[str, Any]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="bags of seconds, three episodes, each once")
    parser.add_argument("--seconds", type=count, help="length of the bags for speed (default 30, quick 2)")
    parser.add_argument("--long", type=count, help="length of the long bag, s (default 3600, quick 8)")
    parser.add_argument("--short", type=count, help="what its memory is compared with, s (default 60, quick 2)")
    parser.add_argument("--episodes", type=count, help="of the data set (default 50, quick 3)")
    parser.add_argument("--episode-s", type=count, help="their length, s (default 4, quick 1)")
    parser.add_argument("--repeat", type=count, help="how often speeds and pages are measured (default 3, quick 1)")
    parser.add_argument("--only", choices=PARTS, help="one part")
    parser.add_argument("--output", type=Path, default=RESULTS / "evaluation.json")
    parser.add_argument("--robot", choices=data.SIDES, default=data.ROBOT, help="seven joints in each of two, or six")
    options = parser.parse_args()
    if options.robot != data.ROBOT:
        again = [sys.executable, "-m", "benchmarks.bench_evaluation", *sys.argv[1:]]
        return subprocess.run(
            again, cwd=ROOT, env=os.environ | {data.ROBOT_VARIABLE: options.robot}, check=False
        ).returncode
    for name, (usual, quick) in LENGTHS.items():
        if getattr(options, name) is None:
            setattr(options, name, quick if options.quick else usual)
    results: Figures = {"machine": machine(), "robot": options.robot}
    for name, part in PARTS.items():
        if options.only in (None, name):
            with TemporaryDirectory() as directory:
                others = Others()
                found = part(options, Path(directory))
                results |= judged(found, others.share())
    write_results(options.output, results)
    return 0


LENGTHS = {
    "seconds": (30, 2),
    "long": (3600, 8),
    "short": (60, 2),
    "episodes": (50, 3),
    "episode_s": (4, 1),
    "repeat": (3, 1),
}
"""Option -> its default, and that with --quick."""


def judged(parts: dict[str, Figures], share: float) -> dict[str, Figures]:
    """Print what was found; a part that has a target (`met`) gets its verdict."""
    for name, figures in parts.items():
        if "met" in figures:
            figures["verdict"] = verdict(figures.pop("met"), share)
        print(f"{name}: {json.dumps(figures)}", flush=True)
    return parts


def speed(options: argparse.Namespace, directory: Path) -> dict[str, Figures]:
    """Bags with raw images, read only, evaluated, and evaluated while they are written for Foxglove."""
    found: dict[str, Figures] = {}
    for storage in (StoragePlugin.SQLITE3, StoragePlugin.MCAP):
        bag = directory / storage.name.lower()
        data.write_bag(bag, options.seconds, [data.raw_picture(data.HEIGHT, data.WIDTH)], storage)
        runs = [[alone(read_only, bag), alone(evaluate, bag)] for _ in range(options.repeat)]
        read_s, wall_s = (_median(each, "wall_s") for each in zip(*runs, strict=True))
        times, cpu_s = options.seconds / wall_s, _median((evaluated for _, evaluated in runs), "cpu_s")
        found[f"speed, {bag.name}"] = {
            **runs[-1][1],
            "wall_s": wall_s,
            "times_real_time": times,
            "times_real_time_cpu": options.seconds / cpu_s,
            "target_times_real_time": TIMES_REAL_TIME,
            "times_reading": wall_s / read_s,
            "met": times >= TIMES_REAL_TIME,
        }
    exported = [alone(evaluate, bag, directory / f"shown{i}") for i in range(options.repeat)]
    export_s = _median(exported, "wall_s")
    found["export"] = {"wall_s": export_s, "times_without": export_s / wall_s, "mb": exported[0]["exported_mb"]}
    return found


def memory_and_report(options: argparse.Namespace, directory: Path) -> dict[str, Figures]:
    """A long bag against a short one: its memory, and then its report."""
    picture, report = [data.raw_picture(*SMALL)], directory / "report.html"
    peaks, long = [], {}
    for name, seconds in (("short", options.short), ("long", options.long)):
        bag = directory / name
        data.write_bag(bag, seconds, picture, mode=CompressionMode.MESSAGE)
        long = alone(evaluate_long, bag, report)
        peaks.append(long["peak_resident_mb"])
    ratio = peaks[1] / peaks[0]
    found: dict[str, Figures] = {
        "memory": {
            **long,
            "times_short": ratio,
            "target_times_short": MORE_MEMORY,
            "verdict": "met" if ratio <= MORE_MEMORY else "missed",  # other programs do not change it
        }
    }
    if not report_page.can_open():
        return {**found, "report": {"does_not_run": "Chromium is not installed"}}
    html = report.read_text(encoding="utf-8")
    pages = {"report": html, "report without plots": report_page.without_plots(html)}
    for name, page in pages.items():
        times = report_page.opening_times(page, options.repeat)
        spans = {"text_s": "text_s", "plots_in_view_s": "seen_s", "all_plots_s": "plots_s"}
        found[name] = {"mb": len(page) / 1e6, "plots": times[0]["plots"]}
        found[name] |= {shown: _median(times, span) for shown, span in spans.items()}
        found[name]["all_plots_least_s"] = min(each["plots_s"] for each in times)
    found["report"] |= {
        "times_without_plots": found["report"]["all_plots_s"] / found["report without plots"]["all_plots_s"],
        "target_s": OPENS_S,
        "met": found["report"]["all_plots_s"] < OPENS_S,
    }
    return found


def dataset(options: argparse.Namespace, directory: Path) -> dict[str, Figures]:
    """The same episodes as bags and as a data set, in turns."""
    bags, converted = data.write_episodes(directory, options.episodes, options.episode_s, print)
    runs = [[alone(evaluate_recorded, bags), alone(evaluate_converted, converted)] for _ in range(options.repeat)]
    per_s = [statistics.median(each["chunks"] / each["wall_s"] for each in side) for side in zip(*runs, strict=True)]
    figures = {"episodes": options.episodes, "fps": data.FPS, "bags": runs[-1][0], "dataset": runs[-1][1]}
    return {
        "data set": {
            **figures,
            "bags_frames_per_s": per_s[0],
            "dataset_frames_per_s": per_s[1],
            "times_bags": per_s[1] / per_s[0],
            "target_times_bags": 1.0,
            "met": per_s[1] >= per_s[0],
        }
    }


PARTS: dict[str, Callable[[argparse.Namespace, Path], dict[str, Figures]]] = {
    "speed": speed,
    "memory": memory_and_report,
    "dataset": dataset,
}


def alone(measure: Callable[..., Figures], *paths: Path) -> Figures:
    """Return what `measure`, one of MEASURES, gives in a new process, so that its peak memory is its own."""
    command = [sys.executable, "-m", "benchmarks.bench_evaluation", ALONE, measure.__name__, *map(str, paths)]
    said = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True).stdout
    figures: Figures = json.loads(said.splitlines()[-1])
    return figures


def measure_alone(name: str, *paths: str) -> int:
    """Print the figures of one of MEASURES as the last line, in JSON."""
    print(json.dumps(MEASURES[name](*map(Path, paths))))
    return 0


def read_only(bag: Path) -> Figures:
    """Read and decode each message, and ignore it."""
    started = time.perf_counter()
    with Bag(bag) as opened:
        messages = sum(1 for _ in opened.messages(opened.types))
    return {"messages": messages, "wall_s": time.perf_counter() - started}


def evaluate(bag: Path, exported: Path | None = None) -> Figures:
    """Evaluate a bag with raw images; write it for Foxglove where that is asked for."""
    robot, client = data.robot(False, RATE), data.instant_client(data.HEIGHT, data.WIDTH)
    watch: Any = nobody
    if exported is not None:
        exported.mkdir()
        watch = EpisodeFiles(exported, "bag", client.spec, robot)
    settings = RunSettings("benchmark", "")
    figures, _ = _timed(lambda: evaluate_bags([bag], robot, client, settings, watch=watch))
    if exported is not None:
        figures["exported_mb"] = sum(file.stat().st_size for file in exported.rglob("*.mcap")) / 1e6
    return figures


def evaluate_long(bag: Path, report: Path) -> Figures:
    """Evaluate the long bag, or the short one beside it, and write its report."""
    robot, client = data.robot(False, LONG_RATE), data.instant_client(*SMALL)
    settings = run_settings("benchmark", "a policy that answers at once", robot, (), client.spec)
    figures, result = _timed(lambda: evaluate_bags([bag], robot, client, settings))
    write_report(report, [Run("bag", result)])
    return figures


def evaluate_recorded(bags: Path) -> Figures:
    """Evaluate bags with compressed images, with a chunk for each of them."""
    robot, client = data.robot(True, float(data.FPS)), data.instant_client(data.HEIGHT, data.WIDTH)
    return _timed(lambda: evaluate_bags([bags], robot, client, RunSettings("benchmark", "")))[0]


def evaluate_converted(root: Path) -> Figures:
    """Evaluate the data set."""
    info, client = read_info(root), data.instant_client(data.HEIGHT, data.WIDTH)
    entries, settings = read_episodes(info, ()), RunSettings("benchmark", "")
    return _timed(lambda: evaluate_dataset(info, entries, client, settings, EvaluationOptions()))[0]


def _timed(measure: Callable[[], EvaluationResult]) -> tuple[Figures, EvaluationResult]:
    started, cpu = time.perf_counter(), time.process_time()
    result = measure()
    wall_s, cpu_s = time.perf_counter() - started, time.process_time() - cpu
    assert result.total is not None
    figures = {
        "status": result.status,
        "length_s": sum(episode.duration_s for episode in result.episodes),
        "chunks": result.total.chunks,
        "wall_s": wall_s,
        "cpu_s": cpu_s,
        "peak_resident_mb": peak_memory_mb(),
    }
    return figures, result


def _median(runs: Any, name: str) -> float:
    return float(statistics.median(each[name] for each in runs))


MEASURES: dict[str, Callable[..., Figures]] = {
    each.__name__: each for each in (read_only, evaluate, evaluate_long, evaluate_recorded, evaluate_converted)
}

if __name__ == "__main__":
    sys.exit(measure_alone(*sys.argv[2:]) if sys.argv[1:2] == [ALONE] else run(main))
