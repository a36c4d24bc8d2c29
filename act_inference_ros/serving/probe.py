"""Does a Triton server truly answer? Asked over HTTP, with the standard library alone."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from math import prod
from typing import Any

_BYTES = {"FP32": 4, "UINT8": 1}
_REJECTED_BY_MODEL = 400


class ProbeError(Exception):
    """The server, or one of its policies, does not answer yet, or no more."""


class Probe:
    """Asks one server at host:port (HTTP). Keeps no connection open: that would delay the server's end."""

    def __init__(self, address: str) -> None:
        self._url = f"http://{address}/v2"

    def answering_models(self, timeout_s: float) -> list[str]:
        """`name version` of every loaded model, once each policy among them has answered an inference.

        Raises ProbeError saying which does not, and why.
        """
        self._get("health/ready", timeout_s)
        loaded = json.loads(self._post("repository/index", b'{"ready": true}', timeout_s))
        for model in loaded:
            self._infer(model["name"], model.get("version", ""), timeout_s)
        return [f"{model['name']} {model.get('version', '')}".strip() for model in loaded]

    def _infer(self, name: str, version: str, timeout_s: float) -> None:
        path = f"models/{name}/versions/{version}" if version else f"models/{name}"
        config = json.loads(self._get(f"{path}/config", timeout_s))
        if "policy_spec" not in config.get("parameters", {}):
            return  # not one of ours: what would be a valid request is not known
        head, body = _zeros(config["input"])
        headers = {"Inference-Header-Content-Length": str(len(head))}
        try:
            self._post(f"{path}/infer", head + body, timeout_s, headers)
        except ProbeError as error:
            # The policy itself refused the empty JPEG: it lives. A dead one shows as an internal error.
            cause = error.__cause__
            if not (isinstance(cause, urllib.error.HTTPError) and cause.code == _REJECTED_BY_MODEL):
                raise

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
            raise ProbeError(f"{request.selector}: {error.code} {text}".strip()) from error
        except OSError as error:
            raise ProbeError(f"{request.selector}: {error}") from error


def _zeros(inputs: list[dict[str, Any]]) -> tuple[bytes, bytes]:
    """An inference request of zeros (for strings: empty), as JSON head and binary tensors.

    Source: Triton's extension of the inference protocol for binary tensor data.
    """
    described, body = [], b""
    for tensor in inputs:
        kind = tensor["data_type"].removeprefix("TYPE_").replace("STRING", "BYTES")
        shape = [1, *(max(1, int(size)) for size in tensor["dims"])]
        data = bytes(4 if kind == "BYTES" else prod(shape) * _BYTES[kind])  # a string: its length, then nothing
        parameters = {"binary_data_size": len(data)}
        described.append({"name": tensor["name"], "shape": shape, "datatype": kind, "parameters": parameters})
        body += data
    head = {"inputs": described, "parameters": {"binary_data_output": True}}
    return json.dumps(head).encode(), body
