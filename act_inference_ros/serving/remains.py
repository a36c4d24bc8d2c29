"""The files that a killed Triton leaves on this machine, and their removal however the launcher ends."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from act_inference_ros.program import shared_memory
from act_inference_ros.serving import backend_scratch, guard

RESERVED_PREFIX = "triton_python_backend_shm_region_"
"""Prefix of the Python backend's shared memory. A Triton refuses to register such a region for a client, because a
client could read and write the backend's own messages. Source: kTritonSharedMemoryRegionPrefix in Triton's server."""
_OURS = f"{RESERVED_PREFIX}act_"
_LOCK = "lock"
_GUARD_DEADLINE_S = 5.0


class Remains:
    """The scratch directory and the shared memory of one server, from construction until `close`.

    The names of all its regions begin with `region_prefix`. The launcher, the guard, the server and the processes of
    its models hold a lock (flock) on one more file with that prefix: the kernel releases the lock when the last of them
    has ended. Files without a lock were left behind, and the next server that starts removes them.

    A guard (guard.py) ends the server and removes all this when the launcher ends without `close`, for example when it
    is killed.
    """

    def __init__(self) -> None:
        """Raises OSError if there is no space for temporary files or shared memory."""
        remove_abandoned()
        self._lock, name = shared_memory.create_locked(shared_memory.DIRECTORY, _OURS, f"_{_LOCK}")
        self.region_prefix = name.removesuffix(_LOCK)
        self.scratch = _scratch_of(name)
        try:
            self.scratch.mkdir(mode=0o700)
            prefix = shared_memory.DIRECTORY / self.region_prefix
            self._guard = subprocess.Popen(
                [sys.executable, "-I", "-S", guard.__file__, str(prefix), str(self.scratch)],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
                pass_fds=[self._lock],
            )
        except BaseException:
            self._remove()
            raise

    @property
    def closed(self) -> bool:
        """Whether everything has been removed."""
        return self._lock < 0

    @property
    def inherited(self) -> int:
        """The descriptor of the lock, which the server must inherit."""
        return self._lock

    def guard(self, group: int) -> None:
        """End this process group when the launcher ends without `close`."""
        self._tell(str(group))

    def remove_regions(self) -> None:
        """Remove the shared memory of a server that has ended; another server may be started afterwards."""
        for region in shared_memory.DIRECTORY.glob(f"{self.region_prefix}*"):
            if not region.name.endswith(f"_{_LOCK}"):
                region.unlink(missing_ok=True)

    def close(self) -> None:
        """Remove everything after the server has ended. A second call does nothing."""
        if self.closed:
            return
        self._tell(guard.DONE)
        with contextlib.suppress(BrokenPipeError):
            self._guard.stdin.close()  # type: ignore[union-attr]  # it was made with a pipe
        try:
            self._guard.wait(_GUARD_DEADLINE_S)
        except subprocess.TimeoutExpired:
            self._guard.kill()
            self._guard.wait()
        self._remove()

    def _tell(self, word: str) -> None:
        with contextlib.suppress(BrokenPipeError):  # somebody has killed the guard: the launcher continues without it
            self._guard.stdin.write(f"{word}\n".encode())  # type: ignore[union-attr]
            self._guard.stdin.flush()  # type: ignore[union-attr]

    def _remove(self) -> None:
        self.remove_regions()
        shutil.rmtree(self.scratch, ignore_errors=True)
        (shared_memory.DIRECTORY / f"{self.region_prefix}{_LOCK}").unlink(missing_ok=True)
        os.close(self._lock)
        self._lock = -1
        backend_scratch.remove_abandoned()


def remove_abandoned() -> None:
    """Remove the files of this user's servers that ended, with launcher and guard, without removing them."""
    for lock in shared_memory.DIRECTORY.glob(f"{_OURS}*_{_LOCK}"):
        for abandoned in shared_memory.remove_unlocked(lock):
            for region in shared_memory.DIRECTORY.glob(f"{abandoned.removesuffix(_LOCK)}*"):
                with contextlib.suppress(OSError):  # another user's
                    region.unlink()
            shutil.rmtree(_scratch_of(abandoned), ignore_errors=True)


def _scratch_of(lock: str) -> Path:
    return Path(tempfile.gettempdir()) / f"triton_server-{lock.removeprefix(_OURS).removesuffix(f'_{_LOCK}')}"
