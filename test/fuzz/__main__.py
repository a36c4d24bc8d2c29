"""Gives hostile inputs to the package's readers: `python -m test.fuzz --target all --inputs 10000 --seed 1`.

Each target runs in a process of its own, which may crash or hang. What broke a bound is written into a directory, one
file for each cause, to be kept in `corpus/` when it is mended. The result is JSON; the exit status is 1 if a bound was
broken.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from test.fuzz.target import LONGEST_S
from test.fuzz.targets import MODULES
from test.fuzz.watch import Breach
from test.fuzz.worker import ATHERIS, CHANCE, SHARED_BYTES, Shared, default_engine

CORPUS = Path(__file__).with_name("corpus")
HANGS_AFTER_S = 120.0
"""Time, s, after which an input counts as one that hangs, on a machine however busy."""
LOOKS_S = 0.5
_MOST_ENDS = 20
"""Processes of a target that may crash or hang before its run is given up."""


@dataclass
class Result:
    """What came of a target's inputs."""

    target: str
    engine: str
    inputs: int = 0
    refused: int = 0
    seconds: float = 0.0
    worst_s: float = 0.0
    worst_bytes: int = 0
    breaches: list[Breach] = field(default_factory=list)

    def add(self, told: dict[str, Any]) -> None:
        """Add what a process told."""
        self.inputs += told["inputs"]
        self.refused += told["refused"]
        self.seconds += told["seconds"]
        self.worst_s = max(self.worst_s, told["worst_s"])
        self.worst_bytes = max(self.worst_bytes, told["worst_bytes"])
        self.breaches += [Breach(**{**each, "data": bytes.fromhex(each["data"])}) for each in told["breaches"]]

    def as_json(self) -> dict[str, Any]:
        """For people and for other programs."""
        return {
            "target": self.target,
            "engine": self.engine,
            "inputs": self.inputs,
            "refused": self.refused,
            "seconds": round(self.seconds, 1),
            "worst_s": round(self.worst_s, 3),
            "worst_mib": round(self.worst_bytes / 2**20, 1),
            "breaches": [f"{each.kind}: {each.where or each.details}" for each in self.breaches],
        }


def run(name: str, inputs: int, seed: int, engine: str) -> Result:
    """Give that many inputs to a target; a process that crashed or hung is followed by another one."""
    result = Result(name, engine)
    for attempt in range(_MOST_ENDS):
        if result.inputs >= inputs:
            break
        with tempfile.TemporaryDirectory() as directory:
            end = _run_process(result, Path(directory), inputs - result.inputs, seed + 1000 * attempt)
        if end is not None:
            result.breaches.append(end)
    return result


def _run_process(result: Result, directory: Path, inputs: int, seed: int) -> Breach | None:
    """Run a process to its end and add what it told; return how it ended, if that was no proper end."""
    shared_path, result_path, log = directory / "shared", directory / "result.json", directory / "log"
    shared_path.write_bytes(bytes(SHARED_BYTES))
    files = directory / "files"
    files.mkdir()
    command = [sys.executable, "-m", "test.fuzz.worker", result.target, "--inputs", str(inputs), "--seed", str(seed)]
    command += ["--engine", result.engine, "--shared", str(shared_path), "--result", str(result_path)]
    command += ["--corpus", str(CORPUS / result.target), "--directory", str(files)]
    shared = Shared(shared_path)
    with log.open("wb") as output, subprocess.Popen(command, stdout=output, stderr=output) as process:
        try:
            hung = _hung(process, shared)
        finally:
            process.kill()
    count, data = shared.read()
    shared.close()
    said = log.read_text(errors="replace")[-4000:]
    told = json.loads(result_path.read_text()) if result_path.exists() else None
    if told is not None:
        result.add(told)
        if told["inputs"] >= inputs:
            return None
    result.inputs += count + 1 - (0 if told is None else told["inputs"])
    if process.returncode > 0 or (told is None and not count):  # an error of its own, no signal
        raise RuntimeError(f"the target {result.target}: {said}")
    return Breach("hang" if hung else "crash", "" if hung else f"status {process.returncode}", data, said)


def _hung(process: subprocess.Popen[bytes], shared: Shared) -> bool:
    """Wait for the end of a process; return True if it reads one input for too long."""
    last, since = -1, time.monotonic()
    while True:
        try:
            process.wait(LOOKS_S)
            return False
        except subprocess.TimeoutExpired:
            count = shared.read()[0]
            if count != last:
                last, since = count, time.monotonic()
            elif time.monotonic() > since + HANGS_AFTER_S:
                return True


def save(breach: Breach, directory: Path) -> Path:
    """Write the input of a breach, and beside it what is known of it."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"{breach.kind}-{hashlib.sha256(breach.data).hexdigest()[:10]}"
    path.write_bytes(breach.data)
    path.with_suffix(".txt").write_text(f"{breach.kind} {breach.where}\n{breach.details}\n", errors="replace")
    return path


def main() -> int:
    """Run the targets that are named, one after the other; 1 if one of them broke a bound."""
    parser = argparse.ArgumentParser(prog="python -m test.fuzz", description=__doc__.splitlines()[0])
    parser.add_argument(
        "--target", nargs="+", default=["all"], choices=["all", *MODULES], metavar="NAME", help=", ".join(MODULES)
    )
    parser.add_argument("--inputs", type=int, default=10_000, help="inputs for each target")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--engine", choices=[ATHERIS, CHANCE], default=default_engine())
    parser.add_argument("--findings", type=Path, default=Path(".fuzz"), help="directory for what broke a bound")
    parser.add_argument("--json", type=Path, help="file for the result, which is printed, too")
    args = parser.parse_args()
    results = []
    for name in list(MODULES) if "all" in args.target else args.target:
        result = run(name, args.inputs, args.seed, args.engine)
        results.append(result)
        for breach in result.breaches:
            print(f"{name}: {breach.kind} {breach.where}: {save(breach, args.findings / name)}", file=sys.stderr)
        print(json.dumps(result.as_json()), file=sys.stderr, flush=True)
    told = {
        "inputs": sum(each.inputs for each in results),
        "breaches": sum(len(each.breaches) for each in results),
        "longest_s": LONGEST_S,
        "targets": [each.as_json() for each in results],
    }
    text = json.dumps(told, indent=1)
    print(text)
    if args.json:
        args.json.write_text(text + "\n")
    return 1 if told["breaches"] else 0


if __name__ == "__main__":
    sys.exit(main())
