"""One table that maps gRPC's errors to this package's errors, each with what to do next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import grpc

from act_inference_ros.errors import (
    AnotherPolicyError,
    BadOutputError,
    InferenceError,
    InferenceTimeoutError,
    NotReadyError,
    RejectedError,
    RejectedInputError,
)
from act_inference_ros.inference.triton.options import MAX_RESPONSE_BYTES

Code = grpc.StatusCode


@dataclass(frozen=True)
class Row:
    """The meaning of a status whose details contain `fragment`.

    `elsewhere`: another server may succeed. `passing`: waiting may help.
    """

    code: grpc.StatusCode
    fragment: str
    error: type[InferenceError]
    elsewhere: bool
    passing: bool
    meaning: str


UNKNOWN_REGION = Row(
    Code.NOT_FOUND, "shared memory region", NotReadyError, True, True,
    "it forgot the shared memory of this client, as after a restart",
)  # fmt: skip
ALREADY_REGISTERED = Row(
    Code.ALREADY_EXISTS, "", RejectedError, True, False, "it knows a region of shared memory by this name already"
)
NO_MODEL = Row(Code.NOT_FOUND, "", NotReadyError, True, True, "it does not have the model (any more); load it")
CONNECTION_CLOSED = Row(
    Code.UNAVAILABLE, "Socket closed", NotReadyError, True, True,
    "it closed the connection; has the server ended, or does it want TLS or a client certificate?",
)  # fmt: skip
WRONG_TOKEN = Row(
    Code.UNAVAILABLE, "restricted", RejectedError, True, False,
    "it wants a token and did not get the right one; check token_file (or TRITON_TOKEN) and token_header",
)  # fmt: skip

TABLE = (
    Row(
        Code.UNAVAILABLE, "CERTIFICATE_VERIFY_FAILED", RejectedError, True, False,
        "its certificate is not signed by the given CA, or has expired; check ca_file",
    ),
    Row(
        Code.UNAVAILABLE, "Hostname Verification", RejectedError, True, False,
        "its certificate is for another host name; use that name, or a certificate that has this one",
    ),
    WRONG_TOKEN,
    CONNECTION_CLOSED,
    Row(
        Code.UNAVAILABLE, "WRONG_VERSION_NUMBER", RejectedError, True, False,
        "it does not speak TLS; leave out tls and ca_file, or let the server use TLS",
    ),
    Row(
        Code.UNAVAILABLE, "http1.x", RejectedError, True, False,
        "that is an HTTP port; give the gRPC port (8001 by default)",
    ),
    Row(Code.UNAVAILABLE, "queue", NotReadyError, True, True, "it has too many requests waiting; add instances"),
    Row(Code.UNAVAILABLE, "not ready", NotReadyError, True, True, "the model is not ready there; load it"),
    Row(Code.UNAVAILABLE, "", NotReadyError, True, True, "not reachable; is the server running, the address right?"),
    UNKNOWN_REGION,
    ALREADY_REGISTERED,
    NO_MODEL,
    Row(
        Code.DEADLINE_EXCEEDED, "", InferenceTimeoutError, True, True,
        "no answer within the deadline, a late one is dropped; is the server overloaded, or the deadline too short?",
    ),
    Row(Code.CANCELLED, "", NotReadyError, True, True, "the connection was closed meanwhile"),
    Row(Code.INVALID_ARGUMENT, "", RejectedInputError, False, False, "it refuses this input"),
    Row(Code.UNAUTHENTICATED, "", RejectedError, True, False, "it refuses the token; check token_file, token_header"),
    Row(Code.PERMISSION_DENIED, "", RejectedError, True, False, "it refuses the token; check token_file, token_header"),
    Row(
        Code.RESOURCE_EXHAUSTED, f"vs. {MAX_RESPONSE_BYTES})", BadOutputError, True, False,
        "its answer is larger than any chunk; that is no policy",
    ),
    Row(Code.RESOURCE_EXHAUSTED, "", RejectedError, True, True, "it is out of memory, or refuses so large a message"),
    Row(Code.UNIMPLEMENTED, "", RejectedError, True, False, "that is not a Triton; check the address"),
    Row(
        Code.INTERNAL, "not healthy", NotReadyError, True, True,
        "the process that runs the model has died there; unload and load the model, or restart the server",
    ),
    Row(
        Code.INTERNAL, "Exception deserializing response", BadOutputError, True, False,
        "its answer is no message of Triton's; check the address",
    ),
    Row(Code.INTERNAL, "", RejectedError, True, False, "the model failed; its log on the server says more"),
)  # fmt: skip

MAX_SAID = 300
"""How many characters of a server's message are repeated in an error message."""

_OTHER = Row(Code.UNKNOWN, "", RejectedError, True, False, "an unexpected answer; its log on the server says more")


_MOST_TELLING = (
    RejectedInputError,
    BadOutputError,
    RejectedError,
    InferenceTimeoutError,
    NotReadyError,
    AnotherPolicyError,
)
"""Errors that pass by themselves come late. AnotherPolicyError is the last, because a server that still has the right
policy, but does not answer now, is worth waiting for."""


class CallFailed(Exception):
    """One server did not compute a chunk: `error` is raised if no other server succeeds; the rest is as in `Row`."""

    def __init__(
        self, error: InferenceError, elsewhere: bool = True, passing: bool = True, row: Row | None = None
    ) -> None:
        super().__init__(str(error))
        self.error = error
        self.elsewhere = elsewhere
        self.passing = passing
        self.row = row

    @classmethod
    def of(cls, error: grpc.RpcError, address: str) -> CallFailed:
        """Look up a gRPC error in the table."""
        row = row_of(error)
        details = said(" ".join((error.details() or "").split()))
        message = f"{address}: {row.meaning} [{error.code().name}: {details}]"
        return cls(row.error(message), row.elsewhere, row.passing, row)

    @classmethod
    def timed_out(cls, address: str) -> CallFailed:
        """The failure of a call whose deadline passed before it was made."""
        return cls(InferenceTimeoutError(f"{address}: no time left within the deadline to ask it"))

    @classmethod
    def together(cls, failures: Sequence[CallFailed]) -> InferenceError:
        """Make one error from the failures of several servers: the one that most needs somebody to act."""
        messages = dict.fromkeys(str(failed) for failed in failures)
        kinds = [type(failed.error) for failed in failures]
        kind = next((kind for kind in _MOST_TELLING if kind in kinds), kinds[0])
        error = kind("; ".join(messages))
        if isinstance(error, AnotherPolicyError):
            others = [failed.error for failed in failures if isinstance(failed.error, AnotherPolicyError)]
            error.policy_id = next((other.policy_id for other in others if other.policy_id), "")
        return error


def said(text: str) -> str:
    """Return a server's text for a message: limited in length, and without control characters."""
    shown = text if len(text) <= MAX_SAID else f"{text[:MAX_SAID]} ... ({len(text)} characters)"
    return "".join(character if character.isprintable() else "?" for character in shown)


def row_of(error: grpc.RpcError) -> Row:
    """Return the first row whose code and fragment match."""
    details = error.details() or ""
    return next((row for row in TABLE if row.code is error.code() and row.fragment in details), _OTHER)
