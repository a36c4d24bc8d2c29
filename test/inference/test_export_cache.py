"""The cache of exported graphs: an entry that is incomplete, foreign or changed is never used."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import stat
import threading
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest

from act_inference_ros.errors import ConfigurationError
from act_inference_ros.inference.local import export_cache
from act_inference_ros.inference.local.export_cache import cache_directory, cached_export, store_export
from test.serving.references import SPEC, written

POLICY = SPEC.policy_id
OTHER = "b" * 64


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def write(directory: Path) -> None:
    (directory / "model.onnx").write_bytes(b"graph")
    (directory / "model.weights").write_bytes(b"weights")
    written(directory / "parity.json")


def stored() -> Path:
    """A complete entry."""
    store_export(POLICY, "float32", write)
    (entry,) = (path for path in cache_directory().iterdir() if path.name.startswith(POLICY))
    return entry


def refuse(directory: Path) -> NoReturn:
    raise AssertionError(f"nothing was to be written to {directory}")


def test_a_stored_export_is_found_and_belongs_to_the_user_alone(tmp_path: Path) -> None:
    assert cached_export(POLICY, "float32") is None
    assert not (tmp_path / "cache").exists(), "looking makes nothing"
    entry = stored()
    found = cached_export(POLICY, "float32")
    assert found is not None
    assert found.graph.read_bytes() == b"graph"
    assert found.reference.policy_id == POLICY
    for directory in (entry, entry.parent, entry.parent.parent):
        assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in entry.iterdir()} == {0o600}


def test_every_piece_of_a_file_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export_cache, "_PIECE", 3)
    entry = stored()
    assert cached_export(POLICY, "float32") is not None
    for index in range(len(b"weights")):
        changed = bytearray(b"weights")
        changed[index] ^= 1
        (entry / "model.weights").write_bytes(changed)
        assert cached_export(POLICY, "float32") is None
    (entry / "model.weights").write_bytes(b"weightsmore")
    assert cached_export(POLICY, "float32") is None


def test_it_is_written_once(tmp_path: Path) -> None:
    stored()
    store_export(POLICY, "float32", refuse)


@pytest.mark.parametrize(("policy_id", "precision"), [(OTHER, "float32"), (POLICY, "float16")])
def test_another_policy_or_precision_has_an_entry_of_its_own(policy_id: str, precision: str) -> None:
    stored()
    assert cached_export(policy_id, precision) is None


@pytest.mark.parametrize("what", ["version", "opset"])
def test_another_version_or_opset_has_an_entry_of_its_own(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    stored()
    if what == "version":
        monkeypatch.setattr(export_cache, "package_version", lambda: "99.0")
    else:
        monkeypatch.setattr(export_cache, "OPSET", 99)
    assert cached_export(POLICY, "float32") is None


def change_graph(entry: Path) -> None:
    (entry / "model.onnx").write_bytes(b"grapf")


def change_reference(entry: Path) -> None:
    with (entry / "parity.json").open("a") as file:
        file.write("\n")


def change_weights(entry: Path) -> None:
    (entry / "model.weights").write_bytes(b"weightz")


def truncate(entry: Path) -> None:
    (entry / "model.onnx").write_bytes(b"")


def remove_graph(entry: Path) -> None:
    (entry / "model.onnx").unlink()


def remove_manifest(entry: Path) -> None:
    (entry / "manifest.json").unlink()


def spoil_manifest(entry: Path) -> None:
    (entry / "manifest.json").write_text("[" * 9_000)


def no_object_as_manifest(entry: Path) -> None:
    (entry / "manifest.json").write_text("[]")


def endless_manifest(entry: Path) -> None:
    with (entry / "manifest.json").open("a") as file:
        file.write(" " * 100_000 + "{")


def add_file(entry: Path) -> None:
    (entry / "model.onnx.data").write_bytes(b"more")


def link_graph(entry: Path) -> None:
    (entry / "model.onnx").rename(entry.parent.parent / "elsewhere")
    (entry / "model.onnx").symlink_to(entry.parent.parent / "elsewhere")


def hard_link_graph(entry: Path) -> None:
    os.link(entry / "model.onnx", entry.parent.parent / "elsewhere")


def link_entry(entry: Path) -> None:
    elsewhere = entry.parent.parent / "elsewhere"
    entry.rename(elsewhere)
    entry.symlink_to(elsewhere)


def pipe_as_graph(entry: Path) -> None:
    (entry / "model.onnx").unlink()
    os.mkfifo(entry / "model.onnx")


def file_as_entry(entry: Path) -> None:
    shutil.rmtree(entry)
    entry.write_bytes(b"")


def let_others_write(entry: Path) -> None:
    (entry / "model.onnx").chmod(0o666)


def let_others_replace(entry: Path) -> None:
    entry.chmod(0o777)


def of_another_policy(entry: Path) -> None:
    """A complete entry under another policy's name, with an adjusted manifest."""
    manifest = json.loads((entry / "manifest.json").read_text())
    written(entry / "parity.json", policy_id=OTHER)
    manifest["files"]["parity.json"] = export_cache._sha256_of(entry / "parity.json")
    (entry / "manifest.json").write_text(json.dumps(manifest))


SPOILT = [
    change_graph, change_weights, change_reference, truncate, remove_graph, remove_manifest, spoil_manifest,
    no_object_as_manifest, endless_manifest, add_file, link_graph, hard_link_graph, link_entry, pipe_as_graph,
    file_as_entry, let_others_write, let_others_replace, of_another_policy,
]  # fmt: skip


@pytest.mark.parametrize("spoil", SPOILT, ids=lambda spoil: spoil.__name__)
def test_an_entry_that_is_not_what_was_written_is_not_handed_out_and_written_anew(
    spoil: Callable[[Path], None],
) -> None:
    spoil(stored())
    assert cached_export(POLICY, "float32") is None
    entry = stored()
    assert cached_export(POLICY, "float32") is not None
    assert not entry.is_symlink()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
@pytest.mark.parametrize("name", ["model.onnx", "manifest.json", "parity.json", ""])
def test_an_entry_of_another_user_is_not_handed_out(name: str) -> None:
    os.chown(stored() / name, 4321, -1)
    assert cached_export(POLICY, "float32") is None


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_cache_of_another_user_is_an_error() -> None:
    os.chown(stored().parent, 4321, -1)
    with pytest.raises(ConfigurationError, match=r"exports: .* it belongs to user 4321, .*set XDG_CACHE_HOME"):
        cached_export(POLICY, "float32")
    with pytest.raises(ConfigurationError, match="it belongs to user 4321"):
        store_export(POLICY, "float32", refuse)


@pytest.mark.parametrize("level", [0, 1])
def test_a_cache_that_is_a_link_or_that_others_may_write_is_an_error(level: int, tmp_path: Path) -> None:
    directory = stored().parents[level]
    directory.chmod(0o770)
    with pytest.raises(ConfigurationError, match=r"others may write it \(mode 0770\)"):
        cached_export(POLICY, "float32")
    directory.chmod(0o700)
    directory.rename(tmp_path / "elsewhere")
    directory.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConfigurationError, match="expected a directory of this user's that nobody else may write"):
        cached_export(POLICY, "float32")


def test_an_export_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def fail(directory: Path) -> NoReturn:
        write(directory)
        raise ConfigurationError("parity failed")

    with pytest.raises(ConfigurationError, match="parity failed"):
        store_export(POLICY, "float32", fail)
    assert [path.name for path in cache_directory().iterdir()] == [".lock"]


def test_what_a_killed_export_left_is_removed_by_the_next() -> None:
    entry = stored()
    left_over = entry.parent / ".staged-abc"
    left_over.mkdir()
    (left_over / "model.onnx").write_bytes(b"half")
    stored()
    assert not left_over.exists()


def test_a_second_export_waits_and_finds_the_first_ones_entry() -> None:
    entry = stored()
    lock = os.open(entry.parent / ".lock", os.O_RDWR)
    fcntl.flock(lock, fcntl.LOCK_EX)
    shutil.rmtree(entry)
    second = threading.Thread(target=lambda: store_export(POLICY, "float32", refuse), daemon=True)
    second.start()
    second.join(0.2)
    assert second.is_alive(), "it did not wait"
    write_by_hand(entry)
    os.close(lock)
    second.join(20.0)
    assert not second.is_alive()
    assert cached_export(POLICY, "float32") is not None


def write_by_hand(entry: Path) -> None:
    """Write an entry as another process does that holds the lock."""
    entry.mkdir(mode=0o700)
    write(entry)
    files = {name: export_cache._sha256_of(entry / name) for name in ("model.onnx", "model.weights", "parity.json")}
    (entry / "manifest.json").write_text(json.dumps({**export_cache._head(POLICY, "float32"), "files": files}))
    for path in entry.iterdir():
        path.chmod(0o600)


def test_the_least_recently_used_entries_go_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export_cache, "MOST_ENTRIES", 2)
    entry = stored()
    for index in (1, 2, 3):  # older and older
        other = entry.parent / f"{index}{entry.name[1:]}"
        shutil.copytree(entry, other)
        os.utime(other / "manifest.json", (1e9 - index, 1e9 - index))
    os.utime(entry / "manifest.json", (0, 0))
    assert cached_export(POLICY, "float32") is not None  # which counts as use
    store_export(OTHER, "float32", write)
    assert sorted(path.name[:1] for path in entry.parent.iterdir()) == [".", "a", "b"]
