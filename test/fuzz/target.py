"""Target: a reader of the package, how hostile inputs for it are made, and the bounds that it must keep."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

MIB = 2**20
LONGEST_S = 1.0
"""Longest time that one input may take, s of processor time of the process."""
LONGEST_ON_BUSY_MACHINE_S = 5.0
"""The same in the test suite: on a busy machine the same work takes several times as much processor time."""
LONGEST_MESSAGE = 10_000
"""Most characters of an error's message."""
LONGEST_INPUT = 2**16
"""Most bytes of an input. Files of that size are enough to ask for any amount of memory."""

Check = Callable[[bytes], object]
"""Gives one input to the reader. Raises one of the target's errors, or an AssertionError for a wrong result."""
Mutate = Callable[[bytes, random.Random], bytes]


@dataclass(frozen=True)
class Target:
    """`errors` are all that `check` may raise; `seeds` are valid inputs, of which `mutate` makes hostile ones.

    `memory_bytes`: by how much one input may raise the memory of the process, while it is read.
    """

    name: str
    check: Check
    seeds: Sequence[bytes]
    mutate: Mutate
    errors: tuple[type[Exception], ...]
    memory_bytes: int = 64 * MIB
