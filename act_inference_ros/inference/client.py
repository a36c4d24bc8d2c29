"""InferenceClient: one observation in, one action chunk out, wherever the policy runs."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from os import PathLike
from types import TracebackType
from typing import Any

from act_inference_ros.errors import ConfigurationError, MissingDependencyError, NotReadyError
from act_inference_ros.inference.backend import Backend
from act_inference_ros.inference.local.options import LocalOptions, chosen_checkpoint
from act_inference_ros.inference.options import ClientOptions, chosen_mode
from act_inference_ros.inference.triton.options import (
    DEFAULT_TIMEOUT_S,
    DEFAULT_TOKEN_HEADER,
    DEFAULT_WAIT_S,
    TritonOptions,
    chosen,
    chosen_tls,
)
from act_inference_ros.spec import Chunk, Observation, PolicySpec


class InferenceClient:
    """Computes action chunks, in this process (local mode) or on a Triton server (triton mode).

    `predict` is stateless: queues and ensembling belong to `act_inference_ros.control`. All methods may be called from
    any thread; local mode computes one chunk at a time, so a second caller waits for the first.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._closed = False

    @classmethod
    def create(
        cls,
        mode: str | None = None,
        *,
        checkpoint: str | PathLike[str] | None = None,
        device: str = "auto",
        precision: str = "float32",
        compile: bool = False,
        threads: int | None = None,
        server: str | None = None,
        model: str | None = None,
        version: str | int | None = None,
        timeout_s: float = DEFAULT_TIMEOUT_S,
        wait_s: float = DEFAULT_WAIT_S,
        shared_memory: str = "auto",
        tls: bool = False,
        ca_file: str | PathLike[str] | None = None,
        certificate_file: str | PathLike[str] | None = None,
        key_file: str | PathLike[str] | None = None,
        token_file: str | PathLike[str] | None = None,
        token_header: str = DEFAULT_TOKEN_HEADER,
        fallback: str = "",
    ) -> InferenceClient:
        """Load or connect to a policy, ready for its first `predict`.

        What is None or empty comes from the environment (INFERENCE_MODE, CHECKPOINT_DIR, TRITON_URL, MODEL_NAME,
        MODEL_VERSION, TRITON_TLS, TRITON_CA_FILE, TRITON_CERTIFICATE_FILE, TRITON_KEY_FILE, TRITON_TOKEN_FILE), else is
        the default; arguments of the other mode are ignored.

        Args:
            mode: local or triton.
            checkpoint: local: a LeRobot checkpoint directory, or a hub id `hf:owner/name[@revision]`.
            device: local: auto, cpu, cuda, cuda:N or mps.
            precision: local: float32, bfloat16 or float16; chunks are float32 in any case.
            compile: local: compile the network with torch.compile (needs a C++ compiler; takes up to a minute).
            threads: local: number of CPU threads, for the whole process; None leaves torch's own choice.
            server: triton: host:port of the gRPC endpoint, or several, comma-separated: they take turns.
            model: triton: name of the model.
            version: triton: version of the model; empty for the server's choice.
            timeout_s: triton: deadline of each request in seconds, with all its retries.
            wait_s: triton: how long to wait for a server that is not there yet, in seconds.
            shared_memory: triton: auto hands images over in shared memory where the server is on this machine; on, off.
            tls: triton: encrypt; implied by ca_file and certificate_file.
            ca_file: triton: certificates (PEM) that may sign the server's; None: gRPC's own.
            certificate_file: triton: this client's certificate (PEM), for servers that want one (mutual TLS).
            key_file: triton: the certificate's key (PEM, not encrypted).
            token_file: triton: file with the token to send; None: the environment variable TRITON_TOKEN, if set.
            token_header: triton: header that carries the token.
            fallback: triton: local, to compute with `checkpoint` here while no server answers; empty: do not.

        Raises:
            ConfigurationError: an unknown mode, or an argument that cannot be used on this machine.
            CheckpointError: the checkpoint cannot be used.
            MissingDependencyError: the mode's package is not installed.
            InferenceError: no server can be reached (NotReadyError, which is also for a model that is not there or does
                not fit), or it refuses (RejectedError), or the model's output is wrong (BadOutputError).
        """
        options = ClientOptions(
            mode=chosen_mode(mode),
            fallback=fallback,
            local=LocalOptions(chosen_checkpoint(checkpoint), device, precision, compile, threads),
            triton=TritonOptions(
                server=chosen("server", server),
                model=chosen("model", model),
                version=chosen("version", version),
                timeout_s=timeout_s,
                wait_s=wait_s,
                shared_memory=shared_memory,
                tls=chosen_tls(tls),
                ca_file=chosen("ca_file", ca_file),
                certificate_file=chosen("certificate_file", certificate_file),
                key_file=chosen("key_file", key_file),
                token_file=chosen("token_file", token_file),
                token_header=token_header,
            ),
        )
        return cls.open(options)

    @classmethod
    def open(cls, options: ClientOptions) -> InferenceClient:
        """Load or connect to the policy that `options` name. Raises as `create` does."""
        if options.fallback and options.fallback != options.mode:
            return cls(_with_fallback(options))
        return cls(BACKENDS[options.mode](options))

    @property
    def spec(self) -> PolicySpec:
        """What the policy reads and writes."""
        return self._backend.spec

    @property
    def policy_id(self) -> str:
        """Which policy this is: 64 hexadecimal digits (see `policy.identity`); empty if the server does not say."""
        return self.spec.policy_id

    @property
    def model_version(self) -> str:
        """The version of a server's model that computed the newest chunk; empty in local mode."""
        return self._backend.model_version

    @property
    def source(self) -> str:
        """Where chunks come from now, for messages."""
        return self._backend.source

    @property
    def takes_jpeg(self) -> bool:
        """Whether images had better come as JPEG bytes; arrays are encoded, or bytes decoded, where they must be."""
        return self._backend.takes_jpeg

    @property
    def reconnects(self) -> int:
        """How often a server answered again after it had not; 0 in local mode."""
        return self._backend.reconnects

    @property
    def warm_up_s(self) -> float:
        """How long the slowest warm-up took, the fallback's included, s."""
        return self._backend.warm_up_s

    def predict(self, observation: Observation, *, request_id: str = "") -> Chunk:
        """The action chunk for one observation: float32 (chunk_size, action_dim), in the policy's units.

        `request_id` names the request in a server's traces.

        Raises ObservationError if the observation is not what the policy reads, and an InferenceError if no valid
        chunk could be computed: NotReadyError, InferenceTimeoutError, RejectedError, BadOutputError, or
        AnotherPolicyError once a server has another policy than this client began with.
        """
        if not isinstance(request_id, str):
            raise ConfigurationError(f"request_id: expected text, got {request_id!r}")
        if self._closed:
            raise NotReadyError("the inference client is closed; create another one")
        inputs = self._backend.spec.check_observation(observation)
        return self._backend.spec.check_chunk(self._backend.infer(inputs, request_id), self._backend.source)

    def accept_policy(self, policy_id: str) -> None:
        """Go on with another policy of a server, when somebody has decided so: that of `AnotherPolicyError.policy_id`.

        Nothing changes if a server has the old one again. Raises an InferenceError, and changes nothing, where none has
        either, or where it reads or writes something else.
        """
        self._backend.accept_policy(policy_id)

    def close(self) -> None:
        """Release the policy or the connection; `predict` raises NotReadyError from now on."""
        self._closed = True
        self._backend.close()

    def __enter__(self) -> InferenceClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _open_local(options: ClientOptions) -> Backend:
    module = _import("local", "torch_engine", needs=("torch", "safetensors"), install="torch safetensors")
    backend: Backend = module.TorchEngine(options.local)
    return backend


def _open_triton(options: ClientOptions) -> Backend:
    module = _import("triton", "backend", needs=("tritonclient", "grpc"), install="'tritonclient[grpc]'")
    backend: Backend = module.TritonBackend(options.triton)
    return backend


def _with_fallback(options: ClientOptions) -> Backend:
    from act_inference_ros.inference.fallback import FallbackBackend

    secondary = BACKENDS[options.fallback](options)
    waits = [options.triton.wait_s]

    def open_primary() -> Backend:
        # Only the first time is a server worth waiting for: later the fallback computes meanwhile.
        triton = replace(options.triton, wait_s=waits.pop() if waits else 0.0)
        return BACKENDS[options.mode](replace(options, triton=triton))

    try:
        return FallbackBackend(open_primary, secondary)
    except BaseException:
        secondary.close()
        raise


def _import(mode: str, module: str, needs: tuple[str, ...], install: str) -> Any:
    """The module of a mode, imported only now: each mode works on machines without the other's packages."""
    name = f"act_inference_ros.inference.{mode}.{module}"
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name == name:
            raise ConfigurationError(f"mode {mode}: not available in this version of act_inference_ros") from error
        missing = (error.name or "").partition(".")[0]
        if missing in needs:
            raise MissingDependencyError(f"mode {mode} needs {missing}: pip install {install}") from error
        raise


BACKENDS: Mapping[str, Callable[[ClientOptions], Backend]] = {"local": _open_local, "triton": _open_triton}
"""Mode -> what opens its backend."""
