"""Inference with the images in shared memory: regions are made, registered with the server, reused and released."""

from __future__ import annotations

import threading
import time
from typing import Any

from tritonclient.grpc import service_pb2

from act_inference_ros.errors import RejectedError
from act_inference_ros.inference.triton.channel import TritonChannel
from act_inference_ros.inference.triton.contract import Contract, Inputs, RequestEncoder
from act_inference_ros.inference.triton.errors import ALREADY_REGISTERED, UNKNOWN_REGION, CallFailed
from act_inference_ros.inference.triton.options import TritonOptions
from act_inference_ros.inference.triton.shared_memory import Region, is_stale
from act_inference_ros.program.shared_memory import remove_abandoned_client_regions

MAX_REGIONS = 4
"""Number of simultaneous requests with shared memory; further requests send their images over gRPC."""
RELEASE_S = 0.5
"""Time limit for telling the server that a region ends."""


class NotShared(Exception):
    """The server does not accept a region: `failure` is its answer."""

    def __init__(self, failure: CallFailed) -> None:
        super().__init__(str(failure))
        self.failure = failure


class Regions:
    """The regions of one client on one server, one for each running request. For any thread."""

    def __init__(self, contract: Contract, channel: TritonChannel, options: TritonOptions) -> None:
        self.contract = contract
        self._channel = channel
        self._options = options
        self._free: list[tuple[Region, RequestEncoder]] = []
        self._made = 0
        self._server = 0
        """Number of the current server: increased when the server does not know the regions any more."""
        self._closed = False
        self._lock = threading.Lock()  # guards _free, _made and _closed: a region serves one request at a time

    def start(self, deadline: float) -> None:
        """Find out by trying whether the server shares memory with this process. Raises OSError or CallFailed.

        Removes the regions of crashed clients, on this machine and in the server's list.
        """
        remove_abandoned_client_regions()
        taken = self._take()
        if taken is not None:
            try:
                self._register(taken[0], deadline)
            finally:
                self._give_back(taken)
        known = self._channel.call("SystemSharedMemoryStatus", service_pb2.SystemSharedMemoryStatusRequest(), deadline)
        for name in known.regions:
            if is_stale(name):
                self._unregister(name, deadline)

    def infer(self, inputs: Inputs, deadline: float, request_id: str = "") -> Any | None:
        """Return the ModelInferResponse; None if no region is available. Raises CallFailed or NotShared."""
        try:
            taken = self._take()
        except OSError:
            return None
        if taken is None:
            return None
        region, encoder = taken
        try:
            region.write(inputs)
            request = encoder.encode(inputs, request_id)
            if not self._is_registered(region):
                self._register_now(region, deadline)
            return self._channel.infer(request, deadline)
        except CallFailed as failed:
            if failed.row is UNKNOWN_REGION:
                self._forget_registrations(region)
            raise
        finally:
            self._give_back(taken)

    def close(self) -> None:
        """Release the regions; the regions of running requests are released when these end."""
        with self._lock:
            self._closed = True
            free, self._free = self._free, []
        deadline = time.monotonic() + RELEASE_S
        for region, _ in free:
            self._release(region, deadline)

    def _take(self) -> tuple[Region, RequestEncoder] | None:
        with self._lock:
            if self._free:
                return self._free.pop()
            if self._closed or self._made >= MAX_REGIONS:
                return None
            region = Region(self.contract.spec.images)
            self._made += 1
        options = self._options
        encoder = RequestEncoder(self.contract, options.model, options.version, region.images, options.timeout_s)
        return region, encoder

    def _give_back(self, taken: tuple[Region, RequestEncoder]) -> None:
        with self._lock:
            if not self._closed:
                self._free.append(taken)
                return
        self._release(taken[0], time.monotonic() + RELEASE_S)

    def _register(self, region: Region, deadline: float) -> None:
        request = service_pb2.SystemSharedMemoryRegisterRequest(name=region.name, key=region.key, byte_size=region.size)
        registering = self._server
        try:
            self._channel.call("SystemSharedMemoryRegister", request, deadline)
        except CallFailed as failed:
            if failed.row is not ALREADY_REGISTERED:  # by this client, because its name contains this process
                raise
        region.registered_at = registering

    def _register_now(self, region: Region, deadline: float) -> None:
        try:
            self._register(region, deadline)
        except CallFailed as failed:
            if isinstance(failed.error, RejectedError):
                raise NotShared(failed) from failed
            raise

    def _is_registered(self, region: Region) -> bool:
        return region.registered_at == self._server

    def _forget_registrations(self, region: Region) -> None:
        """Note that the server does not know a region: it was restarted or replaced, and knows none of them."""
        with self._lock:
            if region.registered_at == self._server:  # no other thread has found out yet
                self._server += 1

    def _release(self, region: Region, deadline: float) -> None:
        if self._is_registered(region):
            self._unregister(region.name, deadline)
        region.close()

    def _unregister(self, name: str, deadline: float) -> None:
        request = service_pb2.SystemSharedMemoryUnregisterRequest(name=name)
        try:
            self._channel.call("SystemSharedMemoryUnregister", request, deadline)
        except CallFailed:
            # Gone, or used by a request that was given up: then the next client that connects finds the stale region.
            return
