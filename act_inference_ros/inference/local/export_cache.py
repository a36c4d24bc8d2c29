"""The user's cache of exported graphs: one for each policy, version of this package, opset and precision.

`$XDG_CACHE_HOME/act_inference_ros/exports` belongs to the user, and no other user can open it. Under a lock, an entry
is written to a temporary directory and then renamed, so it is complete or absent. Its manifest has the sha256 of every
piece of every file. The weights are in a file beside the graph, which onnxruntime opens faster and with less memory. An
entry that has another owner or other contents, or that is a link, is never returned.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import stat
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, BinaryIO

from act_inference_ros.errors import ConfigurationError
from act_inference_ros.inference.local.exported_policy import GRAPH_FILE, ExportedPolicy
from act_inference_ros.inference.local.private_directory import locked, open_directory, open_file, private_directory
from act_inference_ros.policy.reference import PARITY_FILE, read_reference
from act_inference_ros.program.cores import usable_cores
from act_inference_ros.program.version import package_version
from act_inference_ros.spec import shown_id

OPSET = 18
"""The opset of exported graphs: supported by every onnxruntime since 1.14, so by the Triton containers since 23.03."""
MANIFEST_FILE = "manifest.json"
MOST_ENTRIES = 8
MOST_BYTES = 4 * 2**30
"""Limits for all entries together; the entries that were not used for longest are removed first."""
WEIGHTS_FILE = "model.weights"
"""The file beside the graph: ONNX's external data."""
_MANIFEST_BYTES = 100_000
_PIECE = 8 * 2**20
"""Bytes that are hashed at once; several threads hash the pieces."""
_MOST_THREADS = 4
_STAGED = ".staged-"
_FILES = (GRAPH_FILE, WEIGHTS_FILE, PARITY_FILE)

_log = logging.getLogger(__name__)


class _Unusable(Exception):
    """An entry that differs from what was written; the message says how."""


def cache_directory() -> Path:
    """Return the directory of the entries, which may not exist: by XDG_CACHE_HOME (must be absolute), else ~/.cache."""
    home = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(home) if os.path.isabs(home) else Path.home() / ".cache") / "act_inference_ros" / "exports"


def cached_export(policy_id: str, precision: str) -> ExportedPolicy | None:
    """Return the cached graph of a policy; None if there is none, or if it differs from what was written (logged).

    Raises ConfigurationError if the cache itself belongs to somebody else, may be written by others, or is a link.
    """
    directory = cache_directory()
    if not os.path.lexists(directory):
        return None
    private_directory(directory)
    entry = directory / _name(policy_id, precision)
    try:
        _verify(entry, policy_id, precision)
        exported = ExportedPolicy(entry / GRAPH_FILE, read_reference(entry / PARITY_FILE))
        if (exported.reference.policy_id, exported.reference.precision) != (policy_id, precision):
            raise _Unusable("its reference is that of another policy")
        os.utime(entry / MANIFEST_FILE)
    except FileNotFoundError:
        return None
    except (_Unusable, ConfigurationError, OSError) as error:
        _log.warning("%s is not used: %s", entry, error)
        return None
    return exported


def store_export(policy_id: str, precision: str, write: Callable[[Path], None]) -> None:
    """Let `write` put the graph, its weights and parity.json into an empty directory, which then becomes the entry.

    Nothing is written if there is a complete entry already. Other exports wait meanwhile. Raises ConfigurationError if
    the cache cannot be used, and what `write` raises; in both cases no files are left.
    """
    directory = private_directory(cache_directory())
    try:
        with locked(directory):
            for left_over in directory.glob(f"{_STAGED}*"):
                _remove(left_over)
            if cached_export(policy_id, precision) is None:
                _write_entry(directory, policy_id, precision, write)
            _trim(directory, keep=_name(policy_id, precision))
    except OSError as error:
        raise ConfigurationError(f"cannot write the export cache {directory}: {error}") from error


def _name(policy_id: str, precision: str) -> str:
    return f"{policy_id}-{package_version() or 'uninstalled'}-opset{OPSET}-{precision}"


def _head(policy_id: str, precision: str) -> dict[str, Any]:
    return {"policy_id": policy_id, "package": package_version(), "opset": OPSET, "precision": precision}


def _write_entry(directory: Path, policy_id: str, precision: str, write: Callable[[Path], None]) -> None:
    staged = Path(mkdtemp(prefix=_STAGED, dir=directory))  # 0700
    try:
        write(staged)
        files = {name: _sha256_of(staged / name) for name in _FILES}
        manifest = {**_head(policy_id, precision), "files": files}
        (staged / MANIFEST_FILE).write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
        for path in staged.iterdir():
            path.chmod(0o600)
            _sync(path)
        entry = directory / _name(policy_id, precision)
        _remove(entry)  # an entry that differs from what was written
        staged.rename(entry)
        _sync(directory)
    except BaseException:
        _remove(staged)
        raise
    _log.info("exported policy %s to %s", shown_id(policy_id), entry)


def _verify(entry: Path, policy_id: str, precision: str) -> None:
    """Raise _Unusable, FileNotFoundError or another OSError unless the entry is what `_write_entry` wrote."""
    descriptor = open_directory(entry)
    try:
        with open_file(MANIFEST_FILE, descriptor) as file:
            text = file.read(_MANIFEST_BYTES + 1)
        if len(text) > _MANIFEST_BYTES:
            raise _Unusable(f"its {MANIFEST_FILE} is longer than {_MANIFEST_BYTES} bytes")
        try:
            manifest = json.loads(text)
            files = manifest.pop("files")
            if manifest != _head(policy_id, precision) or sorted(files) != sorted(_FILES):
                raise _Unusable(f"its {MANIFEST_FILE} is of another export")
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise _Unusable(f"its {MANIFEST_FILE} cannot be read: {error}") from error
        names = set(os.listdir(descriptor))
        if names != {MANIFEST_FILE, *_FILES}:
            raise _Unusable(f"it holds {', '.join(sorted(names))}")
        for name in _FILES:
            with open_file(name, descriptor) as file:
                if _sha256(file) != files[name]:
                    raise _Unusable(f"{name} has other contents than were written")
    finally:
        os.close(descriptor)


def _sha256_of(path: Path) -> list[str]:
    with path.open("rb") as file:
        return _sha256(file)


def _sha256(file: BinaryIO) -> list[str]:
    """The sha256 of each piece of a file, in their order; an empty file has none."""
    descriptor = file.fileno()

    def hashed(offset: int) -> str:
        return hashlib.sha256(os.pread(descriptor, _PIECE, offset)).hexdigest()

    offsets = range(0, os.fstat(descriptor).st_size, _PIECE)
    with ThreadPoolExecutor(min(usable_cores(), _MOST_THREADS)) as pool:
        return list(pool.map(hashed, offsets))


def _trim(directory: Path, keep: str) -> None:
    """Remove the entries that were not used for longest, until the rest is within the limits."""
    entries = []
    for entry in directory.iterdir():
        if not entry.name.startswith("."):
            try:
                used = (entry / MANIFEST_FILE).lstat().st_mtime
                size = sum(path.lstat().st_size for path in entry.iterdir())
            except OSError:
                used, size = 0.0, 0
            entries.append((entry.name == keep, used, size, entry))
    entries.sort(key=lambda each: each[:2], reverse=True)
    total = 0
    for index, (kept, _, size, entry) in enumerate(entries):
        total += size
        if not kept and (index >= MOST_ENTRIES or total > MOST_BYTES):
            _remove(entry)


def _remove(path: Path) -> None:
    """Remove an entry of any kind; for a link, only the link is removed, not its target."""
    try:
        is_directory = stat.S_ISDIR(path.lstat().st_mode)
    except FileNotFoundError:
        return
    if is_directory:
        shutil.rmtree(path)
    else:
        path.unlink()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
