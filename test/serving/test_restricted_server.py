"""A real Triton with the flags of the deployment files: robots with certificate and token infer, nobody does more."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from act_inference_ros import InferenceClient
from act_inference_ros.errors import RejectedError
from act_inference_ros.serving.check_server import main
from test.inference.certificates import issue, make_authority
from test.inference.triton_models import observation, policy_spec, write_model
from test.inference.triton_process import RunningTriton
from test.serving.deployed_flags import PROJECT, compose_script, flags_of, kubernetes_script
from test.serving.references import written
from test.serving.serving_helpers import needs_triton

grpc = pytest.importorskip("grpc", reason="tritonclient[grpc] is not installed")

SPEC = policy_spec(height=96, width=128)
TOKEN = "robots-only-51d7"  # noqa: S105 - only this test's
TOKEN_HEADER = "triton-grpc-protocol-x-token"  # noqa: S105 - a header's name
PLACES = ("--model-repository", "--grpc-address", "--http-address", "--metrics-address")
PROTOCOLS = {
    "health", "metadata", "inference", "shared-memory", "model-config", "model-repository", "statistics", "trace",
    "logging",
}  # fmt: skip
FOR_ROBOTS = {"inference", "model-config", "model-repository", "shared-memory"}


@dataclass
class Restricted:
    """A server, and the directory with its secrets and the robot's certificate."""

    server: RunningTriton
    files: Path

    def call(self, method: str, token: str | None, **fields: Any) -> Any:
        """Call a method of Triton's gRPC service with the robot's certificate."""
        from tritonclient.grpc import service_pb2, service_pb2_grpc

        [found] = [
            each
            for each in service_pb2.DESCRIPTOR.services_by_name["GRPCInferenceService"].methods
            if each.name == method
        ]
        request = getattr(service_pb2, found.input_type.name)(**fields)
        ca, key, certificate = ((self.files / name).read_bytes() for name in ("ca.pem", "robot.key", "robot.pem"))
        with grpc.secure_channel(self.server.address, grpc.ssl_channel_credentials(ca, key, certificate)) as channel:
            call = getattr(service_pb2_grpc.GRPCInferenceServiceStub(channel), method)
            answer = call(
                iter([request]) if found.client_streaming else request,
                timeout=10.0,
                metadata=((TOKEN_HEADER, token),) if token else None,
            )
            return list(answer) if found.server_streaming else answer

    def refused(self, method: str, token: str | None, **fields: Any) -> bool:
        with pytest.raises(grpc.RpcError) as caught:
            self.call(method, token, **fields)
        return "protocol is restricted" in caught.value.details()

    def client(self, **options: Any) -> InferenceClient:
        return InferenceClient.create(
            "triton",
            server=self.server.address,
            ca_file=self.files / "ca.pem",
            certificate_file=self.files / "robot.pem",
            key_file=self.files / "robot.key",
            wait_s=30.0,
            **options,
        )


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The secrets, under the names that the deployment files give them, and a robot's certificate."""
    directory = tmp_path_factory.mktemp("secrets")
    make_authority(directory, "ca")
    issue(directory, "server", "ca", "IP:127.0.0.1")
    issue(directory, "robot", "ca", "DNS:robot")
    (directory / "robots_ca.pem").write_bytes((directory / "ca.pem").read_bytes())
    (directory / "token").write_text(f"{TOKEN}\n")
    return directory


@pytest.fixture(scope="module")
def restricted(files: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Restricted]:
    repository = write_model(tmp_path_factory.mktemp("models"), SPEC)
    flags = flags_of(compose_script(), files, tmp_path_factory.mktemp("scratch"))
    with RunningTriton(repository, *(flag for flag in flags if not flag.startswith(PLACES))) as server:
        started = Restricted(server, files)
        with started.client(token_file=files / "token") as client:
            client.predict(observation(SPEC))
        yield started


def methods() -> list[str]:
    service_pb2 = pytest.importorskip("tritonclient.grpc.service_pb2")
    return [each.name for each in service_pb2.DESCRIPTOR.services_by_name["GRPCInferenceService"].methods]


NEEDED = {"ModelInfer", "ModelStreamInfer", "ModelConfig"}
NEEDED |= {f"RepositoryModel{what}" for what in ("Load", "Unload")} | {"RepositoryIndex"}
NEEDED |= {f"{kind}SharedMemory{what}" for kind in ("System", "Cuda") for what in ("Status", "Register", "Unregister")}


@needs_triton
def test_a_robot_with_the_token_infers(restricted: Restricted) -> None:
    for shared_memory in ("on", "off"):
        with restricted.client(token_file=restricted.files / "token", shared_memory=shared_memory) as client:
            assert client.predict(observation(SPEC, 5.0))[0, 0] == 5.0


@needs_triton
def test_check_server_comes_in_as_a_robot_does(
    restricted: Restricted, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = restricted.files
    arguments = ["--parity", str(written(tmp_path / "parity.json")), "--server", restricted.server.address]
    arguments += ["--ca-file", str(files / "ca.pem"), "--key-file", str(files / "robot.key")]
    arguments += ["--certificate-file", str(files / "robot.pem")]
    assert main(arguments) == 1
    assert "wants a token" in capsys.readouterr().err
    assert main([*arguments, "--token-file", str(files / "token")]) == 1
    assert "another policy: chunk_size " in capsys.readouterr().err  # it was read


@needs_triton
def test_without_the_token_nothing_is_answered(restricted: Restricted) -> None:
    assert [method for method in methods() if not restricted.refused(method, None)] == []
    with pytest.raises(RejectedError, match="token_file"):
        restricted.client()


@needs_triton
def test_with_the_token_only_what_a_robot_needs_is_answered(restricted: Restricted) -> None:
    others = set(methods()) - NEEDED
    assert {method for method in others if restricted.refused(method, TOKEN)} == others
    assert others >= {"LogSettings", "TraceSetting", "ServerMetadata", "ModelStatistics"}


@needs_triton
@pytest.mark.parametrize("token", [None, TOKEN])
def test_nobody_turns_the_logs_off_or_traces_on(restricted: Restricted, token: str | None) -> None:
    from tritonclient.grpc import service_pb2

    off = {"log_info": service_pb2.LogSettingsRequest.SettingValue(bool_param=False)}
    assert restricted.refused("LogSettings", token, settings=off)
    everything = {"trace_level": service_pb2.TraceSettingRequest.SettingValue(value=["TENSORS"])}
    assert restricted.refused("TraceSetting", token, settings=everything)


@needs_triton
@pytest.mark.parametrize("method", ["RepositoryModelLoad", "RepositoryModelUnload"])
def test_a_robot_cannot_load_or_unload_a_model(restricted: Restricted, method: str) -> None:
    with pytest.raises(grpc.RpcError, match="not allowed"):
        restricted.call(method, TOKEN, model_name="act_policy")
    with restricted.client(token_file=restricted.files / "token") as client:
        client.predict(observation(SPEC))


def documented_command() -> str:
    """The command in docs/security.md that starts a restricted server."""
    blocks = re.findall(r"```bash\n(.*?)```", (PROJECT / "docs" / "security.md").read_text(), re.DOTALL)
    [command] = [block for block in blocks if "--grpc-restricted-protocol" in block]
    return command


@pytest.mark.parametrize(
    ("script", "program"),
    [
        (compose_script, "tritonserver"),
        (kubernetes_script, "tritonserver"),
        (documented_command, "triton_server"),
    ],
)
def test_every_protocol_is_behind_a_token_and_only_the_robots_token_is_known(
    script: Callable[[], str], program: str, files: Path, tmp_path: Path
) -> None:
    groups = [dict(restrictions(flags_of(script(), files, tmp_path, program))) for _ in range(2)]
    for group in groups:
        robots, others = group
        assert group[robots] == FOR_ROBOTS
        assert group[robots] | group[others] == PROTOCOLS
        assert robots == f"x-token={TOKEN}"
    unknown = {others for _, others in groups}
    assert len(unknown) == 2, "the other protocols' token is another one with each start"
    assert all(re.fullmatch(r"x-nobody=[0-9a-f]{48}", others) for others in unknown)


def restrictions(flags: list[str]) -> list[tuple[str, set[str]]]:
    """Header and value -> the protocols that are refused without it."""
    given = [flag.partition("=")[2] for flag in flags if flag.startswith("--grpc-restricted-protocol=")]
    return [(value, set(protocols.split(","))) for protocols, _, value in (each.partition(":") for each in given)]
