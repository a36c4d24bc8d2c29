"""Finds the Triton of this machine, and the command and environment that start it."""

from __future__ import annotations

import ctypes.util
import importlib.metadata
import importlib.util
import os
import shutil
import sys
import sysconfig
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from act_inference_ros.errors import ConfigurationError
from act_inference_ros.program import exit_status

SERVER = "tritonserver"
_WHEEL = "nvidia-pytriton"
_PYTHON_BACKEND_FILES = ("libtriton_python.so", "triton_python_backend_utils.py")
_STUB = "triton_python_backend_stub"


@dataclass(frozen=True)
class Installation:
    """A Triton: its executable, its own flags and environment variables, and its backends (None: unknown)."""

    executable: Path
    flags: tuple[str, ...] = ()
    environment: Mapping[str, str] | None = None
    backends: frozenset[str] | None = None


def find_triton(scratch: Path) -> Installation:
    """The `tritonserver` on PATH, otherwise the one inside the nvidia-pytriton wheel.

    `scratch` is a directory that must exist as long as the server: the wheel's backend is copied into it. Raises
    ConfigurationError if there is no Triton, or if the wheel's Triton cannot work here.
    """
    on_path = shutil.which(SERVER)
    if on_path is not None:
        return Installation(Path(on_path))
    found = importlib.util.find_spec("pytriton")
    if found is None or not found.submodule_search_locations:
        raise ConfigurationError(
            f"no Triton on this machine: no {SERVER} on PATH, and the wheel is not installed "
            f"(pip install --no-deps {_WHEEL})"
        )
    return _from_wheel(Path(next(iter(found.submodule_search_locations))), scratch)


def _from_wheel(package: Path, scratch: Path) -> Installation:
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    root = package / SERVER
    executable, stub = root / "bin" / SERVER, root / "python_backend_stubs" / version / _STUB
    backend = root / "backends" / "python"
    for path in (executable, stub, *(backend / name for name in _PYTHON_BACKEND_FILES)):
        if not path.is_file():
            raise ConfigurationError(f"the Triton in the {_WHEEL} wheel cannot run with Python {version}: no {path}")
    _refuse_numpy_2()
    laid_out = scratch / "backends"
    (laid_out / "python").mkdir(parents=True)
    for path in (stub, *(backend / name for name in _PYTHON_BACKEND_FILES)):
        (laid_out / "python" / path.name).symlink_to(path)
    libraries = [str(package.parent / "nvidia_pytriton.libs"), *_libpython_directory(version)]
    environment = {
        # The stub uses the packages of the python3 on PATH; it ignores PYTHONPATH.
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]),
        "LD_LIBRARY_PATH": os.pathsep.join(libraries),
        # ROS 2 wheels restart each Python once, to set LD_LIBRARY_PATH; such a restart would end the stub.
        "_ROS_WHEELS_BOOTSTRAP_COMPLETE": "1",
    }
    flags = (
        f"--backend-directory={laid_out}",
        "--disable-auto-complete-config",
        "--pinned-memory-pool-byte-size=0",
        "--allow-gpu-metrics=false",
    )
    return Installation(executable, flags, environment, frozenset({"python"}))


def _refuse_numpy_2() -> None:
    """Refuse numpy 2: the wheel's stub was built for numpy 1 and then uses wrong numbers without an error."""
    try:
        version = importlib.metadata.version("numpy")
    except importlib.metadata.PackageNotFoundError:
        version = ""
    if not version or int(version.partition(".")[0]) >= 2:
        raise ConfigurationError(
            f"the Triton in the {_WHEEL} wheel silently corrupts tensors with numpy 2, and here is numpy "
            f"{version or 'none'}: pip install 'numpy<2' into this environment"
        )


def _libpython_directory(version: str) -> list[str]:
    """The directories where the stub finds libpython: beside this Python; empty if the linker finds it anyway."""
    library = sysconfig.get_config_var("INSTSONAME") or ""
    directories = [sysconfig.get_config_var("LIBDIR") or "", f"{sys.base_prefix}/lib"]
    for directory in directories:
        if library.startswith("libpython") and ".so" in library and Path(directory, library).is_file():
            return [directory]
    if ctypes.util.find_library(f"python{version}"):
        return []
    raise ConfigurationError(
        f"the Triton in the {_WHEEL} wheel needs the shared library of Python {version}; "
        f"Debian, Ubuntu: apt-get install libpython{version}"
    )


def main() -> int:
    """Print which Triton would be started; returns 2 if there is none."""
    with tempfile.TemporaryDirectory() as scratch:
        try:
            print(find_triton(Path(scratch)).executable)
        except ConfigurationError as error:
            print(f"error: {error}", file=sys.stderr)
            return exit_status.MISTAKE
    return exit_status.OK


if __name__ == "__main__":
    sys.exit(main())
