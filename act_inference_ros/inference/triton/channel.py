"""One gRPC channel to one Triton: calls with a deadline, translated errors, and the token in each call."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from typing import Any

import grpc
from tritonclient.grpc import service_pb2, service_pb2_grpc

from act_inference_ros.errors import ConfigurationError, NotReadyError, RejectedError, RejectedInputError
from act_inference_ros.inference.triton.errors import CallFailed
from act_inference_ros.inference.triton.options import MAX_RESPONSE_BYTES, TritonOptions
from act_inference_ros.inference.triton.security import channel_credentials, is_loopback, read_token

CHANNEL_OPTIONS = (
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", MAX_RESPONSE_BYTES),
    # A server that works again must be found within a second.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 300),
    # Despite its name this also limits the time of one attempt to connect; a poor wireless link needs some time.
    ("grpc.min_reconnect_backoff_ms", 2000),
    ("grpc.dns_min_time_between_resolutions_ms", 500),
    # A new channel must be a new connection, not the shared connection that no longer answers.
    ("grpc.use_local_subchannel_pool", 1),
    # A name may stand for several replicas: each new connection chooses one of them at random. All calls of a
    # connection go to the same replica, which knows the connection's shared memory.
    ("grpc.service_config", '{"loadBalancingConfig": [{"pick_first": {"shuffleAddressList": true}}]}'),
)
_INFER = f"/{service_pb2.DESCRIPTOR.services_by_name['GRPCInferenceService'].full_name}/ModelInfer"

_log = logging.getLogger(__name__)


class TritonChannel:
    """Calls may be made from any thread; `reconnect` and `close` end running calls."""

    def __init__(self, address: str, options: TritonOptions, warn: bool = True) -> None:
        """Raise ConfigurationError if certificates or token cannot be read.

        `warn`: log a warning if others can read the token on its way.
        """
        self.address = address
        self._options = options
        self._credentials = channel_credentials(options)
        self._token = read_token(options)
        if warn and self._token and not options.secure and not is_loopback(address):
            _log.warning("%s: the token is sent without encryption, for everybody on the way to read; set tls", address)
        self._lock = threading.Lock()  # guards which channel is used, which are retired, and whether all are closed
        self._closed = False
        self._retired: list[grpc.Channel] = []
        """Connections that were replaced; calls may still be running on them."""
        self._use(self._new_channel())

    def call(self, method: str, request: Any, deadline: float) -> Any:
        """Call a method of Triton's service by name. `deadline` on the monotonic clock, s. Raises CallFailed."""
        try:
            return self._call(getattr(self._stub, method), request, deadline)
        except CallFailed as failed:
            if isinstance(failed.error, RejectedInputError):  # this call has no observation that could be refused
                raise CallFailed(RejectedError(str(failed)), passing=False, row=failed.row) from failed.__cause__
            raise

    def infer(self, request: bytes, deadline: float) -> Any:
        """Send a serialised ModelInferRequest, return the ModelInferResponse. Raises CallFailed."""
        return self._call(self._infer, request, deadline)

    def reconnect(self) -> None:
        """Begin a new connection; running calls end."""
        with self._lock:
            old, self._retired = [self._channel, *self._retired], []
            self._use(self._new_channel())
        for channel in old:
            channel.close()

    def wait_until_connected(self, deadline: float) -> None:
        """Raise CallFailed if there is no connection by `deadline`."""
        try:
            grpc.channel_ready_future(self._channel).result(timeout=max(0.0, deadline - time.monotonic()))
        except (grpc.FutureTimeoutError, grpc.RpcError, RuntimeError) as error:  # RuntimeError: no more threads
            raise CallFailed.timed_out(self.address) from error

    def take_over(self, other: TritonChannel) -> None:
        """Continue with the connection of another channel to the same address; running calls end on the old connection.

        The connection before the old one is closed, so leave more time between two renewals than a call may take.
        """
        with self._lock:
            over, self._retired = self._retired, [self._channel]
            self._use(other._channel)
            if self._closed:
                over = [*over, *self._retired, other._channel]
        for channel in over:
            channel.close()

    def renew_token(self) -> None:
        """Read the token from its file again; keep the old token if the file cannot be read."""
        with contextlib.suppress(ConfigurationError):
            self._token = read_token(self._options)

    def close(self) -> None:
        """End the connection."""
        with self._lock:
            self._closed = True
            channels = [self._channel, *self._retired]
        for channel in channels:
            channel.close()

    def _new_channel(self) -> grpc.Channel:
        if self._credentials is None:
            return grpc.insecure_channel(self.address, CHANNEL_OPTIONS)
        return grpc.secure_channel(self.address, self._credentials, CHANNEL_OPTIONS)

    def _use(self, channel: grpc.Channel) -> None:
        self._channel = channel
        self._stub = service_pb2_grpc.GRPCInferenceServiceStub(self._channel)
        # Requests are serialised by RequestEncoder.
        self._infer = self._channel.unary_unary(_INFER, response_deserializer=service_pb2.ModelInferResponse.FromString)

    def _call(self, call: Any, request: Any, deadline: float) -> Any:
        left = deadline - time.monotonic()
        if left <= 0.0:
            raise CallFailed.timed_out(self.address)
        metadata = ((self._options.token_header, self._token),) if self._token else None
        try:
            return call(request, timeout=left, metadata=metadata)
        except grpc.RpcError as error:
            raise CallFailed.of(error, self.address) from error
        except ValueError as error:  # what gRPC raises for a closed channel
            raise CallFailed(NotReadyError(f"{self.address}: the connection was closed meanwhile")) from error
