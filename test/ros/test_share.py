"""The package's files are found however it was installed."""

import sys
from pathlib import Path

import pytest

from act_inference_ros.demo.domain import private_domain
from act_inference_ros.program.installed_files import share_directory
from test.ros.ros_helpers import PROJECT


def test_a_colcon_install_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    marker = tmp_path / "share" / "ament_index" / "resource_index" / "packages" / "act_inference_ros"
    share = tmp_path / "share" / "act_inference_ros"
    for directory in (marker.parent, share / "config"):
        directory.mkdir(parents=True)
    marker.touch()
    monkeypatch.setenv("AMENT_PREFIX_PATH", str(tmp_path))
    assert share_directory() == share


@pytest.mark.parametrize("ament_prefix_path", [None, "/nonexistent"])
def test_a_pip_install_then_the_checkout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ament_prefix_path: str | None
) -> None:
    monkeypatch.delenv("AMENT_PREFIX_PATH", raising=False)
    if ament_prefix_path is not None:
        monkeypatch.setenv("AMENT_PREFIX_PATH", ament_prefix_path)
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    assert share_directory() == PROJECT
    (tmp_path / "share" / "act_inference_ros" / "config").mkdir(parents=True)
    assert share_directory() == tmp_path / "share" / "act_inference_ros"


def test_two_private_domains_differ() -> None:
    with private_domain() as one, private_domain() as other:
        assert one != other
