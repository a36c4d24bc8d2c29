"""One Triton server from the client's side: its contract, its shared memory, whether it answers."""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from act_inference_ros.errors import (
    AnotherPolicyError,
    BadOutputError,
    InferenceError,
    InferenceTimeoutError,
    NotReadyError,
    RejectedInputError,
)
from act_inference_ros.inference.triton.channel import TritonChannel
from act_inference_ros.inference.triton.contract import (
    Answer,
    Contract,
    Inputs,
    RequestEncoder,
    spec_differences,
)
from act_inference_ros.inference.triton.errors import (
    UNKNOWN_REGION,
    WRONG_TOKEN,
    CallFailed,
)
from act_inference_ros.inference.triton.look import PROBE_ID, look, read_served_contract, source, zeros
from act_inference_ros.inference.triton.options import TritonOptions
from act_inference_ros.inference.triton.regions import NotShared, Regions
from act_inference_ros.spec import PolicySpec, shown_id

TIMEOUTS_BEFORE_RECONNECT = 3
"""A connection whose other end vanished silently only shows as silence, so a new connection is tried."""

_log = logging.getLogger(__name__)


class RemoteServer:
    """Infers on one server. After any failure the contract is checked again, because the model may have been replaced.

    `expected` is the spec that the model must have, once a client has agreed on a spec. All methods may be called from
    any thread.
    """

    def __init__(self, address: str, options: TritonOptions) -> None:
        self.address = address
        self.expected: PolicySpec | None = None
        self.answers = False
        """Whether the last inference call got any reply, even an error."""
        self.reconnects = 0
        """How often the server answered again after a failure."""
        self._options = options
        self._channel = TritonChannel(address, options)
        self._regions: Regions | None = None
        self._share = options.shared_memory != "off"
        self._agreed: tuple[Contract, RequestEncoder] | None = None
        self.version = ""
        """The model's version in the last answer."""
        self.policy_id = ""
        """The policy_id in the last answer; empty for a model that states none."""
        self._timeouts = 0
        self.probe_s = 0.0
        """Time of the last probe's inference, s."""
        self._answered = False
        self._lost_at = float("-inf")
        self._closed = False
        self._lock = threading.Lock()  # guards the making of an agreement: one thread asks, the others wait

    def infer(self, inputs: Inputs, deadline: float, request_id: str = "") -> npt.NDArray[np.float32]:
        """Return a valid chunk of the expected policy. Raises CallFailed or ObservationError."""
        began = time.monotonic()
        try:
            before = self._agree(deadline)[0]
            try:
                answer = self._infer(inputs, deadline, request_id)
            except CallFailed as failed:
                refused = isinstance(failed.error, RejectedInputError)
                if failed.row is not UNKNOWN_REGION and not refused:
                    raise
                self._agreed = None  # the server was restarted or has another model: agree, register and ask once more
                if self._agree(deadline)[0] == before and refused:
                    raise  # so the observation is the cause
                answer = self._infer(inputs, deadline, request_id)
            self._check_identity(answer)
        except CallFailed as failed:
            self._note_failure(failed)
            raise
        except BadOutputError as error:
            bad = CallFailed(error, passing=False)
            self._note_failure(bad)
            raise bad from error
        self._note_answer(answer.version, began)
        return answer.chunk

    def probe(self, deadline: float) -> Contract:
        """Infer on an observation of zeros, because a server's health report is unreliable. Raises as `infer`.

        The spec of the contract has the policy_id that the server stated.
        """
        try:
            contract, _ = self._agree(deadline)
        except CallFailed as failed:
            self._note_failure(failed)
            raise
        began = time.monotonic()
        self.infer(zeros(contract.spec), deadline, PROBE_ID)
        self.probe_s = time.monotonic() - began
        return replace(contract, spec=replace(contract.spec, policy_id=self.policy_id))

    def look(self, deadline: float) -> Contract:
        """Infer once on zeros, with any policy; `expected` does not change. Raises as `infer`."""
        try:
            return look(self._channel, self._options, deadline)
        except BadOutputError as error:
            raise CallFailed(error, passing=False) from error

    def late(self) -> None:
        """Note that another server had to be asked because this one took too long."""
        if self.answers:
            self.answers = False
            self._lost_at = time.monotonic()

    def renew(self, deadline: float) -> None:
        """Begin a new connection beside the one in use: new servers may be behind the address, or it may have moved.

        The new connection is used only if the expected policy has computed a chunk over it.
        """
        candidate = TritonChannel(self.address, self._options, warn=False)
        try:
            candidate.wait_until_connected(deadline)
            contract = look(candidate, self._options, deadline)
            wanted = contract.spec == self.expected
        except (CallFailed, InferenceError) as error:
            _log.debug("%s: no new connection: %s", self.address, error)
            wanted = False
        if not wanted:
            candidate.close()
            return
        agreed = self._agreed
        if agreed is not None and agreed[0] != replace(contract, spec=replace(contract.spec, policy_id="")):
            self._agreed = None
        self._channel.take_over(candidate)

    def close(self) -> None:
        """Release shared memory and connection."""
        self._closed = True
        regions, self._regions = self._regions, None
        if regions is not None:
            regions.close()
        self._channel.close()

    def _infer(self, inputs: Inputs, deadline: float, request_id: str) -> Answer:
        contract, encoder = self._agree(deadline)
        encoded = contract.encoded(inputs)
        regions = self._regions
        response = None
        if regions is not None:
            try:
                response = regions.infer(encoded, deadline, request_id)
            except NotShared as refused:  # it shared memory before: it has moved to a place with another memory
                self._stop_sharing(regions, refused.failure)
        if response is None:
            response = self._channel.infer(encoder.encode(encoded, request_id), deadline)
        answer = contract.answer_of(response, self._source)
        contract.spec.check_chunk(answer.chunk, self._source)
        return answer

    def _check_identity(self, answer: Answer) -> None:
        """Raise CallFailed for a chunk of another policy than the expected one."""
        self.policy_id = answer.policy_id
        expected = self.expected
        if expected is not None and answer.policy_id != expected.policy_id:
            message = (
                f"{self.address}: model {self._options.model} version {answer.version} is policy "
                f"{shown_id(answer.policy_id)} now, this client began with {shown_id(expected.policy_id)}"
            )
            raise CallFailed(AnotherPolicyError(message, answer.policy_id), passing=False)

    @property
    def _source(self) -> str:
        return source(self.address, self._options)

    def _agree(self, deadline: float) -> tuple[Contract, RequestEncoder]:
        agreed = self._agreed
        if agreed is not None:
            return agreed
        if not self._lock.acquire(timeout=max(0.0, deadline - time.monotonic())):
            raise CallFailed.timed_out(self.address)
        try:
            agreed = self._agreed  # other threads may remove it at any time
            if agreed is None:
                self._channel.renew_token()
                contract = self._read_contract(deadline)
                options = self._options
                agreed = (
                    contract,
                    RequestEncoder(contract, options.model, options.version, timeout_s=options.timeout_s),
                )
                self._start_sharing(contract, deadline)
                self._agreed = agreed
            return agreed
        finally:
            self._lock.release()

    def _read_contract(self, deadline: float) -> Contract:
        contract = read_served_contract(self._channel, self._options, deadline)
        # All versions of a model have the same configuration, so the policy_id is taken from each answer.
        expected = replace(self.expected or contract.spec, policy_id="")
        differences = spec_differences(expected, contract.spec)
        if differences:
            raise CallFailed(
                AnotherPolicyError(
                    f"{self.address}: model {self._options.model} is another policy than this client began with: "
                    f"{differences}; create another client"
                ),
                passing=False,
            )
        return contract

    def _start_sharing(self, contract: Contract, deadline: float) -> None:
        before = self._regions
        if before is not None:
            if before.contract == contract:
                return
            self._regions = None
            before.close()
        if not self._share or contract.jpeg or not contract.spec.images:
            return
        regions = Regions(contract, self._channel, self._options)
        try:
            regions.start(deadline)
        except (OSError, CallFailed) as failure:
            regions.close()
            self._go_without_sharing(failure)
            return
        self._regions = regions
        if self._closed:
            regions.close()

    def _stop_sharing(self, regions: Regions, failure: CallFailed) -> None:
        self._regions = None
        regions.close()
        self._go_without_sharing(failure)

    def _go_without_sharing(self, failure: OSError | CallFailed) -> None:
        """Send images over gRPC from now on, unless this is forbidden or the failure has another cause."""
        must_share = self._options.shared_memory == "on"
        if isinstance(failure, CallFailed):
            if isinstance(failure.error, (NotReadyError, InferenceTimeoutError)):
                raise failure
            if failure.row is WRONG_TOKEN:
                if must_share:
                    raise failure
                return  # the next inference will show whether the token is wrong for all calls
        if must_share:
            message = f"{self.address}: shared_memory is on, but not possible with this server: {failure}"
            raise CallFailed(NotReadyError(message), passing=False) from failure
        self._share = False
        _log.info("%s: images go over gRPC; no shared memory with this server: %s", self.address, failure)

    def _note_answer(self, version: str, began: float) -> None:
        self._timeouts = 0
        if version != self.version:  # another version may have another configuration: check it before the next
            self._agreed = None if self.version else self._agreed
            self.version = version
        # A server that shuts down still answers requests from before it began to refuse.
        if not self.answers and began > self._lost_at:
            self.answers = True
            if self._answered:
                self.reconnects += 1
                _log.warning("%s answers again", self.address)
            self._answered = True

    def _note_failure(self, failed: CallFailed) -> None:
        self._agreed = None
        if self.answers and failed.elsewhere:
            self.answers = False
            self._lost_at = time.monotonic()
            _log.warning("lost a server, trying on: %s", failed)
        self._timeouts = self._timeouts + 1 if isinstance(failed.error, InferenceTimeoutError) else 0
        if self._timeouts >= TIMEOUTS_BEFORE_RECONNECT and not self._closed:
            self._timeouts = 0
            self._channel.reconnect()
