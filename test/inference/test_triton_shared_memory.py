"""Images in shared memory: the client tries whether it works; clients that end or are killed leave nothing behind."""

import contextlib
import logging
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from act_inference_ros.errors import NotReadyError
from act_inference_ros.inference.client import InferenceClient
from act_inference_ros.inference.triton import shared_memory as triton_shared_memory
from act_inference_ros.inference.triton.regions import MAX_REGIONS
from act_inference_ros.inference.triton.shared_memory import PREFIX, Region
from act_inference_ros.program.shared_memory import remove_abandoned_client_regions
from test.inference.triton_models import fingerprint, observation, policy_spec, write_model
from test.inference.triton_process import RunningTriton

SPEC = policy_spec(height=96, width=128)
IMAGE = "observation.images.cam0"
DIRECTORY = Path("/dev/shm")  # noqa: S108 - where it is

CLIENT_THAT_NEVER_CLOSES = """
import sys
from act_inference_ros.inference.client import InferenceClient
from test.inference.triton_models import observation
client = InferenceClient.create("triton", server=sys.argv[1], shared_memory="on")
client.predict(observation(client.spec))
print("ready", flush=True)
sys.stdin.read()
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningTriton]:
    with RunningTriton(write_model(tmp_path_factory.mktemp("models"), SPEC, instances=2)) as process:
        yield process.wait_ready()


def regions_here() -> set[str]:
    return {path.name for path in DIRECTORY.glob(f"{PREFIX}*")}


def create(server: RunningTriton, shared_memory: str = "on", **options: Any) -> InferenceClient:
    return InferenceClient.create("triton", server=server.address, shared_memory=shared_memory, **options)


def answers(client: InferenceClient) -> bool:
    given = observation(SPEC, 5.0)
    return tuple(client.predict(given)[0, :2]) == (5.0, fingerprint(given[IMAGE]))


def test_a_region_lives_as_long_as_its_client(server: RunningTriton) -> None:
    before = regions_here()
    with create(server, "auto") as client:
        assert answers(client)
        (name,) = server.shared_regions
        assert name in regions_here()
        assert (DIRECTORY / name).stat().st_mode & 0o077 == 0  # no other user may read or write it
    assert server.shared_regions == set()
    assert regions_here() <= before


def test_switched_off_it_shares_no_region(server: RunningTriton) -> None:
    with create(server, "off") as client:
        assert answers(client)
        assert server.shared_regions == set()


def test_concurrent_requests_have_a_region_each_up_to_a_limit(server: RunningTriton) -> None:
    with create(server, timeout_s=20.0) as client:
        threads = [
            threading.Thread(target=client.predict, args=(observation(SPEC, delay_s=0.3),))
            for _ in range(MAX_REGIONS + 2)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30.0)
        assert len(server.shared_regions) == MAX_REGIONS
        assert answers(client)
    assert server.shared_regions == set()


def test_where_server_and_client_share_no_memory_images_go_over_grpc(
    server: RunningTriton, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    monkeypatch.setattr(triton_shared_memory, "DIRECTORY", tmp_path)  # as in another container, or on another machine
    caplog.set_level(logging.INFO)
    with create(server, "auto") as client:
        assert answers(client)
        assert server.shared_regions == set()
    assert [record.message for record in caplog.records if "images go over gRPC" in record.message]
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(NotReadyError, match="shared_memory is on"):
        create(server, "on", wait_s=60.0)


def test_without_room_images_go_over_grpc(server: RunningTriton, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_room(*_: object) -> None:
        raise OSError(28, "No space left on device")

    before = regions_here()
    monkeypatch.setattr(triton_shared_memory.os, "posix_fallocate", no_room)  # type: ignore[attr-defined]  # the module that it uses
    with create(server, "auto") as client:
        assert answers(client)
    assert regions_here() <= before


def test_a_server_that_can_no_longer_see_this_machines_memory_gets_the_images_over_grpc(tmp_path: Path) -> None:
    with RunningTriton(write_model(tmp_path, SPEC)) as process:
        process.wait_ready()
        with create(process, "auto") as client:
            assert answers(client)
            (name,) = process.shared_regions
            process.kill()
            (DIRECTORY / name).unlink()  # as if it were another machine's
            process.start().wait_ready()
            assert answers(client)
            assert process.shared_regions == set()


def test_a_server_that_was_started_again_gets_the_region_within_the_same_request(server: RunningTriton) -> None:
    with create(server) as client:
        assert answers(client)
        server.kill()
        server.start().wait_ready()
        assert answers(client)  # gRPC connects anew by itself; the client has seen no failure
        assert len(server.shared_regions) == 1


@contextlib.contextmanager
def client_in_another_process(server: RunningTriton) -> Iterator[subprocess.Popen[str]]:
    """A client that has computed a chunk; it ends without closing when its standard input does."""
    command = [sys.executable, "-c", CLIENT_THAT_NEVER_CLOSES, server.address]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process


def test_a_program_that_ends_without_closing_leaves_nothing(server: RunningTriton) -> None:
    with client_in_another_process(server) as process:
        (name,) = server.shared_regions
        process.communicate(timeout=20.0)
    assert server.shared_regions == set()
    assert name not in regions_here()


def test_what_a_killed_client_left_is_removed_by_the_next_one(server: RunningTriton) -> None:
    with client_in_another_process(server) as process:
        try:
            (left,) = server.shared_regions
            with create(server) as client:
                assert left in server.shared_regions  # its process is running: it must stay
                assert left in regions_here()
                assert answers(client)
        finally:
            process.send_signal(signal.SIGKILL)
    assert left in regions_here()
    with create(server) as client:
        assert left not in server.shared_regions
        assert left not in regions_here()
        assert answers(client)


def test_a_region_in_use_is_not_removed() -> None:
    region = Region(SPEC.images)
    try:
        remove_abandoned_client_regions()
        assert region.name in regions_here()
    finally:
        region.close()
    assert region.name not in regions_here()


def test_files_of_others_are_left_alone() -> None:
    other = DIRECTORY / "not_act_inference_1_2"
    other.touch()
    try:
        remove_abandoned_client_regions()
        assert other.exists()
    finally:
        other.unlink()


def test_a_server_that_dies_with_the_client_connected_leaves_nothing_after_close(server: RunningTriton) -> None:
    before = regions_here()
    client = create(server)
    server.kill()
    client.close()
    assert regions_here() <= before
    server.start().wait_ready()
