"""Checks whether a Triton server really answers, over HTTP, with only the standard library."""

from __future__ import annotations

import json
import struct
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from http.client import HTTPException
from math import prod
from typing import Any

from act_inference_ros.serving.blank_jpeg import blank_jpeg

_BYTES = {"FP32": 4, "UINT8": 1}
_REJECTED_BY_MODEL = 400
_ABOUT_THE_MOMENT = (404, 503)


class ProbeError(Exception):
    """The server, or one of its policies, does not answer yet, or does not answer any more.

    `timed_out`: no answer came within the deadline. `passing`: the model is not loaded now, or too many requests wait.
    """

    def __init__(self, message: str, timed_out: bool = False, passing: bool = False) -> None:
        super().__init__(message)
        self.timed_out = timed_out
        self.passing = passing


class RefusedError(ProbeError):
    """The request was refused: by the policy itself, which shows that it works, or because the model does not exist."""


@dataclass(frozen=True)
class Model:
    """A loaded model; `version` is empty if the server does not report it."""

    name: str
    version: str

    def __str__(self) -> str:
        return f"{self.name} {self.version}".strip()

    @property
    def path(self) -> str:
        """The path of the model in the HTTP interface."""
        return f"models/{self.name}/versions/{self.version}" if self.version else f"models/{self.name}"


@dataclass(frozen=True)
class Counts:
    """How many requests a model has answered, and how many of them with an error."""

    answered: int
    failed: int


class Probe:
    """Asks one server at host:port (HTTP). Keeps no connection open, because that would delay the server's end."""

    def __init__(self, address: str) -> None:
        self._url = f"http://{address}/v2"
        self.slowest_s: dict[Model, float] = {}
        """The time of each policy's slowest answer to `infer`."""

    def answering_models(self, timeout_s: float) -> list[str]:
        """`name version` of every loaded model, once each policy among them has answered an inference.

        Raises ProbeError, which says which policy does not answer, and why.
        """
        self._get("health/ready", timeout_s)
        loaded = self.loaded(timeout_s)
        for model in loaded:
            self.infer(model, timeout_s)
        return [str(model) for model in loaded]

    def loaded(self, timeout_s: float) -> list[Model]:
        """All models that Triton reports as ready, which proves little. Raises ProbeError."""
        loaded = json.loads(self._post("repository/index", b'{"ready": true}', timeout_s))
        return [Model(model["name"], model.get("version", "")) for model in loaded]

    def infer(self, model: Model, timeout_s: float) -> bool:
        """Let a policy answer the smallest observation; False if the model is not this package's. Raises ProbeError."""
        config = json.loads(self._get(f"{model.path}/config", timeout_s))
        if "policy_spec" not in config.get("parameters", {}):
            return False  # a valid request for this model is not known
        head, body = _blank_observation(config)
        headers = {"Inference-Header-Content-Length": str(len(head))}
        began = time.monotonic()
        try:
            self._post(f"{model.path}/infer", head + body, timeout_s, headers)
        except RefusedError:  # a policy that does not work causes an internal error instead
            return True
        self.slowest_s[model] = max(self.slowest_s.get(model, 0.0), time.monotonic() - began)
        return True

    def counts(self, model: Model, timeout_s: float) -> Counts:
        """Triton's counts since it loaded the model. Raises ProbeError."""
        [statistics] = json.loads(self._get(f"{model.path}/stats", timeout_s))["model_stats"]
        counted = statistics["inference_stats"]
        return Counts(counted["success"]["count"], counted["fail"]["count"])

    def load(self, name: str, timeout_s: float) -> None:
        """Load a model, if the server allows this. Raises ProbeError with the reason if loading fails."""
        self._post(f"repository/models/{name}/load", b"", timeout_s)

    def unload(self, name: str, timeout_s: float) -> None:
        """Begin to unload a model, if the server allows this. Raises ProbeError."""
        self._post(f"repository/models/{name}/unload", b"", timeout_s)

    def shared_regions(self, timeout_s: float) -> list[str]:
        """Names of the clients' shared memory regions that the server knows. Raises ProbeError."""
        known = json.loads(self._get("systemsharedmemory/status", timeout_s))
        return [region["name"] for region in known]

    def forget_region(self, name: str, timeout_s: float) -> None:
        """Let the server release a client's shared memory. Raises ProbeError."""
        self._post(f"systemsharedmemory/region/{name}/unregister", b"", timeout_s)

    def _get(self, path: str, timeout_s: float) -> bytes:
        return self._ask(urllib.request.Request(f"{self._url}/{path}"), timeout_s)  # noqa: S310  # http, see above

    def _post(self, path: str, data: bytes, timeout_s: float, headers: dict[str, str] | None = None) -> bytes:
        request = urllib.request.Request(f"{self._url}/{path}", data, headers or {})  # noqa: S310
        return self._ask(request, timeout_s)

    @staticmethod
    def _ask(request: urllib.request.Request, timeout_s: float) -> bytes:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # never through a proxy
        try:
            with opener.open(request, timeout=timeout_s) as response:
                answer: bytes = response.read()
                return answer
        except urllib.error.HTTPError as error:
            with error:
                text = error.read().decode(errors="replace")[:300]
            message = f"{request.selector}: {error.code} {text}".strip()
            if error.code == _REJECTED_BY_MODEL:
                raise RefusedError(message, passing=True) from error
            raise ProbeError(message, passing=error.code in _ABOUT_THE_MOMENT) from error
        except (OSError, HTTPException) as error:
            timed_out = isinstance(error, TimeoutError) or isinstance(getattr(error, "reason", None), TimeoutError)
            raise ProbeError(f"{request.selector}: {error}", timed_out) from error


def _blank_observation(config: dict[str, Any]) -> tuple[bytes, bytes]:
    """An inference request of zeros and of black or grey images, as JSON head and binary tensors.

    Source: Triton's extension of the inference protocol for binary tensor data.
    """
    spec = json.loads(config["parameters"]["policy_spec"]["string_value"])
    images = {image["key"]: (image["height"], image["width"]) for image in spec["images"]}
    described, body = [], b""
    for tensor in config["input"]:
        kind = tensor["data_type"].removeprefix("TYPE_").replace("STRING", "BYTES")
        shape = [1, *(max(1, int(size)) for size in tensor["dims"])]
        if kind == "BYTES":
            jpeg = blank_jpeg(*images[tensor["name"]])
            data = struct.pack("<I", len(jpeg)) + jpeg
        else:
            data = bytes(prod(shape) * _BYTES[kind])
        parameters = {"binary_data_size": len(data)}
        described.append({"name": tensor["name"], "shape": shape, "datatype": kind, "parameters": parameters})
        body += data
    head = {"inputs": described, "parameters": {"binary_data_output": True}}
    return json.dumps(head).encode(), body
