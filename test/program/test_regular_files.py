"""A file that somebody else put there neither blocks nor floods who reads it."""

import os
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from act_inference_ros.errors import CheckpointError, ConfigurationError
from act_inference_ros.evaluation.report.compare import read_metrics
from act_inference_ros.policy.json_files import read_json
from act_inference_ros.policy.reference import read_reference
from act_inference_ros.program.bounded_json import load_json
from act_inference_ros.program.regular_files import NotRegularFileError, open_regular, read_regular
from act_inference_ros.robot.parameter_file import read_configuration, why_nothing_applies
from act_inference_ros.serving.repository import check_model
from act_inference_ros.serving.served_models import check_repository
from test.bounds import bounded

READERS: dict[str, Callable[[Path], object]] = {
    "parameters": read_configuration,
    "section": lambda path: why_nothing_applies(path, "/policy_node"),
    "metrics": read_metrics,
    "parity": read_reference,
    "checkpoint": read_json,
}


def pipe(path: Path) -> None:
    os.mkfifo(path)


def device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def link_to_a_pipe(path: Path) -> None:
    os.mkfifo(path.with_suffix(".pipe"))
    path.symlink_to(path.with_suffix(".pipe"))


@pytest.mark.parametrize("make", [pipe, device, link_to_a_pipe])
@pytest.mark.parametrize("reader", READERS)
def test_a_pipe_or_a_device_is_refused_at_once(tmp_path: Path, reader: str, make: Callable[[Path], None]) -> None:
    path = tmp_path / "file"
    make(path)
    with bounded(), pytest.raises((ConfigurationError, CheckpointError), match="a pipe or a device"):
        READERS[reader](path)


@pytest.mark.parametrize("make", [pipe, device])
def test_a_metrics_json_in_a_directory_is_a_file(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "metrics.json")
    with bounded(), pytest.raises(ConfigurationError, match="a pipe or a device"):
        read_metrics(tmp_path)


def test_a_config_pbtxt_has_a_bounded_size(tmp_path: Path) -> None:
    config = tmp_path / "policy" / "config.pbtxt"
    config.parent.mkdir()
    with config.open("wb") as file:
        file.truncate(2**40)
    with bounded(), pytest.raises(ConfigurationError, match=r"config\.pbtxt: expected at most"):
        check_model(config.parent, "")
    with bounded(), pytest.raises(ConfigurationError, match=r"config\.pbtxt: expected at most"):
        check_repository(tmp_path, None, loads_all=True)


@pytest.mark.parametrize("reader", READERS)
def test_a_file_without_end_is_refused(tmp_path: Path, reader: str) -> None:
    path = tmp_path / "file"
    with path.open("wb") as file:
        file.truncate(2**40)  # zeros that take no room on the disk
    with bounded(2**30), pytest.raises((ConfigurationError, CheckpointError), match=r"at most \d+ bytes"):
        READERS[reader](path)


@pytest.mark.parametrize("reader", ["metrics", "parity"])
@pytest.mark.parametrize("piece", ["[],", "{},", '{"":0},'])
def test_many_small_values_take_little_memory(tmp_path: Path, reader: str, piece: str) -> None:
    path = tmp_path / "file"
    path.write_text("[" + piece * (15 * 2**20 // len(piece)) + "1]")
    tracemalloc.start()
    try:
        with pytest.raises(ConfigurationError):
            READERS[reader](path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 2**28


def test_json_within_its_bounds_is_read() -> None:
    assert load_json('{"a": [1, 2, "[,"]}', 3, 6) == {"a": [1, 2, "[,"]}
    with pytest.raises(ValueError, match="at most 2 lists"):
        load_json('{"a": [1, 2, "[,"]}', 2, 6)
    with pytest.raises(ValueError, match="at most 5 values"):
        load_json('{"a": [1, 2, "[,"]}', 3, 5)
    with pytest.raises(ValueError, match="nested too deeply"):
        load_json("[" * 100_000, 100_000, 200_000)


def test_files_are_read_up_to_their_size(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"abc")
    link = tmp_path / "link"
    link.symlink_to(path)
    assert read_regular(link, 3) == b"abc"
    with pytest.raises(OSError, match="at most 2 bytes"):
        read_regular(path, 2)


def test_what_cannot_be_opened_says_why(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError):
        open_regular(tmp_path)
    with pytest.raises(FileNotFoundError):
        open_regular(tmp_path / "nothing")
    with pytest.raises(OSError, match="null") as caught:
        open_regular(Path("a\0b"))
    assert caught.value.strerror
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(NotRegularFileError):
        open_regular(tmp_path / "pipe")
