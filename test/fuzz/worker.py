"""One process that gives inputs to one target, made by chance or guided by coverage (atheris); see `__main__.py`.

The input that is read at the moment lies in a file that the other process sees too, because this one may crash.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import mmap
import os
import random
import resource
import sys
import time
from pathlib import Path
from typing import Any

from test.fuzz.target import LONGEST_INPUT, Target
from test.fuzz.targets import make_target
from test.fuzz.watch import Watch

ATHERIS, CHANCE = "atheris", "chance"
HEAD_BYTES = 16
"""Of the shared file: the number of inputs so far, and the length of the one that follows, 8 bytes each."""
SHARED_BYTES = HEAD_BYTES + LONGEST_INPUT
_POOL = 2000
"""Mutated inputs that are mutated again, where coverage does not choose them."""
_OPEN_FILES = 256
_OF_LIBFUZZER = (
    "-timeout=1000000", "-rss_limit_mb=0", "-malloc_limit_mb=0",  # the limits are in watch.py
    *(f"-handle_{name}=0" for name in ("segv", "abrt", "bus", "fpe", "ill")),  # the process shall end
    "-len_control=0", "-verbosity=0", "-print_final_stats=0",
)  # fmt: skip


def default_engine() -> str:
    """The engine where none is named: atheris, if it is installed."""
    return ATHERIS if importlib.util.find_spec("atheris") else CHANCE


class Shared:
    """The file in which the number of inputs and the current one are left for the other process."""

    def __init__(self, path: Path) -> None:
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), SHARED_BYTES)

    def note(self, count: int, data: bytes) -> None:
        """Say which input comes now."""
        self._map[:HEAD_BYTES] = count.to_bytes(8, "little") + len(data).to_bytes(8, "little")
        self._map[HEAD_BYTES : HEAD_BYTES + len(data)] = data

    def read(self) -> tuple[int, bytes]:
        """The number of inputs before, and the input that came then."""
        head = self._map[:HEAD_BYTES]
        count, length = int.from_bytes(head[:8], "little"), int.from_bytes(head[8:], "little")
        return count, self._map[HEAD_BYTES : HEAD_BYTES + min(length, LONGEST_INPUT)]

    def close(self) -> None:
        """Release the file."""
        self._map.close()


def by_chance(target: Target, seed: int) -> Any:
    """Inputs without end: seeds with something wrong, and some of these with something more wrong."""
    chance = random.Random(seed)
    pool: list[bytes] = []
    yield from target.seeds
    while True:
        again = pool and chance.random() < 0.3
        data = target.mutate(chance.choice(pool if again else target.seeds), chance)[:LONGEST_INPUT]
        if len(pool) < _POOL:
            pool.append(data)
        else:
            pool[chance.randrange(_POOL)] = data
        yield data


def main() -> None:
    """Run one target, and write what was found as JSON, now and then and at the end."""
    parser = argparse.ArgumentParser()
    parser.add_argument("name")
    parser.add_argument("--inputs", type=int, required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--engine", required=True)
    parser.add_argument("--shared", type=Path, required=True)
    parser.add_argument("--result", type=Path, required=True)
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--directory", type=Path, required=True)
    args = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_NOFILE, (_OPEN_FILES, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    if args.engine == ATHERIS:
        _guided(args)
    else:
        target = make_target(args.name, args.directory)
        run = Run(target, args)
        for data in by_chance(target, args.seed):
            if run.one(data):
                break


class Run:
    """Gives inputs to the target until there were enough, and writes the result."""

    def __init__(self, target: Target, args: argparse.Namespace) -> None:
        self.target = target
        self._watch = Watch(target)
        self._shared = Shared(args.shared)
        self._inputs: int = args.inputs
        self._result: Path = args.result
        self._written = 0.0
        self._known = 0
        self._began = time.monotonic()
        self._first_bytes = 0

    def one(self, data: bytes) -> bool:
        """Give one input to the target; return whether it was the last one."""
        data = data[:LONGEST_INPUT]
        self._shared.note(self._watch.inputs, data)
        self._watch.run(data)
        last = self._watch.inputs >= self._inputs
        new = len(self._watch.breaches) > self._known
        if last or new or time.monotonic() > self._written + 5.0:
            self._write()
        return last

    def _write(self) -> None:
        self._written, self._known = time.monotonic(), len(self._watch.breaches)
        breaches = [
            {"kind": each.kind, "where": each.where, "data": each.data.hex(), "details": each.details}
            for each in self._watch.breaches.values()
        ]
        found = {
            "inputs": self._watch.inputs,
            "refused": self._watch.refused,
            "worst_s": self._watch.worst_s,
            "worst_bytes": self._watch.worst_bytes,
            "seconds": self._written - self._began,
            "breaches": breaches,
        }
        part = self._result.with_suffix(".part")
        part.write_text(json.dumps(found))
        part.replace(self._result)


def _guided(args: argparse.Namespace) -> None:
    """Let atheris choose the inputs, by what of the package each of them reaches. Ends the process."""
    import atheris

    with atheris.instrument_imports(include=["act_inference_ros"], enable_loader_override=False):
        run = Run(make_target(args.name, args.directory), args)
    seeds = args.directory / "seeds"
    seeds.mkdir()
    for number, seed in enumerate([*run.target.seeds, *(path.read_bytes() for path in sorted(args.corpus.glob("*")))]):
        (seeds / str(number)).write_bytes(seed)

    def mutate(data: bytes, most: int, seed: int) -> bytes:
        chance = random.Random(seed)
        if chance.random() < 0.2:
            return atheris.Mutate(data, most)
        return run.target.mutate(bytes(data), chance)[:most]

    def one(data: bytes) -> None:
        if run.one(data):
            os._exit(0)

    options = [f"-max_len={LONGEST_INPUT}", f"-seed={args.seed % 2**31}", f"-artifact_prefix={args.directory}/"]
    atheris.Setup([sys.argv[0], *_OF_LIBFUZZER, *options, str(seeds)], one, custom_mutator=mutate)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
