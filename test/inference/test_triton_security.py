"""TLS, mutual TLS and tokens: what fits works, what does not is refused with its reason, and no secret is shown."""

import logging
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from act_inference_ros.errors import ConfigurationError, NotReadyError, RejectedError
from act_inference_ros.inference.client import InferenceClient
from act_inference_ros.inference.triton.options import TritonOptions
from act_inference_ros.inference.triton.security import read_token
from test.inference.certificates import issue, make_authority
from test.inference.triton_models import observation, policy_spec, write_model
from test.inference.triton_process import RunningTriton, wait_until

SPEC = policy_spec(height=96, width=128)
TOKEN = "not-to-be-seen-8af2"  # noqa: S105 - only this test's


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("models"), SPEC)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """ca.pem and stranger.pem are authorities; NAME.pem and NAME.key a certificate of one of them."""
    directory = tmp_path_factory.mktemp("certificates")
    for authority in ("ca", "stranger"):
        make_authority(directory, authority)
    issue(directory, "server", "ca", "IP:127.0.0.1")
    issue(directory, "elsewhere", "ca", "DNS:robot.example")
    issue(directory, "robot", "ca", "DNS:robot")
    issue(directory, "intruder", "stranger", "DNS:robot")
    return directory


def tls_flags(files: Path, certificate: str = "server") -> list[str]:
    key = f"--grpc-server-key={files / certificate}.key"
    return ["--grpc-use-ssl=true", f"--grpc-server-cert={files / certificate}.pem", key]


@pytest.fixture(scope="module")
def tls(repository: Path, files: Path) -> Iterator[RunningTriton]:
    with RunningTriton(repository, *tls_flags(files)) as process:
        ask(process, ca_file=files / "ca.pem", wait_s=30.0)  # wait for it
        yield process


@pytest.fixture(scope="module")
def mutual_tls(repository: Path, files: Path) -> Iterator[RunningTriton]:
    flags = [*tls_flags(files), "--grpc-use-ssl-mutual=true", f"--grpc-root-cert={files / 'ca.pem'}"]
    with RunningTriton(repository, *flags) as process:
        ask(process, wait_s=30.0, **certificate(files, "robot"))
        yield process


@pytest.fixture(scope="module")
def restricted(repository: Path) -> Iterator[RunningTriton]:
    protocols = "inference,model-repository,shared-memory"
    with RunningTriton(repository, f"--grpc-restricted-protocol={protocols}:x-token={TOKEN}") as process:
        yield process.wait_ready()


def certificate(files: Path, name: str) -> dict[str, Any]:
    return {
        "ca_file": files / "ca.pem",
        "certificate_file": files / f"{name}.pem",
        "key_file": files / f"{name}.key",
    }


def ask(process: RunningTriton, wait_s: float = 60.0, **options: Any) -> None:
    """Infer once. A refusal that came only after `wait_s` would be a NotReadyError, and fail its test."""
    with InferenceClient.create("triton", server=process.address, wait_s=wait_s, **options) as client:
        assert client.predict(observation(SPEC, 3.0))[0, 0] == 3.0


def test_a_server_signed_by_another_authority_is_refused(tls: RunningTriton, files: Path) -> None:
    with pytest.raises(RejectedError, match="not signed by the given CA"):
        ask(tls, ca_file=files / "stranger.pem")


def test_without_a_ca_only_publicly_signed_servers_will_do(tls: RunningTriton) -> None:
    with pytest.raises(RejectedError, match="ca_file"):
        ask(tls, tls=True)


def test_a_certificate_for_another_host_is_refused(repository: Path, files: Path, tls: RunningTriton) -> None:
    with (
        RunningTriton(repository, *tls_flags(files, "elsewhere")) as process,
        pytest.raises(RejectedError, match="host name"),
    ):
        ask(process, ca_file=files / "ca.pem", wait_s=20.0)


def test_a_client_without_tls_is_told_to_use_it(tls: RunningTriton) -> None:
    with pytest.raises(RejectedError, match="wants TLS"):
        ask(tls)


def test_a_client_with_tls_is_told_that_the_server_has_none(restricted: RunningTriton, files: Path) -> None:
    with pytest.raises(RejectedError, match="does not speak TLS"):
        ask(restricted, ca_file=files / "ca.pem")


def test_mutual_tls_without_a_certificate_is_refused(mutual_tls: RunningTriton, files: Path) -> None:
    with pytest.raises(RejectedError, match="wants a client certificate"):
        ask(mutual_tls, ca_file=files / "ca.pem")


def test_mutual_tls_with_a_strangers_certificate_is_refused(mutual_tls: RunningTriton, files: Path) -> None:
    with pytest.raises(RejectedError, match="refuses this client's certificate"):
        ask(mutual_tls, **certificate(files, "intruder"))


def test_everything_may_come_from_the_environment(
    mutual_tls: RunningTriton, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, path in certificate(files, "robot").items():
        monkeypatch.setenv(f"TRITON_{name.upper()}", str(path))
    ask(mutual_tls)


def test_a_token_from_a_file_opens_the_server(restricted: RunningTriton, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    ask(restricted, token_file=tmp_path / "token")


def test_a_token_from_the_environment_opens_the_server(
    restricted: RunningTriton, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRITON_TOKEN", TOKEN)
    ask(restricted)


@pytest.mark.parametrize("token", [None, "wrong-7be1"])
def test_a_wrong_or_missing_token_is_refused_and_not_shown(
    restricted: RunningTriton, tmp_path: Path, caplog: pytest.LogCaptureFixture, token: str | None
) -> None:
    caplog.set_level(logging.DEBUG)
    options: dict[str, Any] = {}
    if token:
        (tmp_path / "token").write_text(token)
        options["token_file"] = tmp_path / "token"
    with pytest.raises(RejectedError, match="token_file") as caught:
        ask(restricted, **options)
    shown = "".join(traceback.format_exception(caught.value)) + f"{caught.value.__cause__!r} {caplog.text}"
    assert token is None or token not in shown


def test_a_token_that_is_renewed_in_its_file_is_taken_up(restricted: RunningTriton, tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text(TOKEN)
    with InferenceClient.create("triton", server=restricted.address, token_file=path) as client:
        path.write_text("expired-21c3")
        restricted.kill()
        with pytest.raises(NotReadyError):
            client.predict(observation(SPEC))
        restricted.start().wait_ready()
        wait_until(lambda: refused(client), 5.0, "the server does not see the token of the file")
        path.write_text(TOKEN)
        assert client.predict(observation(SPEC, 4.0))[0, 0] == 4.0


def refused(client: InferenceClient) -> bool:
    try:
        client.predict(observation(SPEC))
    except RejectedError as error:
        return "token" in str(error)
    except NotReadyError:
        pass
    return False


def test_options_do_not_show_the_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRITON_TOKEN", TOKEN)
    assert TOKEN not in repr(TritonOptions())


@pytest.mark.parametrize("text", ["", "two\nlines", "über"])
def test_a_token_that_cannot_be_a_header_is_refused_without_showing_it(tmp_path: Path, text: str) -> None:
    (tmp_path / "token").write_text(text)
    with pytest.raises(ConfigurationError, match="one line of printable") as caught:
        read_token(TritonOptions(token_file=str(tmp_path / "token")))
    assert not text or text not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"ca_file": "garbage"}, "ca_file .*PEM"),
        ({"certificate_file": "robot.pem", "key_file": "intruder.key"}, "key_file"),
        ({"certificate_file": "garbage", "key_file": "robot.key"}, "certificate_file"),
    ],
)
def test_files_that_are_no_certificates_are_refused_at_once(files: Path, options: dict[str, Any], words: str) -> None:
    (files / "garbage").write_text("this is no certificate")
    paths = {name: files / value for name, value in options.items()}
    with pytest.raises(ConfigurationError, match=words):
        InferenceClient.create("triton", server="localhost:1", wait_s=0.0, **paths)
