"""Finds out by a manual handshake why a server closes connections at once, because gRPC does not tell."""

from __future__ import annotations

import socket
import ssl

from act_inference_ros.inference.triton.options import TritonOptions

_HTTP2_HELLO = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"
"""A client's preface and an empty SETTINGS frame (RFC 9113, 3.4); a server that accepts the client answers them."""


def why_closed(address: str, options: TritonOptions, timeout_s: float) -> str | None:
    """Return what is wrong with the client's connection settings, and what to do; None if nothing was found.

    Nothing secret is sent: neither the token nor an observation.
    """
    host, _, port = address.rpartition(":")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # gRPC itself verifies the server; here only the server's reaction matters
    context.set_alpn_protocols(["h2"])
    try:
        if options.certificate_file:
            context.load_cert_chain(options.certificate_file, options.key_file)
        connection = socket.create_connection((host.strip("[]"), int(port)), timeout_s)
    except OSError:
        return None
    with connection:
        try:
            encrypted = context.wrap_socket(connection, server_hostname=host.strip("[]"))
        except OSError:
            return None  # the server uses no TLS, and gRPC's own message says so better
        with encrypted:
            if not options.secure:
                return "it wants TLS; give ca_file (or tls)"
            if _is_answered(encrypted):
                return None
            if options.certificate_file:
                return "it refuses this client's certificate; is certificate_file signed by the CA it trusts?"
            return "it wants a client certificate; give certificate_file and key_file"


def _is_answered(connection: ssl.SSLSocket) -> bool:
    """With TLS 1.3 a server refuses a client's certificate only after the handshake, when it sends its first data."""
    try:
        connection.sendall(_HTTP2_HELLO)
        return bool(connection.recv(1))
    except TimeoutError:
        return True
    except OSError:
        return False
