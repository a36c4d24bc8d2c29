"""What the limiter of motion costs for 14 joints and plans of 100 rows, on one core of this machine.

It runs on a robot each time a chunk arrives, beside the ticks: what counts are the median and the worst. Three plans:
one within the limits, which is followed as it is; one with noise, which is smoothed; one that is far away and too fast,
to which all joints go over bridges.
"""

import argparse
import json
import os
import statistics
import sys
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy is imported

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # so that it also runs as a script

import numpy as np  # noqa: E402

from act_inference_ros.control.cubic import Cubic  # noqa: E402
from act_inference_ros.control.limiter.limiter import MotionLimiter  # noqa: E402
from act_inference_ros.joints import Joint  # noqa: E402

JOINTS, ROWS, FPS = 14, 100, 30.0
TARGET_MS = {"within the limits": 2.0, "smoothed": 10.0, "bridged": 10.0}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeat", type=int, default=300, help="plans of each kind (default 300)")
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks" / "results" / "motion.json")
    arguments = parser.parse_args()
    results = {"joints": JOINTS, "rows": ROWS, "repeat": arguments.repeat, "plans": []}
    for name, (told, times, rows) in plans().items():
        result = {"plan": name, **measure(told, times, rows, arguments.repeat), "target_ms": TARGET_MS[name]}
        results["plans"].append(result)
        print(
            f"{name:18} median {result['median_ms']:6.2f} ms   95 % {result['p95_ms']:6.2f} ms   "
            f"worst {result['worst_ms']:6.2f} ms   joints exact {result['exact']}, smoothed {result['smoothed']}, "
            f"bridged {result['bridged']}"
        )
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(json.dumps(results, indent=1) + "\n")
    print(f"written to {arguments.output}")
    return 0 if all(plan["median_ms"] <= plan["target_ms"] for plan in results["plans"]) else 1


def plans() -> dict[str, tuple[Cubic, np.ndarray, np.ndarray]]:
    """What was told, and times and rows of the plan that follows; 0 is the stamp."""
    rng = np.random.default_rng(0)
    times = np.arange(ROWS) / FPS - 0.2
    waves = np.sin(2.0 * times[:, None] + rng.uniform(0.0, 6.0, JOINTS))
    gentle = 0.2 * waves
    before = Cubic(0.0, times, gentle, np.gradient(gentle, 1.0 / FPS, axis=0))
    noisy = gentle + rng.normal(0.0, 0.01, gentle.shape)
    return {
        "within the limits": (before, times, gentle),
        "smoothed": (before, times, noisy),
        "bridged": (Cubic.at_rest(-1.0, np.zeros(JOINTS)), times, 3.0 * waves),
    }


def measure(told: Cubic, times: np.ndarray, rows: np.ndarray, repeat: int) -> dict[str, float]:
    joints = [
        Joint(f"joint_{i}", minimum=-3.0, maximum=3.0, max_velocity=1.5, max_acceleration=10.0) for i in range(JOINTS)
    ]
    limiter = MotionLimiter(joints)
    took_ms = []
    for _ in range(repeat):
        limiter.clear()
        begin = time.perf_counter()
        limited = limiter.follow(told, 0.0, times, rows)
        took_ms.append(1e3 * (time.perf_counter() - begin))
        assert limited is not None
    return {
        "median_ms": statistics.median(took_ms),
        "p95_ms": float(np.percentile(took_ms, 95)),
        "worst_ms": max(took_ms),
        "exact": int(limited.exact.sum()),
        "smoothed": int(limited.smoothed.sum()),
        "bridged": int(limited.bridged.sum()),
    }


if __name__ == "__main__":
    sys.exit(main())
