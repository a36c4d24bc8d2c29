"""Threads get no heaps of their own."""

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


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's")
@pytest.mark.parametrize(("how", "more"), [("left alone", "True"), ("bound", "False")])
def test_threads_share_heaps(how: str, more: str) -> None:
    ran = subprocess.run([sys.executable, "-c", PROGRAM, how], capture_output=True, text=True, check=True, timeout=60)
    assert ran.stdout.split() == [more]
