"""Threads get no heaps of their own, and large blocks lie outside the heap where that is asked for."""

import subprocess
import sys

import pytest

PROGRAM = """
import ctypes, sys, threading
from act_inference_ros.program.memory import ARENAS, bound_heaps

libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
libc.malloc.argtypes = [ctypes.c_size_t]
if sys.argv[1] == "bound":
    bound_heaps()
heaps, together = set(), threading.Barrier(6)

def ask():
    together.wait()
    heaps.add(libc.malloc(1000) >> 26)  # glibc's heaps of threads begin at multiples of 64 MiB
    together.wait()

threads = [threading.Thread(target=ask) for _ in range(6)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(len(heaps) > ARENAS)
"""
MAPPED = """
import ctypes, sys
from act_inference_ros.program.memory import map_large_blocks

class Counts(ctypes.Structure):
    names = "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost"
    _fields_ = [(name, ctypes.c_size_t) for name in names.split()]

libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
libc.malloc.argtypes = [ctypes.c_size_t]
libc.free.argtypes = [ctypes.c_void_p]
libc.mallinfo2.restype = Counts
if sys.argv[1] == "mapped":
    map_large_blocks()
libc.free(libc.malloc(1 << 22))  # glibc maps only larger ones from now on
before = libc.mallinfo2().hblks
libc.malloc(1 << 20)  # more than is free in the heap
print(libc.mallinfo2().hblks - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's")
@pytest.mark.parametrize(("how", "mapped"), [("left alone", "0"), ("mapped", "1")])
def test_large_blocks_lie_outside_the_heap(how: str, mapped: str) -> None:
    ran = subprocess.run([sys.executable, "-c", MAPPED, how], capture_output=True, text=True, check=True, timeout=60)
    assert ran.stdout.split() == [mapped]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's")
@pytest.mark.parametrize(("how", "more"), [("left alone", "True"), ("bound", "False")])
def test_threads_share_heaps(how: str, more: str) -> None:
    ran = subprocess.run([sys.executable, "-c", PROGRAM, how], capture_output=True, text=True, check=True, timeout=60)
    assert ran.stdout.split() == [more]
