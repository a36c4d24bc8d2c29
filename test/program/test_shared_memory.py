"""Files that killed programs leave of Fast DDS are removed; files in use, or just made, are not."""

import fcntl
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from act_inference_ros.program import shared_memory
from act_inference_ros.program.processes import ManagedProcess


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(shared_memory, "DIRECTORY", tmp_path)
    return tmp_path


def segment(directory: Path, kind: str = "fastdds") -> Path:
    """A segment and its lock file, which nobody holds, as a killed participant leaves them."""
    path = directory / f"{kind}_{secrets.token_hex(8)}"
    for each in (path, Path(f"{path}_el")):
        each.touch()
    return path


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


@pytest.mark.parametrize("kind", ["fastdds", "fastrtps"])
def test_a_dead_segment_goes_with_its_lock(directory: Path, kind: str) -> None:
    dead = segment(directory, kind)
    assert sorted(shared_memory.remove_dead([dead.name])) == [dead.name, f"{dead.name}_el"]
    assert names(directory) == []


def test_a_segment_in_use_stays(directory: Path) -> None:
    used = segment(directory)
    with open(f"{used}_el") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert shared_memory.remove_dead([used.name, f"{used.name}_el"]) == []
    assert len(names(directory)) == 2


def test_a_port_that_somebody_sends_to_stays(directory: Path) -> None:
    for end in ("", "_el", "_sl"):
        (directory / f"fastdds_port7411{end}").touch()
    (directory / "sem.fastdds_port7411_mutex").touch()
    with open(directory / "fastdds_port7411_sl") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        assert shared_memory.remove_dead(["fastdds_port7411"]) == []
    assert len(shared_memory.remove_dead(["fastdds_port7411"])) == 4
    assert names(directory) == []


def test_other_programs_files_stay(directory: Path) -> None:
    (directory / "fastdds_config").touch()
    (directory / "somebody_elses").touch()
    assert shared_memory.remove_dead(["fastdds_config", "somebody_elses", "../passwd"]) == []
    assert shared_memory.remove_abandoned() == []


def test_a_young_segment_is_not_taken_for_abandoned(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    young = segment(directory)
    assert shared_memory.remove_abandoned() == []
    assert young.exists()
    monkeypatch.setattr(shared_memory, "SETTLED_S", -1.0)
    assert len(shared_memory.remove_abandoned()) == 2


@pytest.fixture
def dead_in_shared_memory() -> Iterator[Path]:
    path = segment(shared_memory.DIRECTORY)
    yield path
    for each in (path, Path(f"{path}_el")):
        each.unlink(missing_ok=True)


def test_a_program_that_must_be_killed_leaves_no_segment(tmp_path: Path, dead_in_shared_memory: Path) -> None:
    program = f"""if True:
        import fcntl, signal, time
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        lock = open("{dead_in_shared_memory}_el")
        fcntl.flock(lock, fcntl.LOCK_EX)
        print("ready", flush=True)
        time.sleep(60)
    """
    with ManagedProcess("stubborn", [sys.executable, "-c", program], os.environ, tmp_path / "log", 0.5) as process:
        end = time.monotonic() + 20.0
        while "ready" not in process.lines() and time.monotonic() < end:
            process.wait(0.05)
        assert shared_memory.remove_dead([dead_in_shared_memory.name]) == []
    assert not dead_in_shared_memory.exists()


def test_files_that_a_process_uses_are_found_and_none_of_a_process_that_has_ended(dead_in_shared_memory: Path) -> None:
    with open(dead_in_shared_memory):
        assert dead_in_shared_memory.name in shared_memory.in_use_by(os.getpid())
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    assert shared_memory.in_use_by(ended.pid) == set()


def test_a_file_made_locked_is_removed_once_nobody_locks_it_any_more(tmp_path: Path) -> None:
    descriptor, name = shared_memory.create_locked(tmp_path, "mine_", "_end")
    assert (tmp_path / name).stat().st_mode & 0o777 == 0o600
    assert shared_memory.remove_unlocked(tmp_path / name) == []
    os.close(descriptor)
    assert shared_memory.remove_unlocked(tmp_path / name) == [name]
    assert names(tmp_path) == []


def test_a_lock_outlives_its_maker_in_a_process_that_inherited_it(tmp_path: Path) -> None:
    descriptor, name = shared_memory.create_locked(tmp_path, "mine_")
    command = [sys.executable, "-c", "input()"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, pass_fds=[descriptor]) as heir:
        os.close(descriptor)
        assert shared_memory.remove_unlocked(tmp_path / name) == []
        heir.communicate(b"\n", timeout=20.0)
    assert shared_memory.remove_unlocked(tmp_path / name) == [name]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make another user's file")
def test_another_users_file_and_a_link_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "others").touch()
    os.chown(tmp_path / "others", 12345, -1)
    (tmp_path / "precious").touch()
    (tmp_path / "link").symlink_to(tmp_path / "precious")
    assert shared_memory.remove_unlocked(tmp_path / "others", tmp_path / "link") == []
    assert names(tmp_path) == ["link", "others", "precious"]
