"""One Triton server as a client sees it: its contract, its shared memory, whether it answers."""

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
"""A connection whose other end vanished without a word only shows as silence; a new one finds out."""

_log = logging.getLogger(__name__)


class RemoteServer:
    """Infers on one server. After any failure the contract is checked anew: the model may be another one by then.

    `expected` is the spec that the model must have, once a client has agreed on one. All methods may be called from any
    thread.
    """

    def __init__(self, address: str, options: TritonOptions) -> None:
        self.address = address
        self.expected: PolicySpec | None = None
        self.answers = False
        """Whether the last inference was answered, with whatever."""
        self.reconnects = 0
        """How often it answered again after it had not."""
        self._options = options
        self._channel = TritonChannel(address, options)
        self._regions: Regions | None = None
        self._share = options.shared_memory != "off"
        self._agreed: tuple[Contract, RequestEncoder] | None = None
        self.version = ""
        """Of the model, as the last answer said it."""
        self.policy_id = ""
        """As the last answer said it; empty for a model that states none."""
        self._timeouts = 0
        self.probe_s = 0.0
        """How long the inference of the last probe took, s."""
        self._answered = False
        self._lost_at = float("-inf")
        self._closed = False
        self._lock = threading.Lock()  # guards the making of an agreement: one thread asks, the others wait for it

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
                self._agreed = None  # it was started again, or has another model: agree, register and ask once more
                if self._agree(deadline)[0] == before and refused:
                    raise  # so the observation is to blame
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
        """Infer on an observation of zeros, for what a server says of its health proves nothing. Raises as `infer`.

        The spec of the contract has the policy_id that was stated.
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
        """Infer once on zeros, whatever policy it is, and expect no other one than before. Raises as `infer`."""
        try:
            return look(self._channel, self._options, deadline)
        except BadOutputError as error:
            raise CallFailed(error, passing=False) from error

    def late(self) -> None:
        """Note that another server had to be asked, because this one took too long."""
        if self.answers:
            self.answers = False
            self._lost_at = time.monotonic()

    def renew(self, deadline: float) -> None:
        """Begin a new connection beside the one in use: what is behind an address may have grown or moved.

        It is used only if the expected policy has computed a chunk over it.
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
            except NotShared as refused:  # it shared once: it has moved to a place with another memory
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
            agreed = self._agreed  # others may take it away again at any time
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
        # A configuration is common to all versions of a model: each answer itself says which policy it is of.
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
        """Images go over gRPC from now on, unless that is not wanted or the failure says nothing about it."""
        must_share = self._options.shared_memory == "on"
        if isinstance(failure, CallFailed):
            if isinstance(failure.error, (NotReadyError, InferenceTimeoutError)):
                raise failure
            if failure.row is WRONG_TOKEN:
                if must_share:
                    raise failure
                return  # inference will tell whether the token is wrong for everything
        if must_share:
            message = f"{self.address}: shared_memory is on, but not possible with this server: {failure}"
            raise CallFailed(NotReadyError(message), passing=False) from failure
        self._share = False
        _log.info("%s: images go over gRPC; no shared memory with this server: %s", self.address, failure)

    def _note_answer(self, version: str, began: float) -> None:
        self._timeouts = 0
        if version != self.version:  # another version may be configured otherwise: look before the next one
            self._agreed = None if self.version else self._agreed
            self.version = version
        # A server that drains still answers what it was asked before it began to refuse.
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
