"""Compares a server's answers with a reference, on the server's own hardware.

Every batch size up to the model's largest is computed once per instance, so that a GPU has chosen its kernels for each
size. Then many clients send requests at the same time, as robots do.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from tritonclient.grpc import service_pb2

from act_inference_ros.errors import ConfigurationError
from act_inference_ros.inference.client import InferenceClient
from act_inference_ros.inference.images import as_jpeg, as_pixels
from act_inference_ros.inference.options import ClientOptions
from act_inference_ros.inference.triton.channel import TritonChannel
from act_inference_ros.inference.triton.contract import (
    OUTPUT,
    POLICY_ID,
    POLICY_ID_BYTES,
    Contract,
    raw_outputs,
    read_contract,
    spec_differences,
)
from act_inference_ros.inference.triton.errors import CallFailed
from act_inference_ros.inference.triton.look import read_model_config, source
from act_inference_ros.inference.triton.options import TritonOptions
from act_inference_ros.policy.reference import Arrays, Reference
from act_inference_ros.spec import shown_id


@dataclass(frozen=True)
class Latency:
    """Times of chunks, s: median and 95th percentile, with this many clients at the same time."""

    clients: int
    p50_s: float
    p95_s: float


@dataclass(frozen=True)
class ServedReport:
    """The results of one server, compared with the reference.

    `observations`: how many of the reference's were compared, and of how many. `errors`: per action, the largest
    difference as a fraction of its range. `problems`: what is wrong; empty if nothing is.
    """

    address: str
    model: str
    version: str
    policy_ids: tuple[str, ...]
    observations: tuple[int, int]
    largest_batch: int
    errors: tuple[float, ...]
    latencies: tuple[Latency, ...]
    problems: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Whether everything was compared and nothing is wrong."""
        return not self.problems and bool(self.errors) and bool(self.latencies)


def check_server(options: TritonOptions, address: str, reference: Reference, requests: int) -> ServedReport:
    """Compare one server's results with `reference`. The caller's `options` name the model; `address` the server.

    `requests`: how many are sent for each latency. Raises an InferenceError if the server does not answer correctly,
    ConfigurationError if the comparison is not possible.
    """
    options = replace(options, server=address)
    with InferenceClient.open(ClientOptions(mode="triton", triton=options)) as client:
        served = _ServedModel(options, address)
        try:
            differences = spec_differences(replace(reference.spec, policy_id=""), served.contract.spec)
            if differences:
                served.policy_ids.add(client.policy_id)
                return served.report(reference, (f"another policy: {differences}",))
            rows = _comparable(reference, served.contract)
            for size in range(1, served.largest_batch + 1):
                served.compare_batch(reference, rows, size)
            latencies = [
                _ask(served, client, reference, rows, clients, requests)
                for clients in sorted({1, served.largest_batch})
            ]
            served.policy_ids.add(client.policy_id)
            served.versions.add(client.model_version)
            return served.report(reference, (), len(rows), tuple(latencies))
        except CallFailed as failed:
            raise failed.error from failed
        finally:
            served.close()


class _ServedModel:
    """One model on one server, with the errors found so far."""

    def __init__(self, options: TritonOptions, address: str) -> None:
        self._options = options
        self._address = address
        self._channel = TritonChannel(address, options)
        try:
            config = read_model_config(self._channel, options, self._deadline())
            self.contract: Contract = read_contract(config, self.source)
        except CallFailed as failed:
            self.close()
            raise failed.error from failed
        except BaseException:
            self.close()
            raise
        self.largest_batch = max(1, int(config.max_batch_size))
        self.instances = sum(max(1, group.count) * max(1, len(group.gpus)) for group in config.instance_group) or 1
        self.versions: set[str] = set()
        self.policy_ids: set[str] = set()
        self.errors = np.zeros(self.contract.spec.action_dim)

    @property
    def source(self) -> str:
        return source(self._address, self._options)

    def close(self) -> None:
        self._channel.close()

    def compare_batch(self, reference: Reference, rows: Sequence[int], size: int) -> None:
        """Compare requests with a batch of `size` observations each: one request per instance, at the same time."""
        chosen = [rows[(size + i) % len(rows)] for i in range(size)]  # each observation comes to every place
        everything = list(reference.observations.values())
        request = self._request([everything[row] for row in chosen])
        deadline = self._deadline(batch_size=size * self.instances)
        with ThreadPoolExecutor(self.instances) as pool:
            responses = list(pool.map(lambda _: self._channel.infer(request, deadline), range(self.instances)))
        for response in responses:
            self.versions.add(response.model_version)
            self.note(reference, self._read(response, size), chosen)

    def note(self, reference: Reference, chunks: npt.NDArray[np.float32], rows: Sequence[int]) -> None:
        """Update the errors with these chunks (n, chunk_size, action_dim)."""
        self.errors = np.maximum(self.errors, reference.errors(chunks, rows).max(axis=(0, 1)))

    def report(
        self,
        reference: Reference,
        problems: tuple[str, ...],
        compared: int = 0,
        latencies: tuple[Latency, ...] = (),
    ) -> ServedReport:
        return ServedReport(
            address=self._address,
            model=self._options.model,
            version=", ".join(sorted(self.versions)),
            policy_ids=tuple(sorted(self.policy_ids)),
            observations=(compared, len(reference.observations)),
            largest_batch=self.largest_batch,
            errors=tuple(float(error) for error in self.errors) if compared else (),
            latencies=latencies,
            problems=(*problems, *self._problems(reference)),
        )

    def _problems(self, reference: Reference) -> list[str]:
        problems = []
        if self.policy_ids != {reference.policy_id}:
            said = ", ".join(map(shown_id, sorted(self.policy_ids)))
            problems.append(f"it says it serves policy {said}, the reference is policy {shown_id(reference.policy_id)}")
        if len(self.versions) > 1:
            problems.append(f"the model changed while it was checked: versions {', '.join(sorted(self.versions))}")
        if not self.errors.max(initial=0.0) <= reference.tolerance:
            worst = int(self.errors.argmax())
            problems.append(
                f"it computes other actions: action {worst} is off by {self.errors[worst]:.1e} of its range, "
                f"{reference.tolerance:.0e} is allowed"
            )
        return problems

    def _request(self, observations: list[Arrays]) -> bytes:
        """Serialise a request with one batch of several observations, which InferenceClient never sends."""
        request = service_pb2.ModelInferRequest(model_name=self._options.model, model_version=self._options.version)
        encoded = [self.contract.encoded({key: rows[0] for key, rows in one.items()}) for one in observations]
        batch = [len(observations)] if self.contract.batched else []
        for key in self.contract.spec.keys:
            shape = self.contract.shape(key)[1:] if self.contract.batched else self.contract.shape(key)
            request.inputs.add(name=key, datatype=self.contract.datatype(key), shape=[*batch, *shape])
            request.raw_input_contents.append(b"".join(_content(one[key]) for one in encoded))
        for name in self.contract.outputs:
            request.outputs.add(name=name)
        serialized: bytes = request.SerializeToString()
        return serialized

    def _read(self, response: Any, size: int) -> npt.NDArray[np.float32]:
        """The chunks of a batch (size, chunk_size, action_dim); notes which policies computed them."""
        expected = {
            name: (datatype, [size, *shape[1:]] if self.contract.batched else shape)
            for name, (datatype, shape) in self.contract.outputs.items()
        }
        read = raw_outputs(response, expected, self.source)
        if POLICY_ID in read:
            rows = np.frombuffer(read[POLICY_ID], np.uint8).reshape(size, POLICY_ID_BYTES)
            self.policy_ids.update(row.tobytes().hex() for row in rows)
        flat = np.frombuffer(read[OUTPUT], "<f4").astype(np.float32)
        return flat.reshape(size, self.contract.spec.chunk_size, self.contract.spec.action_dim)

    def _deadline(self, batch_size: int = 1) -> float:
        return time.monotonic() + self._options.timeout_s * batch_size


def _comparable(reference: Reference, contract: Contract) -> list[int]:
    """The numbers of the observations whose images reach the model unchanged: with JPEG, only those it does not alter.

    Raises ConfigurationError if there is none.
    """
    everything = list(reference.observations.values())
    if not contract.jpeg:
        return list(range(len(everything)))

    def survives(one: Arrays) -> bool:
        return all(
            np.array_equal(as_pixels(image, as_jpeg(image, one[image.key][0])), one[image.key][0])
            for image in contract.spec.images
        )

    rows = [row for row, one in enumerate(everything) if survives(one)]
    if not rows:
        raise ConfigurationError(
            "the model takes JPEG, and none of the reference's images passes through JPEG unchanged here: "
            "it cannot be judged from this machine"
        )
    return rows


def _ask(
    served: _ServedModel,
    client: InferenceClient,
    reference: Reference,
    rows: Sequence[int],
    clients: int,
    requests: int,
) -> Latency:
    """Send requests as robots do, from `clients` at once, and compare every chunk; in all `requests`, or one each."""
    everything = list(reference.observations.values())
    observations = {row: {key: value[0] for key, value in everything[row].items()} for row in rows}

    def timed(number: int) -> tuple[int, npt.NDArray[np.float32], float]:
        row = rows[number % len(rows)]
        began = time.monotonic()
        chunk = client.predict(observations[row])
        return row, chunk, time.monotonic() - began

    with ThreadPoolExecutor(clients) as pool:
        answers = list(pool.map(timed, range(max(requests, clients))))
    served.note(reference, np.stack([chunk for _, chunk, _ in answers]), [row for row, _, _ in answers])
    p50, p95 = np.percentile([seconds for _, _, seconds in answers], [50, 95])
    return Latency(clients, float(p50), float(p95))


def _content(value: npt.NDArray[Any] | bytes) -> bytes:
    """An input in Triton's raw format: a BYTES element is its length, then its bytes."""
    if isinstance(value, bytes):
        return len(value).to_bytes(4, "little") + value
    return np.ascontiguousarray(value).tobytes()
