"""What `merge` does: two action chunks overlap, and each way of merging makes one plan of them. No ROS, no policy.

    python examples/merge_chunks.py
    python examples/merge_chunks.py --blend-time 0.5 --ensemble-coeff 1.0

One joint, and time goes by. The first chunk, observed at 0 s, says "stay at 0". The second one, observed at 0.3 s, says
"be at 1"; it comes a little later, because the network needs time. Real chunks differ less: here each step is easy to
see. (`control.timeline` is the package's own code and may move; `InferenceClient` is what stays.)
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

import numpy as np

from act_inference_ros.control.timeline import ActionTimeline
from act_inference_ros.errors import ConfigurationError
from act_inference_ros.interfaces import MERGES

FPS = 10.0
CHUNK_SIZE = 11  # actions, hence each chunk reaches 1 s ahead of its observation
SECOND_OBSERVED_S = 0.3
LAST_STEP = 14  # the second chunk ends at 1.3 s


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the plan of every way of merging, a line for each tenth of a second; return the exit status."""
    options = _parser().parse_args(arguments)
    times = [step / FPS for step in range(LAST_STEP + 1)]
    try:
        plans = {merge: planned(merge, times, options) for merge in MERGES}
    except ConfigurationError as problem:
        print(f"merge_chunks: {problem}", file=sys.stderr)
        return 2
    print("time [s]" + "".join(f"{merge:>20}" for merge in plans))
    for row, time in enumerate(times):
        print(f"{time:8.1f}" + "".join(f"{targets[row]:>20}" for targets in plans.values()))
    return 0


def planned(merge: str, times: Sequence[float], options: argparse.Namespace) -> list[str]:
    """Return the target at each of `times`, as it was when that time came."""
    stay = np.zeros((CHUNK_SIZE, 1))  # (chunk_size, action_dim)
    move = np.ones((CHUNK_SIZE, 1))
    arrival = SECOND_OBSERVED_S + options.latency
    timeline = ActionTimeline(FPS, merge, options.blend_time, options.ensemble_coeff)
    timeline.add(stay, t_obs=0.0)
    targets = []
    for time in times:
        if time >= arrival:
            # `t_obs` says which instants the rows are for, `now` when the chunk came: a fade begins only then. A chunk
            # of the same observation replaces itself, so adding it again changes nothing.
            timeline.add(move, t_obs=SECOND_OBSERVED_S, now=arrival)
        action = timeline.sample(time)
        targets.append("-" if action is None else f"{action[0]:.2f}")  # none after the last action
    return targets


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Shows how overlapping action chunks become one plan.")
    parser.add_argument("--latency", type=float, default=0.1, help="s from observation to chunk (default: 0.1)")
    parser.add_argument("--blend-time", type=float, default=0.2, help="s; the fade of `blend` (default: 0.2)")
    parser.add_argument(
        "--ensemble-coeff",
        type=float,
        default=0.01,
        help="`temporal_ensemble` weights chunk i, 0 the oldest, with exp(-coeff * i) (default: 0.01)",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
