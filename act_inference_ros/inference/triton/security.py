"""TLS, mutual TLS and tokens, from files and the environment to gRPC. Secrets get into no message or log."""

from __future__ import annotations

import ipaddress
import os
import ssl
from pathlib import Path

import grpc

from act_inference_ros.errors import ConfigurationError
from act_inference_ros.inference.triton.options import TOKEN_VARIABLE, TritonOptions


def channel_credentials(options: TritonOptions) -> grpc.ChannelCredentials | None:
    """Credentials for TLS, None without TLS. The files are read and checked now, because gRPC itself checks nothing.

    Without `ca_file` the server's certificate must be signed by one of gRPC's own roots. Raises ConfigurationError.
    """
    if not options.secure:
        return None
    roots = _read(options.ca_file, "ca_file") if options.ca_file else None
    certificate = _read(options.certificate_file, "certificate_file") if options.certificate_file else None
    key = _read(options.key_file, "key_file") if options.key_file else None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        if roots is not None:
            context.load_verify_locations(options.ca_file)
    except ssl.SSLError as error:
        raise ConfigurationError(f"ca_file {options.ca_file}: expected certificates in PEM format: {error}") from error
    try:
        if certificate is not None:
            context.load_cert_chain(options.certificate_file, options.key_file, password=lambda: "")
    except ssl.SSLError as error:
        raise ConfigurationError(
            f"certificate_file {options.certificate_file} and key_file {options.key_file}: expected a certificate and "
            f"its unencrypted key in PEM format: {error}"
        ) from error
    return grpc.ssl_channel_credentials(roots, key, certificate)


def is_loopback(address: str) -> bool:
    """Whether host:port names this machine, so that nobody else can read the traffic."""
    host = address.rpartition(":")[0].strip("[]")
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def read_token(options: TritonOptions) -> str | None:
    """The token: from `token_file`, else from the environment variable TRITON_TOKEN, else None."""
    if options.token_file:
        source = f"token_file {options.token_file}"
        text = _read(options.token_file, "token_file").decode("utf-8", "replace").strip()
    else:
        source = f"environment variable {TOKEN_VARIABLE}"
        text = os.environ.get(TOKEN_VARIABLE, "").strip()
        if not text:
            return None
    if not text or not text.isascii() or not text.isprintable():
        raise ConfigurationError(f"{source}: expected one line of printable ASCII characters")
    return text


def _read(path: str, what: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise ConfigurationError(f"{what} {path}: {error.strerror}") from error
