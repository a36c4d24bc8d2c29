"""How the deployment files start Triton: their scripts, and the flags that these give to it."""

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

PROJECT = Path(__file__).parents[2]
COMPOSE, KUBERNETES = PROJECT / "deploy" / "compose.yaml", PROJECT / "deploy" / "kubernetes.yaml"


def kubernetes() -> dict[str, dict[str, Any]]:
    """The resources, by kind."""
    yaml = pytest.importorskip("yaml", reason="PyYAML is not installed")
    return {resource["kind"]: resource for resource in yaml.safe_load_all(KUBERNETES.read_text())}


def compose_service() -> dict[str, Any]:
    yaml = pytest.importorskip("yaml", reason="PyYAML is not installed")
    [service] = yaml.safe_load(COMPOSE.read_text())["services"].values()
    return service


def compose_script() -> str:
    """What the container's shell runs."""
    assert compose_service()["entrypoint"] == ["/bin/sh", "-euc"]
    [script] = compose_service()["command"]
    return script.replace("$$", "$")  # so Compose writes a dollar


def kubernetes_script() -> str:
    """What the container's shell runs."""
    [container] = kubernetes()["Deployment"]["spec"]["template"]["spec"]["containers"]
    assert container["command"] == ["/bin/sh", "-euc"]
    [script] = container["args"]
    return script


def flags_of(script: str, secrets: Path, scratch: Path, program: str = "tritonserver") -> list[str]:
    """The arguments that `program` is started with by a script whose secrets lie in a directory."""
    stand_in = scratch / program
    stand_in.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    stand_in.chmod(0o755)
    environment = {"PATH": f"{scratch}:{os.environ['PATH']}"}
    script = script.replace("/run/secrets/", f"{secrets}/")
    ran = subprocess.run(["/bin/sh", "-euc", script], env=environment, capture_output=True, text=True, timeout=20)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.splitlines()
