"""InferenceClient: one observation in, one action chunk out, for a local policy and for Triton servers."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from os import PathLike
from types import TracebackType
from typing import Any

from act_inference_ros.errors import ConfigurationError, MissingDependencyError, NotReadyError
from act_inference_ros.inference.backend import Backend, Progress, silently
from act_inference_ros.inference.local.engines import open_engine
from act_inference_ros.inference.local.isolation.backend import IsolatedBackend
from act_inference_ros.inference.local.options import (
    DEFAULT_NICENESS,
    LocalOptions,
    chosen_checkpoint,
    chosen_providers,
)
from act_inference_ros.inference.options import ClientOptions, chosen_mode
from act_inference_ros.inference.triton.options import (
    DEFAULT_TIMEOUT_S,
    DEFAULT_TOKEN_HEADER,
    DEFAULT_WAIT_S,
    TritonOptions,
    chosen,
    chosen_tls,
)
from act_inference_ros.interfaces import AUTO, PROCESS, THREAD, TORCH
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
        engine: str = TORCH,
        providers: str | Sequence[str] = AUTO,
        isolation: str = THREAD,
        niceness: int = DEFAULT_NICENESS,
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
        progress: Progress = silently,
    ) -> InferenceClient:
        """Load or connect to a policy, ready for its first `predict`.

        Arguments that are None or empty come from the environment (INFERENCE_MODE, CHECKPOINT_DIR, TRITON_URL,
        MODEL_NAME, MODEL_VERSION, TRITON_TLS, TRITON_CA_FILE, TRITON_CERTIFICATE_FILE, TRITON_KEY_FILE,
        TRITON_TOKEN_FILE), otherwise they have their defaults; arguments of the other mode are ignored.

        Args:
            mode: local or triton.
            checkpoint: local: a LeRobot checkpoint directory, a hub id `hf:owner/name[@revision]`, or an exported
                repository.
            device: local: auto, cpu, cuda, cuda:N or mps.
            precision: local: float32, bfloat16 or float16; chunks are always float32.
            compile: local: compile the network with torch.compile (needs a C++ compiler; takes up to a minute).
            threads: local: number of CPU threads, for the whole process; None leaves the engine's own choice, or with
                isolation process all cores but one, if there are three or more.
            engine: local: torch, onnxruntime (the exported graph) or auto (onnxruntime if an export is available or
                torch is absent).
            providers: local, onnxruntime: auto, or one or several of tensorrt, cuda, openvino and cpu; a named
                provider that is not available is an error.
            isolation: local: process computes in a separate process, which is restarted if it ends or hangs;
                thread computes in the caller's process.
            niceness: local, isolation process: the niceness of that process, 0 (normal) to 19 (lowest priority).
            server: triton: host:port of the gRPC endpoint, or several, comma-separated, which are used in turn.
            model: triton: name of the model.
            version: triton: version of the model; empty for the server's choice.
            timeout_s: triton: deadline of each request in seconds, with all its retries.
            wait_s: triton: how long to wait for a server that is not available yet, in seconds.
            shared_memory: triton: auto passes images in shared memory if the server is on this machine; on; off.
            tls: triton: encrypt; implied by ca_file and certificate_file.
            ca_file: triton: certificates (PEM) that may sign the server's certificate; None: gRPC's own.
            certificate_file: triton: this client's certificate (PEM), for servers that require one (mutual TLS).
            key_file: triton: the certificate's key (PEM, not encrypted).
            token_file: triton: file with the token to send; None: the file that TRITON_TOKEN_FILE names, else the
                token in TRITON_TOKEN, if set.
            token_header: triton: header that carries the token.
            fallback: triton: local, to compute with `checkpoint` here while no server answers; empty for no fallback.
            progress: called in the caller's thread with what is being loaded or waited for, repeatedly while there
                is no server; an exception that it raises ends the wait.

        Raises:
            ConfigurationError: an unknown mode, or an argument that cannot be used on this machine.
            CheckpointError: the checkpoint cannot be used.
            MissingDependencyError: the mode's package is not installed.
            InferenceError: no server can be reached (NotReadyError, also for a model that is missing or does
                not fit), or it refuses (RejectedError), or the model's output is wrong (BadOutputError).
        """
        options = ClientOptions(
            mode=chosen_mode(mode),
            fallback=fallback,
            progress=progress,
            local=LocalOptions(
                checkpoint=chosen_checkpoint(checkpoint),
                device=device,
                precision=precision,
                compile=compile,
                threads=threads,
                engine=engine,
                providers=chosen_providers(providers),
                isolation=isolation,
                niceness=niceness,
            ),
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
        return cls(_open(options.mode, options))

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
    def facts(self) -> Mapping[str, str]:
        """What computes now, for people: `engine`, `precision`, `device`, `providers` and the like -> text."""
        return self._backend.facts

    @property
    def notes(self) -> tuple[str, ...]:
        """Notes that a person should read once after `create`; a sentence each."""
        return self._backend.notes

    @property
    def takes_jpeg(self) -> bool:
        """Whether images should come as JPEG bytes; arrays are encoded and bytes decoded where needed."""
        return self._backend.takes_jpeg

    @property
    def reconnects(self) -> int:
        """How often a server answered again after a failure; 0 in local mode."""
        return self._backend.reconnects

    @property
    def warm_up_s(self) -> float:
        """Time of the slowest warm-up, including the fallback's, s."""
        return self._backend.warm_up_s

    def predict(self, observation: Observation, *, request_id: str = "") -> Chunk:
        """Compute the action chunk for one observation: float32 (chunk_size, action_dim), in the policy's units.

        `request_id` names the request in a server's traces.

        Raises ObservationError if the observation is not what the policy reads, and an InferenceError if no valid chunk
        could be computed: NotReadyError, InferenceTimeoutError, RejectedError, BadOutputError, or AnotherPolicyError if
        a server now has another policy than at the start of this client.
        """
        if not isinstance(request_id, str):
            raise ConfigurationError(f"request_id: expected text, got {request_id!r}")
        if self._closed:
            raise NotReadyError("the inference client is closed; create another one")
        inputs = self._backend.spec.check_observation(observation)
        return self._backend.spec.check_chunk(self._backend.infer(inputs, request_id), self._backend.source)

    def accept_policy(self, policy_id: str) -> None:
        """Go on with a server's other policy, that of `AnotherPolicyError.policy_id`, after a person has accepted it.

        Nothing changes if a server has the old policy again. Raises an InferenceError, and changes nothing, if no
        server has either policy, or if the new policy reads or writes something else.
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


def _open(mode: str, options: ClientOptions) -> Backend:
    options.progress(_DOING[mode](options))
    return BACKENDS[mode](options)


def _open_local(options: ClientOptions) -> Backend:
    if options.local.isolation == PROCESS:
        return IsolatedBackend(options.local)
    return open_engine(options.local)


def _open_triton(options: ClientOptions) -> Backend:
    module = _import("triton", "backend", needs=("tritonclient", "grpc"), install="'tritonclient[grpc]'")
    backend: Backend = module.TritonBackend(options.triton, options.progress)
    return backend


def _with_fallback(options: ClientOptions) -> Backend:
    from act_inference_ros.inference.fallback import FallbackBackend

    secondary = _open(options.fallback, options)
    first = [options]

    def open_primary() -> Backend:
        # Waiting for a server makes sense only the first time: later the fallback computes meanwhile.
        at_once = replace(options, triton=replace(options.triton, wait_s=0.0), progress=silently)
        return _open(options.mode, first.pop() if first else at_once)

    try:
        return FallbackBackend(open_primary, secondary)
    except BaseException:
        secondary.close()
        raise


def _import(mode: str, module: str, needs: tuple[str, ...], install: str) -> Any:
    """Import the module of a mode only when it is used: each mode works without the packages of the other."""
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


_DOING: Mapping[str, Callable[[ClientOptions], str]] = {
    "local": lambda options: f"loading the policy in {options.local.checkpoint}",
    "triton": lambda options: f"connecting to model {options.triton.model} on {options.triton.server}",
}

BACKENDS: Mapping[str, Callable[[ClientOptions], Backend]] = {"local": _open_local, "triton": _open_triton}
"""Mode -> the function that opens its backend."""
