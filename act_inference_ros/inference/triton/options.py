"""TritonOptions: which servers and model to use, and how to reach them. Imports nothing of Triton."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from os import PathLike

from act_inference_ros.errors import ConfigurationError
from act_inference_ros.inference.option_values import check_flag, check_number, check_text, text_of
from act_inference_ros.interfaces import SHARED_MEMORY

DEFAULT_SERVER = "localhost:8001"
DEFAULT_MODEL = "act_policy"
DEFAULT_TIMEOUT_S = 1.0
DEFAULT_WAIT_S = 10.0
MAX_TIMEOUT_S, MAX_WAIT_S = 3600.0, 86400.0
DEFAULT_TOKEN_HEADER = "triton-grpc-protocol-x-token"  # noqa: S105 - the name of a header
"""The header that a Triton started with `--grpc-restricted-protocol=...:x-token=SECRET` reads."""
MAX_RESPONSE_BYTES = 2**26
"""Four times the largest chunk of a spec: a server's answer must not fill this machine's memory."""

TLS_VARIABLE = "TRITON_TLS"
TOKEN_VARIABLE = "TRITON_TOKEN"  # noqa: S105 - the name of a variable

_ADDRESS = re.compile(r"(?P<host>[\w.-]+|\[[0-9A-Fa-f:.%\w]+\]):(?P<port>\d{1,5})")
FROM_ENVIRONMENT = {
    "server": "TRITON_URL",
    "model": "MODEL_NAME",
    "version": "MODEL_VERSION",
    "ca_file": "TRITON_CA_FILE",
    "certificate_file": "TRITON_CERTIFICATE_FILE",
    "key_file": "TRITON_KEY_FILE",
    "token_file": "TRITON_TOKEN_FILE",
}
"""Option -> environment variable that is used if the option is empty."""


@dataclass(frozen=True)
class TritonOptions:
    """How to reach a model. Files are PEM, times seconds.

    A token is given by its file and never kept here, because options may be printed.
    """

    server: str = DEFAULT_SERVER
    model: str = DEFAULT_MODEL
    version: str = ""
    timeout_s: float = DEFAULT_TIMEOUT_S
    wait_s: float = DEFAULT_WAIT_S
    tls: bool = False
    ca_file: str = ""
    certificate_file: str = ""
    key_file: str = ""
    token_file: str = ""
    token_header: str = DEFAULT_TOKEN_HEADER
    shared_memory: str = "auto"

    def check(self) -> None:
        """Raise ConfigurationError for values that are wrong or contradict each other."""
        check_number("timeout_s", self.timeout_s, 0.0, MAX_TIMEOUT_S, above=True)
        check_number("wait_s", self.wait_s, 0.0, MAX_WAIT_S)
        check_flag("tls", self.tls)
        for name in ("server", "model", "version", "ca_file", "certificate_file", "key_file", "token_file"):
            check_text(name, getattr(self, name))
        check_text("token_header", self.token_header)
        if self.shared_memory not in SHARED_MEMORY:
            raise ConfigurationError(
                f"shared_memory: expected one of {', '.join(SHARED_MEMORY)}, got {self.shared_memory!r}"
            )
        if self.version and not self.version.isdecimal():
            raise ConfigurationError(f"model version: expected a whole number such as 1, got {self.version!r}")
        if bool(self.certificate_file) != bool(self.key_file):
            raise ConfigurationError("mutual TLS needs both certificate_file and key_file; only one is given")
        if not re.fullmatch(r"[0-9a-z_.-]+", self.token_header):
            raise ConfigurationError(f"token_header: expected a lower-case header name, got {self.token_header!r}")
        _ = self.addresses

    @property
    def addresses(self) -> tuple[str, ...]:
        """The servers, each as host:port."""
        given = [address.strip() for address in self.server.split(",")]
        for address in given:
            match = _ADDRESS.fullmatch(address)
            if match is None or not 0 < int(match["port"]) < 65536:
                raise ConfigurationError(
                    f"server {address!r}: expected host:port of Triton's gRPC endpoint, or several, comma-separated"
                )
        return tuple(dict.fromkeys(given))

    @property
    def secure(self) -> bool:
        """Whether connections are encrypted: by `tls`, or because a certificate is given."""
        return self.tls or bool(self.ca_file or self.certificate_file)


def chosen(name: str, given: str | int | PathLike[str] | None) -> str:
    """Return an option of `TritonOptions` as text: the given value, else the environment's, else the default."""
    default: str = getattr(TritonOptions, name)
    return text_of(name, given) or os.environ.get(FROM_ENVIRONMENT[name], "") or default


def chosen_tls(given: bool) -> bool:
    """Whether to encrypt: by the argument or by the environment."""
    return given or os.environ.get(TLS_VARIABLE, "") not in ("", "0")
