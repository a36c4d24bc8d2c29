"""What a process holds, as Linux tells it from outside: memory, threads, descriptors, sockets, shared memory."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from act_inference_ros.program import shared_memory

_KIB_PER_MB = 1024
_MEMORY = {"Rss:": "rss_mb", "Pss:": "pss_mb", "Anonymous:": "anonymous_mb"}
"""Line of /proc/PID/smaps_rollup (proc_pid_smaps(5)) -> its name here."""


def sizes_of(pid: int) -> dict[str, float]:
    """Return name -> size. Raises OSError when the process has ended.

    `rss_mb` is what is resident, `anonymous_mb` the part of it that belongs to no file: heap and stacks. `pss_mb`
    divides what several processes share among them, so it changes when an unrelated program starts or ends. `shm_files`
    are files in /dev/shm that the process has open or mapped, `shm_mb` their size.
    """
    proc = Path(f"/proc/{pid}")
    sizes = dict.fromkeys(_MEMORY.values(), 0.0)
    for line in (proc / "smaps_rollup").read_text(encoding="ascii", errors="replace").splitlines():
        if (word := line.split()[0]) in _MEMORY:
            sizes[_MEMORY[word]] = int(line.split()[1]) / _KIB_PER_MB
    open_files = _open_files(proc)
    sizes["threads"] = len(list((proc / "task").iterdir()))
    sizes["descriptors"] = len(open_files)
    sizes["sockets"] = sum(each.startswith("socket:") for each in open_files)
    shared = shared_memory.in_use_by(pid)
    sizes["shm_files"] = len(shared)
    sizes["shm_mb"] = sum(map(_bytes_of, shared)) / 2**20
    return sizes


def _open_files(proc: Path) -> list[str]:
    found = []
    for descriptor in (proc / "fd").iterdir():
        with contextlib.suppress(OSError):  # it was closed meanwhile
            found.append(os.readlink(descriptor))
    return found


def _bytes_of(name: str) -> int:
    try:
        return (shared_memory.DIRECTORY / name).stat().st_size
    except OSError:  # it has no name any more
        return 0
