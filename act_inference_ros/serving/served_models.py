"""Checks a model repository before a server starts, for mistakes that Triton would report in many pages of output."""

from __future__ import annotations

import re
from pathlib import Path

from act_inference_ros.errors import ConfigurationError
from act_inference_ros.serving.model_config import CONFIG_FILE, read_served_contract
from act_inference_ros.serving.repository import exported_versions, read_config


def check_repository(repository: Path, backends: frozenset[str] | None, loads_all: bool = True) -> None:
    """Raise ConfigurationError if there is no model to serve, or a model that cannot be served.

    `backends`: those of the server, None if unknown. `loads_all`: the server loads every model at its start.
    """
    if not repository.is_dir():
        raise ConfigurationError(f"model repository {repository}: no such directory")
    configs = sorted(repository.glob(f"*/{CONFIG_FILE}"))
    if not configs:
        raise ConfigurationError(
            f"model repository {repository}: no model in it; export one: "
            f"export_policy --checkpoint DIR --repository {repository}"
        )
    if not loads_all:
        return
    for config in configs:
        text = read_config(config, errors="replace")
        model = config.parent
        if read_served_contract(text) is not None and not exported_versions(model):
            raise ConfigurationError(
                f"{model}: no policy exported into it yet: "
                f"export_policy --checkpoint DIR --repository {repository} --name {model.name}, or remove it"
            )
        backend = re.search(r'^[ \t]*backend:\s*["\'](\w+)["\']', text, re.MULTILINE)
        if backend is not None and backends is not None and backend[1] not in backends:
            raise ConfigurationError(
                f"{model} needs the backend {backend[1]}, this machine's Triton has {', '.join(sorted(backends))}: "
                "export with --backend python, or serve it with Triton's container"
            )
