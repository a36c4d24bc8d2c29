"""Finds and removes the shared memory of killed programs, and leaves alone what living programs use.

Fast DDS holds a lock (flock) on the file NAME_el of each of its segments, and on NAME_el or NAME_sl of each of its
ports, as long as a process uses them. The kernel releases a lock when its process ends in any way, so a file without a
lock was left behind. Fast DDS's own tool, `fastdds shm clean`, uses the same rule, and so do this package's own files:
each is made locked (`create_locked`) and removed when no process locks it (`remove_unlocked`). Process ids would not
work across containers that share the memory.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import secrets
import time
from collections.abc import Iterable
from pathlib import Path

DIRECTORY = Path("/dev/shm")  # noqa: S108 - where shm_open keeps its objects on Linux
SETTLED_S = 60.0
"""A participant locks its new files within milliseconds: an unlocked file older than this is dead."""

CLIENT_REGION_PREFIX = "act_inference_"
"""Prefix of the regions in which this package's clients pass images to a Triton on the same machine."""

_FAST_DDS = re.compile(r"(?:sem\.)?(fast(?:rtps|dds)_(?:[0-9a-f]{16}|port\d{1,5}))(?:_el|_sl|_mutex)?")
_LOCKS = ("_el", "_sl")


def in_use_by(pid: int) -> set[str]:
    """Return the files in shared memory that a process has open or mapped; empty if it has ended."""
    found: set[str] = set()
    with contextlib.suppress(OSError):
        maps = Path(f"/proc/{pid}/maps").read_text(encoding="utf-8", errors="replace")
        found.update(line.partition(f"{DIRECTORY}/")[2] for line in maps.splitlines())
        for descriptor in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                found.add(os.readlink(descriptor).partition(f"{DIRECTORY}/")[2])
    return found - {""}


def remove_dead(names: Iterable[str]) -> list[str]:
    """Remove Fast DDS's segments and ports in `names` that no process uses any more; return the removed names.

    Only for names that a process has had open, because a new segment may not have its lock yet.
    """
    removed: list[str] = []
    for stem in {match[1] for name in names if (match := _FAST_DDS.fullmatch(name))}:
        files = [DIRECTORY / f"{stem}{end}" for end in ("", *_LOCKS)] + [DIRECTORY / f"sem.{stem}_mutex"]
        locks = [path for end in _LOCKS if (path := DIRECTORY / f"{stem}{end}").exists()]
        if locks and not any(is_locked(path) for path in locks):  # without a lock file, its use is unknown
            removed += [path.name for path in files if _unlink(path)]
    return removed


def remove_ports(ports: range) -> list[str]:
    """Remove Fast DDS's files of these ports that nobody locks, also those without a lock file; return their names.

    Only for the ports of the caller's own domain, after every program in it has ended: there, a file without a lock is
    unused, too. Otherwise nothing would remove the leftovers of a killed program.
    """
    removed: list[str] = []
    for port in ports:
        stem = f"fastdds_port{port}"
        files = [DIRECTORY / f"{stem}{end}" for end in ("", *_LOCKS)] + [DIRECTORY / f"sem.{stem}_mutex"]
        there = [path for path in files if path.exists()]
        if there and not any(is_locked(path) for path in there if path.name.endswith(_LOCKS)):
            removed += [path.name for path in there if _unlink(path)]
    return removed


def remove_abandoned() -> list[str]:
    """Remove old Fast DDS files of this user's killed programs; return the removed names."""
    youngest: dict[str, float] = {}
    with contextlib.suppress(OSError):
        for entry in os.scandir(DIRECTORY):
            match = _FAST_DDS.fullmatch(entry.name)
            with contextlib.suppress(OSError):
                if match and entry.stat(follow_symlinks=False).st_uid == os.getuid():
                    made = entry.stat(follow_symlinks=False).st_ctime
                    youngest[match[1]] = max(made, youngest.get(match[1], 0.0))
    return remove_dead(stem for stem, made in youngest.items() if time.time() - made > SETTLED_S)


def create_locked(directory: Path, prefix: str, suffix: str = "") -> tuple[int, str]:
    """Make a locked file of this user's only, with a name that no other process can guess between prefix and suffix.

    Returns its descriptor, with which the lock is kept, and its name. Raises OSError if it cannot be made.
    """
    while True:
        name = f"{prefix}{secrets.token_hex(8)}{suffix}"
        descriptor = os.open(directory / name, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(descriptor).st_nlink:  # else another process removed it as abandoned before it was locked
                return descriptor, name
        os.close(descriptor)


def remove_unlocked(*paths: Path) -> list[str]:
    """Remove this user's files from `create_locked` that no process locks any more; return their names."""
    removed: list[str] = []
    for path in paths:
        with contextlib.suppress(OSError):  # another user's, in use, or removed meanwhile
            descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW)
            try:
                if os.fstat(descriptor).st_uid != os.geteuid():
                    continue  # root, too, lets others' files be: anybody may make one of any name there
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink()
                removed.append(path.name)
            finally:
                os.close(descriptor)
    return removed


def remove_abandoned_client_regions() -> list[str]:
    """Remove the regions of clients that ended without removing them, such as killed ones; return their names."""
    return remove_unlocked(*DIRECTORY.glob(f"{CLIENT_REGION_PREFIX}*"))


def is_locked(path: Path) -> bool:
    """Whether a living process holds the lock on a file; a file of another user counts as locked."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except FileNotFoundError:
        return False
    except OSError:
        return True  # another user's
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False


def _unlink(path: Path) -> bool:
    try:
        path.unlink()
    except OSError:  # removed meanwhile, or another user's
        return False
    return True
