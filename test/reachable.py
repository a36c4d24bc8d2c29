"""How much an object holds: the sizes of everything that can be reached from it, for tests of what must not grow."""

from __future__ import annotations

import gc
from collections import Counter, deque
from collections.abc import Collection
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Any

import numpy as np

NOT_FOLLOWED = (type, ModuleType, BuiltinFunctionType, str, bytes, int, float, complex, bool)
"""They hold nothing, or the whole program."""
SIZED = (list, dict, set, frozenset, tuple, deque)


def sizes(root: Any, leave_out: Collection[Any] = ()) -> Counter[str]:
    """Return where -> how many elements, bytes of arrays and characters are held there, each object counted once.

    Where is the way from `root`, by types: `PolicySession > Pipeline > Supervisor > Counter`. Nothing is looked at that
    can only be reached through an object of `leave_out`.
    """
    found: Counter[str] = Counter()
    seen = {id(each) for each in leave_out}
    seen.add(id(root))
    waiting = deque([(root, type(root).__name__)])
    while waiting:
        each, way = waiting.popleft()
        found[way] += _size(each)
        for held in _held_by(each):
            if id(held) not in seen and not isinstance(held, NOT_FOLLOWED):
                seen.add(id(held))
                waiting.append((held, f"{way} > {type(held).__name__}"))
    return found


def _size(each: Any) -> int:
    if isinstance(each, np.ndarray):
        return each.nbytes
    return len(each) if isinstance(each, SIZED) else 1


def _held_by(each: Any) -> list[Any]:
    """What an object refers to; of a function only what it has brought along, for its globals are the whole program."""
    if isinstance(each, FunctionType):
        return [*(each.__closure__ or ()), *(each.__defaults__ or ())]
    return gc.get_referents(each)
