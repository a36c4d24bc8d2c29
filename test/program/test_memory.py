"""The heap stays small: large blocks are not put into it, and threads get no heaps of their own."""

import subprocess
import sys

import pytest

PROGRAM = """
import ctypes, sys, threading
from act_inference_ros.program.memory import LARGE_BYTES, bound_heap

libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
libc.malloc.argtypes = [ctypes.c_size_t]
libc.free.argtypes = [ctypes.c_void_p]
if sys.argv[1] == "bound":
    bound_heap()
libc.free(libc.malloc(8 * LARGE_BYTES))
place = libc.malloc(LARGE_BYTES)
heap = [line.split()[0].split("-") for line in open("/proc/self/maps") if "[heap]" in line]
print(any(int(begin, 16) <= place < int(end, 16) for begin, end in heap))

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
print(len(heaps) > 2)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's")
@pytest.mark.parametrize(("how", "grows"), [("left alone", "True"), ("bound", "False")])
def test_large_blocks_and_threads_do_not_make_the_heap_grow(how: str, grows: str) -> None:
    ran = subprocess.run([sys.executable, "-c", PROGRAM, how], capture_output=True, text=True, check=True, timeout=60)
    assert ran.stdout.split() == [grows, grows]
