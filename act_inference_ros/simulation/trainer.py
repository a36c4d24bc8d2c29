"""Makes the demo's policy from nothing: records demonstrations, trains ACT on them, saves a LeRobot checkpoint.

Run it with `python -m act_inference_ros.simulation.trainer --out DIR`.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from act_inference_ros.errors import ActInferenceError, ConfigurationError, MissingDependencyError
from act_inference_ros.policy.checkpoint_files import CONFIG_FILE
from act_inference_ros.program import exit_status
from act_inference_ros.program.progress import Progress, progress_bar
from act_inference_ros.program.signals import StopSignals
from act_inference_ros.simulation.recording import record

if TYPE_CHECKING:
    from act_inference_ros.simulation.demonstrations import Demonstration
    from act_inference_ros.simulation.learner import TrainedPolicy

    _Train = Callable[[Sequence[Demonstration], int, int, Progress], TrainedPolicy]
    _Write = Callable[[TrainedPolicy, Path], None]

# torch is imported when training begins: this module is imported by each recording process, too.

DEMONSTRATIONS = 160
STEPS = 1200


def make_checkpoint(
    out: Path,
    demonstrations: int = DEMONSTRATIONS,
    steps: int = STEPS,
    seed: int = 0,
    workers: int = 2,
    log: Callable[[str], None] = print,
) -> Path:
    """Record, train and save; returns `out`, which appears complete or not at all.

    An existing checkpoint at `out` is replaced, once the new one is finished. The same arguments (but for `workers`)
    give the same checkpoint on the same machine.

    Args:
        out: the checkpoint directory to write.
        demonstrations: successful demonstrations to record.
        steps: optimiser steps.
        seed: of the demonstrations and the training.
        workers: processes to record in.
        log: takes lines meant for the user.

    Raises:
        ConfigurationError: if an argument is out of range or `out` exists and is no checkpoint.
        MissingDependencyError: if torch, safetensors, mujoco or the OpenGL libraries are missing.
        ActInferenceError: if recording fails.
    """
    if steps < 1:
        raise ConfigurationError(f"steps: expected at least 1, got {steps}")
    if seed < 0:
        raise ConfigurationError(f"seed: expected at least 0, got {seed}")
    train, write_checkpoint = _training()
    started = time.monotonic()
    with _appearing_at_once(out) as directory:
        with progress_bar("recording demonstrations", "demonstrations", log) as progress:
            recorded = record(demonstrations, seed, workers, progress)
        with progress_bar("training", "steps", log) as progress:
            policy = train(recorded, steps, seed, progress)
        write_checkpoint(policy, directory)
    log(f"wrote {out} after {time.monotonic() - started:.0f} s")
    return out


@contextmanager
def _appearing_at_once(out: Path) -> Iterator[Path]:
    """A new directory that becomes `out` when the block ends, and vanishes if it fails."""
    if out.exists() and not (out.is_dir() and ((out / CONFIG_FILE).is_file() or not any(out.iterdir()))):
        raise ConfigurationError(f"{out} exists and is no checkpoint: expected a new directory, or one to be replaced")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        # Beside `out`, for a directory can be renamed within one file system only.
        scratch = TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent)
    except OSError as error:
        raise ConfigurationError(f"cannot write {out}: {error}") from error
    with scratch:
        finished = Path(scratch.name, "finished")
        finished.mkdir()
        yield finished
        if out.exists():
            out.rename(Path(scratch.name, "replaced"))
        finished.rename(out)


def _training() -> tuple[_Train, _Write]:
    try:
        from act_inference_ros.simulation.checkpoint import write_checkpoint
        from act_inference_ros.simulation.learner import train
    except ModuleNotFoundError as error:
        raise MissingDependencyError(f"training needs PyTorch ({error}): pip install torch safetensors") from error
    return train, write_checkpoint


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit status: 0, 2 for a user's mistake, 130 when interrupted."""
    parser = argparse.ArgumentParser(
        prog="python -m act_inference_ros.simulation.trainer",
        description="Make the demo's policy from nothing, in about a minute: record scripted demonstrations of a small "
        "simulated arm picking a cube, train a small ACT on them, save it as a LeRobot checkpoint directory.",
    )
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="DIR",
        help="the checkpoint directory to write; an older one is replaced",
    )
    parser.add_argument("--demonstrations", type=int, default=DEMONSTRATIONS, help="to record (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=STEPS, help="optimiser steps (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="same seed, same checkpoint (default: %(default)s)")
    parser.add_argument("--workers", type=int, default=2, help="processes to record in (default: %(default)s)")
    options = parser.parse_args(arguments)
    try:
        make_checkpoint(options.out, options.demonstrations, options.steps, options.seed, options.workers, _print_line)
    except ActInferenceError as error:
        print(f"error: {error}", file=sys.stderr)
        return exit_status.MISTAKE
    except KeyboardInterrupt:
        print("interrupted; nothing was written", file=sys.stderr)
        return exit_status.INTERRUPTED
    return exit_status.OK


def _print_line(line: str) -> None:
    print(line, flush=True)  # seen at once in a log file, too


if __name__ == "__main__":
    with StopSignals().interrupting():
        sys.exit(main())
