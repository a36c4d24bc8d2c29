"""Large blocks are given back to the system, also after others were freed before."""

import subprocess
import sys

import pytest

PROGRAM = """
import ctypes, sys
from act_inference_ros.program.memory import LARGE_BYTES, give_back_large_blocks

libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
libc.malloc.argtypes = [ctypes.c_size_t]
libc.free.argtypes = [ctypes.c_void_p]
if sys.argv[1] == "given back":
    give_back_large_blocks()
libc.free(libc.malloc(8 * LARGE_BYTES))
place = libc.malloc(LARGE_BYTES)
heap = [line.split()[0].split("-") for line in open("/proc/self/maps") if "[heap]" in line]
print(any(int(begin, 16) <= place < int(end, 16) for begin, end in heap))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's")
@pytest.mark.parametrize(("how", "in_heap"), [("left alone", "True"), ("given back", "False")])
def test_a_large_block_is_not_put_into_the_heap(how: str, in_heap: str) -> None:
    ran = subprocess.run([sys.executable, "-c", PROGRAM, how], capture_output=True, text=True, check=True, timeout=60)
    assert ran.stdout.split() == [in_heap]
