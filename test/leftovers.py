"""What a test run leaves on the machine: shared memory, temporary files, processes; and which test module left it."""

import contextlib
import gc
import getpass
import os
import shutil
import tempfile
import time
import uuid
from pathlib import Path

from act_inference_ros.program import shared_memory
from act_inference_ros.serving import backend_scratch

MARKER = "ACT_INFERENCE_ROS_TEST_RUN"
"""Environment variable that every process of a test run inherits."""
DEADLINE_S = 10.0
"""How long a process that was told to end may take, on a busy machine."""

_SHARED_MEMORY = Path("/dev/shm")  # noqa: S108
_TRITONS = Path("/tmp")  # noqa: S108  # Triton's Python backend knows no other directory
FOR_EVER = (
    "lttng-ust-wait-",  # ROS's tracing makes these once for each user of a machine, and never removes them
    # Fast DDS's ports below 7400 are those of all domains: one participant that was killed, and they stay.
    "fastdds_port70",
    "sem.fastdds_port70",
)
"""In shared memory: beginnings of what cannot be told apart from what other programs of this machine use."""
_CACHES = (
    "torchinductor_",  # torch's compiled networks: a part of that cache goes here whatever its variable says
    ".ses",  # ONNX Runtime's, one small file of always the same name
)
"""In the temporary directory: beginnings of what libraries make once, and use again in the next run."""
_UNTIL_WE_END = (
    b"multiprocessing.resource_tracker",  # Python's own; ends with the process that uses shared memory or spawns
    b"torch/_inductor/compile_worker",  # torch's pool of compilers; ends with the process that compiled
)
"""In the command line of processes that end with this one, and cannot be told to end before."""


class Leftovers:
    """Notes the existing things at its construction, and later finds those that this run has added.

    Temporary files go into a directory of this run's own meanwhile, so that those of other programs do not matter. A
    file in shared memory that a process outside this run has been seen to use is not of this run.
    """

    def __init__(self) -> None:
        self._before = _entries(_SHARED_MEMORY)
        self._before_tritons = _environments()
        self._foreign: set[str] = set()
        self._first_seen: dict[str, str] = {}
        self._run = uuid.uuid4().hex
        shared = tempfile.gettempdir()
        self._directory = Path(tempfile.mkdtemp(prefix="act_tests_"))
        self._changed = {
            MARKER: self._run,
            "TMPDIR": str(self._directory),
            # What one run may leave to the next one stays where it always is: the last tests' directories, and
            # compiled networks, which take a minute to compile.
            "PYTEST_DEBUG_TEMPROOT": os.environ.get("PYTEST_DEBUG_TEMPROOT", shared),
            "TORCHINDUCTOR_CACHE_DIR": os.environ.get(
                "TORCHINDUCTOR_CACHE_DIR", os.path.join(shared, f"torchinductor_{getpass.getuser()}")
            ),
        }
        self._environment = {name: os.environ.get(name) for name in self._changed}
        os.environ.update(self._changed)
        tempfile.tempdir = None  # else Python goes on with what it has found before
        backend_scratch.expect()

    def note(self, test_module: str) -> None:
        """Remember that what is there now, and was not before, came with `test_module`."""
        for thing in self._now():
            self._first_seen.setdefault(thing, test_module)

    def after(self, deadline_s: float = DEADLINE_S) -> list[str]:
        """Wait until nothing of this run is left; return a line for each thing left after the deadline."""
        end = time.monotonic() + deadline_s
        while (left := self._now()) and time.monotonic() < end:
            time.sleep(0.1)
            gc.collect()
            backend_scratch.remove_abandoned()
        return [f"{thing} (first seen after {self._first_seen.get(thing, 'the last test')})" for thing in sorted(left)]

    def forget(self) -> None:
        """Undo the changes for this run."""
        for name, value in self._environment.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        tempfile.tempdir = None
        shutil.rmtree(self._directory, ignore_errors=True)

    def _now(self) -> set[str]:
        processes = _processes()
        ours = {pid for pid in processes if self._is_ours(pid, processes)}
        for pid in processes.keys() - ours - {os.getpid()}:
            self._foreign |= shared_memory.in_use_by(pid)
        memory = {
            f"{_SHARED_MEMORY}/{name}"
            for name in _entries(_SHARED_MEMORY) - self._before - self._foreign
            if not name.startswith(FOR_EVER) and not _stem(name) & self._foreign
        }
        temporary = {str(path) for path in self._directory.iterdir() if not path.name.startswith(_CACHES)}
        # Without a Triton of another run: with one, nobody knows whose these are.
        foreign_triton = any(_command(pid).split(b"\0")[0].endswith(b"tritonserver") for pid in processes.keys() - ours)
        environments = set() if foreign_triton else {str(path) for path in _environments() - self._before_tritons}
        return memory | temporary | environments | {f"process {pid}: {_readable(pid)}" for pid in ours}

    def _is_ours(self, pid: int, parents: dict[int, int]) -> bool:
        command = _command(pid)
        if pid == os.getpid() or not command or any(word in command for word in _UNTIL_WE_END):
            return False  # without a command line it has ended, and only waits for its parent to notice
        with contextlib.suppress(OSError):
            if f"{MARKER}={self._run}".encode() in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
                return True
        while pid in parents and pid != os.getpid():
            pid = parents[pid]
        return pid == os.getpid()


def _entries(directory: Path) -> set[str]:
    return set(os.listdir(directory)) if directory.is_dir() else set()


def _environments() -> set[Path]:
    return set(_TRITONS.glob("python_env_??????"))


def _stem(name: str) -> set[str]:
    """The file that a lock or a semaphore in shared memory belongs to: who uses that need not have these open."""
    return {name.removeprefix("sem.").removesuffix("_mutex").removesuffix("_el").removesuffix("_sl")}


def _processes() -> dict[int, int]:
    """Each process and its parent."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it has just ended
            parents[int(stat.parent.name)] = int(stat.read_text(errors="replace").rpartition(")")[2].split()[1])
    return parents


def _command(pid: int) -> bytes:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    return b""


def _readable(pid: int) -> str:
    return _command(pid).replace(b"\0", b" ").decode(errors="replace").strip()[:200]
