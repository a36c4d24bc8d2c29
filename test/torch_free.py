"""A Python environment without PyTorch, as on a robot that has an exported policy only."""

import subprocess
import sys
import sysconfig
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
_LEFT_OUT = ("torch", "functorch", "safetensors", "onnx-", "onnx_ir", "onnxscript", "__editable__")
"""Beginnings of what is not in it: what a policy is trained and exported with."""


def make_torch_free_environment(directory: Path) -> Path:
    """Make a virtual environment in `directory` with this one's packages but those; returns its Python."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(directory)], check=True, timeout=120)
    python = directory / "bin" / "python"
    find = "import sysconfig; print(sysconfig.get_paths()['purelib'])"
    found = subprocess.run([python, "-c", find], check=True, capture_output=True, text=True, timeout=60)
    packages = Path(found.stdout.strip())
    for entry in Path(sysconfig.get_paths()["purelib"]).iterdir():
        if not entry.name.startswith((*_LEFT_OUT, "pip")) and entry.name != "onnx":
            (packages / entry.name).symlink_to(entry)
    for folder in ("lib", "share"):  # where the wheels of ROS 2 have their libraries and files
        (directory / folder).mkdir(exist_ok=True)
        for entry in (Path(sys.prefix) / folder).glob("*"):
            if not (directory / folder / entry.name).exists():
                (directory / folder / entry.name).symlink_to(entry)
    (packages / "project.pth").write_text(f"{PROJECT}\n")
    return python
