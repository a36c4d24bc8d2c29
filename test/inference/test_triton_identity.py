"""A server with other weights than before is noticed with its first answer, and used only after a person accepts it."""

import logging
import time
from pathlib import Path

import pytest

from act_inference_ros.errors import AnotherPolicyError, InferenceError, NotReadyError
from act_inference_ros.inference.client import InferenceClient
from test.inference.relay import Relay, target
from test.inference.triton_models import observation, policy_spec, write_model
from test.inference.triton_process import RunningTriton, wait_until

SPEC = policy_spec(height=96, width=128)
OLD, NEW, THIRD = "ab" * 32, "cd" * 32, "ef" * 32


def said_to_be_another(client: InferenceClient) -> bool:
    try:
        client.predict(observation(SPEC))
    except AnotherPolicyError:
        return True
    except InferenceError:  # while it is not there
        return False
    return False


def test_the_client_tells_which_policy_and_version_it_has(tmp_path: Path) -> None:
    with RunningTriton(write_model(tmp_path, SPEC, policy_id=OLD)) as process:
        process.wait_ready()
        with InferenceClient.create("triton", server=process.address) as client:
            client.predict(observation(SPEC))
            assert (client.policy_id, client.spec.policy_id, client.model_version) == (OLD, OLD, "1")


def test_a_server_that_was_started_again_with_other_weights_is_another_policy(tmp_path: Path) -> None:
    repository = write_model(tmp_path, SPEC, policy_id=OLD)
    with RunningTriton(repository) as process:
        process.wait_ready()
        with InferenceClient.create("triton", server=process.address) as client:
            client.predict(observation(SPEC))
            process.kill()
            write_model(repository, SPEC, policy_id=NEW)
            process.start().wait_ready()
            wait_until(lambda: said_to_be_another(client), 5.0, "it is followed silently")
            with pytest.raises(AnotherPolicyError, match=f"is policy {NEW[:16]} now, .* began with {OLD[:16]}"):
                client.predict(observation(SPEC))
            client.accept_policy(NEW)
            client.predict(observation(SPEC))
            assert client.policy_id == NEW


def test_a_version_that_appears_with_other_weights_is_another_policy(tmp_path: Path) -> None:
    repository = write_model(tmp_path, SPEC, policy_id=OLD)
    with RunningTriton(repository, "--model-control-mode=explicit", "--load-model=*") as process:
        process.wait_ready()
        with InferenceClient.create("triton", server=process.address) as client:
            client.predict(observation(SPEC))
            write_model(repository, SPEC, policy_id=NEW, version=2)
            process.load("act_policy")
            with pytest.raises(AnotherPolicyError, match=f"version 2 is policy {NEW[:16]}"):
                client.predict(observation(SPEC))
            client.accept_policy(NEW)
            client.predict(observation(SPEC))
            assert (client.policy_id, client.model_version) == (NEW, "2")


def test_an_acceptance_that_fails_lets_no_other_policy_in(tmp_path: Path) -> None:
    repository = write_model(tmp_path, SPEC, policy_id=OLD)
    with RunningTriton(repository) as process:
        process.wait_ready()
        with InferenceClient.create("triton", server=process.address, timeout_s=0.5) as client:
            process.kill()
            with pytest.raises(InferenceError):
                client.accept_policy(NEW)
            write_model(repository, SPEC, policy_id=THIRD)
            process.start().wait_ready()
            wait_until(lambda: said_to_be_another(client), 5.0, "it is followed silently")
            with pytest.raises(NotReadyError, match=f"not the accepted policy: policy_id {NEW} and {THIRD}"):
                client.accept_policy(NEW)
            assert client.policy_id == OLD
            assert said_to_be_another(client)


def test_a_replica_with_other_weights_is_not_moved_to(tmp_path: Path) -> None:
    ours = write_model(tmp_path / "ours", SPEC, policy_id=OLD)
    others = write_model(tmp_path / "others", SPEC, policy_id=NEW)
    with RunningTriton(ours) as first, RunningTriton(others) as second, Relay(first.wait_ready().address) as service:
        second.wait_ready()
        with InferenceClient.create("triton", server=service.address) as client:
            client.predict(observation(SPEC))
            service.targets[:] = [target(second.address)]
            before = second.inferences
            end = time.monotonic() + 20.0
            while second.inferences == before:  # looked at, by a new connection
                client.predict(observation(SPEC))
                assert time.monotonic() < end, "the new replica is not looked at"
                time.sleep(0.05)
            for _ in range(5):
                client.predict(observation(SPEC))


def test_of_two_servers_only_the_one_with_the_policy_is_used(tmp_path: Path) -> None:
    ours = write_model(tmp_path / "ours", SPEC, policy_id=OLD)
    others = write_model(tmp_path / "others", SPEC, policy_id=NEW)
    with RunningTriton(ours) as first, RunningTriton(others) as second:
        addresses = f"{first.wait_ready().address}, {second.wait_ready().address}"
        with InferenceClient.create("triton", server=addresses) as client:
            for _ in range(6):
                client.predict(observation(SPEC))
            assert client.policy_id == OLD


def test_a_token_over_plain_text_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    token = tmp_path / "token"
    token.write_text("secret")
    options = {"token_file": token, "wait_s": 0.0, "timeout_s": 0.1}
    with caplog.at_level(logging.WARNING), pytest.raises(InferenceError):
        InferenceClient.create("triton", server="192.0.2.1:8001", **options)  # type: ignore[arg-type]  # of several types
    assert "the token is sent without encryption" in caplog.text
    assert "secret" not in caplog.text
