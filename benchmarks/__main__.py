"""`make bench`: every benchmark but the long ones in turn, each in a process of its own; JSON in benchmarks/results/.

A benchmark that cannot run here (no Triton, no compiler) says why, and the others continue; the exit status shows it.
"""

import argparse
import subprocess
import sys

BENCHMARKS = (
    "bench_local",
    "bench_start",
    "bench_export",
    "bench_node",
    "bench_stream",
    "bench_triton",
    "bench_evaluation",
    "bench_motion",
)
LONG = ("bench_timing",)
"""Run only when they are named: many minutes, and many GB on the disk."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__.splitlines()[0])
    parser.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help=f"which ones (default: {' '.join(BENCHMARKS)}; {' '.join(LONG)} when named)",
    )
    arguments, options = parser.parse_known_args()
    chosen = arguments.names or list(BENCHMARKS)
    unknown = sorted(set(chosen) - {*BENCHMARKS, *LONG})
    if unknown:
        parser.error(f"no benchmark {', '.join(unknown)}; there are {', '.join((*BENCHMARKS, *LONG))}")
    if options and len(chosen) != 1:
        parser.error(f"options ({' '.join(options)}) are those of one benchmark: name it")
    failed = []
    for name in chosen:
        print(f"\n{name}", flush=True)
        if subprocess.run([sys.executable, "-m", f"benchmarks.{name}", *options], check=False).returncode != 0:
            failed.append(name)
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
