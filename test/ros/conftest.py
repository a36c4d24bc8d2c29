"""Fixtures of the ROS tests: a private domain and environment for each test."""

import importlib.util
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import pytest

from act_inference_ros.demo.domain import private_domain
from test.ros.ros_helpers import PROFILE, Participant, ros_environment

_WITHOUT_ROS = importlib.util.find_spec("rclpy") is None


class _SkippedModule(pytest.Module):
    def collect(self) -> NoReturn:
        pytest.skip("ROS 2 is not here: rclpy cannot be imported", allow_module_level=True)


def pytest_pycollect_makemodule(module_path: Path, parent: pytest.Collector) -> pytest.Module | None:
    # Before the module is imported: it imports rclpy at its top, as modules should.
    return _SkippedModule.from_parent(parent, path=module_path) if _WITHOUT_ROS else None


@pytest.fixture
def domain() -> Iterator[int]:
    with private_domain() as domain:
        yield domain


@pytest.fixture
def environment(tmp_path: Path, domain: int, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """For the processes of a test; this process gets the same, so that its participant meets them."""
    environment = ros_environment(tmp_path, domain)
    for name in ("ROS_LOG_DIR", "ROS_AUTOMATIC_DISCOVERY_RANGE", "AMENT_PREFIX_PATH"):
        monkeypatch.setenv(name, environment[name])
    monkeypatch.setenv("FASTDDS_DEFAULT_PROFILES_FILE", os.fspath(PROFILE))
    return environment


@pytest.fixture
def participant(domain: int, environment: dict[str, str]) -> Iterator[Participant]:
    with Participant(domain) as participant:
        yield participant
