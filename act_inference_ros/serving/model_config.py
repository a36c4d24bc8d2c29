"""config.pbtxt: Triton's configuration of a policy, generated from its PolicySpec.

Source: Triton's model_config.proto. Written as text, readable and with comments, so exporting needs no Triton.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from act_inference_ros.errors import ConfigurationError
from act_inference_ros.spec import PolicySpec

CONFIG_FILE = "config.pbtxt"
MODEL_FILE = "model.onnx"
PYTHON_FILE = "model.py"
JPEG_HEADER_FILE = "jpeg_header.py"
"""The file that model.py imports from its own directory."""

POLICY_SPEC = "policy_spec"
IMAGE_ENCODING = "image_encoding"
VERSIONS = "policy_versions"
POLICY_ID_OUTPUT = "policy_id"
POLICY_ID_BYTES = 32
BACKENDS = ("python", "onnxruntime")
DEVICES = ("cpu", "gpu")
IMAGE_ENCODINGS = ("raw", "jpeg")
MAX_QUEUE_SIZE = 64
"""Number of requests that may wait: for twenty robots with one running request each, and requests they gave up."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_STRING = r"(\"(?:[^\"\\\n]|\\.)*\"|'(?:[^'\\\n]|\\.)*')"


@dataclass(frozen=True)
class ServingOptions:
    """How a policy is served. Raises ConfigurationError if the options contradict each other.

    `instances` copies of the network take batches of up to `max_batch_size` observations. `device` is cpu or gpu. With
    `image_encoding` jpeg the images arrive as JPEG files, which the server decodes.
    """

    name: str = "act_policy"
    backend: str = "python"
    device: str = "cpu"
    instances: int = 1
    max_batch_size: int = 8
    image_encoding: str = "raw"

    def __post_init__(self) -> None:
        for what, value, choices in (
            ("backend", self.backend, BACKENDS),
            ("device", self.device, DEVICES),
            ("image encoding", self.image_encoding, IMAGE_ENCODINGS),
        ):
            if value not in choices:
                raise ConfigurationError(f"{what} {value!r}: expected one of {', '.join(choices)}")
        if not _NAME.fullmatch(self.name):
            raise ConfigurationError(f"name {self.name!r}: expected letters, digits, '_', '-' and '.' only")
        for what, number in (("instances", self.instances), ("max batch size", self.max_batch_size)):
            if number < 1:
                raise ConfigurationError(f"{what}: expected at least 1, got {number}")
        if self.image_encoding == "jpeg" and self.backend != "python":
            raise ConfigurationError(
                f"image encoding jpeg with the backend {self.backend}: an ONNX graph cannot decode JPEG; "
                "use --backend python, or send raw images"
            )


@dataclass(frozen=True)
class ServedContract:
    """The part of a config.pbtxt that clients depend on, or that decides whether a version can be served under it."""

    backend: str
    image_encoding: str
    spec: PolicySpec
    outputs: tuple[str, ...]


def config_pbtxt(spec: PolicySpec, options: ServingOptions) -> str:
    """The text of config.pbtxt."""
    sections = [
        _head(options),
        "# One observation, less the batch dimension; names are LeRobot's feature keys.\n" + _inputs(spec, options),
        "# The action chunk in the units of the policy's data set; row i is for the observation's time + i / fps.\n"
        "# Beside it, which policy computed it (sha256).\n"
        f'output [\n  {{ name: "action", data_type: TYPE_FP32, dims: [ {spec.chunk_size}, {spec.action_dim} ] }},\n'
        f'  {{ name: "{POLICY_ID_OUTPUT}", data_type: TYPE_UINT8, dims: [ {POLICY_ID_BYTES} ] }}\n]',
        "# Read by the client when it connects: what the policy reads and writes.\n"
        + _parameter(POLICY_SPEC, replace(spec, policy_id="").to_json())  # versions may have different ids
        + "\n# raw: images are uint8 RGB. jpeg: one JPEG file each.\n"
        + _parameter(IMAGE_ENCODING, options.image_encoding),
        _threads(options),
        _instances(options),
        "# Requests that wait while a batch is computed make up the next one. None waits longer than this, nor than\n"
        "# the timeout a client sends along: an answer that late would be thrown away. Where max_queue_size wait, the\n"
        "# next one is refused at once, and its robot asks another server: a model that hangs piles nothing up.\n"
        "dynamic_batching {\n  default_queue_policy {\n    timeout_action: REJECT\n"
        "    default_timeout_microseconds: 10000000\n    allow_timeout_override: true\n"
        f"    max_queue_size: {MAX_QUEUE_SIZE}\n  }}\n}}",
    ]
    if options.image_encoding == "raw":  # model.py warms the graph up itself, because Triton has no JPEG to send
        sections.append(_warm_up(spec, options))
    return "\n\n".join(section for section in sections if section) + "\n"


def with_versions(text: str, versions: Mapping[str, Mapping[str, str]]) -> str:
    """A config.pbtxt with the provenance of each version: its policy_id, its checkpoint, and the exporting program.

    The rest of the text is not checked. Without versions the text stays as it is.
    """
    if not versions:
        return text
    line = _parameter(VERSIONS, json.dumps(versions, sort_keys=True))
    known = _parameter_pattern(VERSIONS).search(text)
    if known is not None:
        return text[: known.start()] + line + text[known.end() :]
    note = f"# What each version was exported from; the output {POLICY_ID_OUTPUT} says which one answers."
    return f"{text}\n{note}\n{line}\n"


def read_versions(text: str) -> dict[str, dict[str, str]]:
    """Read what `with_versions` wrote into a text: version -> its provenance; empty if there is none."""
    try:
        versions = json.loads(_read_parameter(text, VERSIONS) or "{}")
    except (ValueError, RecursionError):
        return {}
    return versions if isinstance(versions, dict) else {}


def read_served_contract(text: str) -> ServedContract | None:
    """Read what `config_pbtxt` wrote into a text, even after options were edited by hand; None if it is missing."""
    backend = re.search(rf"^backend:\s*{_STRING}", text, re.MULTILINE)
    spec, encoding = _read_parameter(text, POLICY_SPEC), _read_parameter(text, IMAGE_ENCODING)
    if backend is None or spec is None or encoding is None:
        return None
    try:
        return ServedContract(backend[1][1:-1], encoding, PolicySpec.from_json(spec), _outputs(text))
    except ConfigurationError:
        return None


def _outputs(text: str) -> tuple[str, ...]:
    """The names of this package's outputs in the text."""
    return tuple(name for name in ("action", POLICY_ID_OUTPUT) if re.search(rf'name:\s*"{name}"', text))


def _head(options: ServingOptions) -> str:
    what = {
        "python": f'# {PYTHON_FILE} runs {MODEL_FILE} with onnxruntime.\nbackend: "python"',
        "onnxruntime": f'backend: "onnxruntime"\ndefault_model_filename: "{MODEL_FILE}"',
    }[options.backend]
    return (
        "# Written by export_policy. All but names, shapes and the policy's specification may be tuned by hand.\n"
        f'name: "{options.name}"\n{what}\nmax_batch_size: {options.max_batch_size}'
    )


def _inputs(spec: PolicySpec, options: ServingOptions) -> str:
    lines = [
        f"name: {_quoted(key)}, data_type: {kind}, dims: [ {dims} ]" for key, kind, dims in _tensors(spec, options)
    ]
    return "input [\n" + ",\n".join(f"  {{ {line} }}" for line in lines) + "\n]"


def _tensors(spec: PolicySpec, options: ServingOptions) -> list[tuple[str, str, str]]:
    """Name, data type and dims of each input."""
    vectors = [(key, "TYPE_FP32", str(dim)) for key, dim in spec.vectors.items()]
    if options.image_encoding == "jpeg":
        return vectors + [(image.key, "TYPE_STRING", "1") for image in spec.images]
    return vectors + [(image.key, "TYPE_UINT8", f"{image.height}, {image.width}, 3") for image in spec.images]


def _threads(options: ServingOptions) -> str:
    if options.device == "gpu":
        return ""
    if options.backend == "python":
        return "# Threads of each instance; 0: the processor's cores, shared out.\n" + _parameter(
            "intra_op_threads", "0"
        )
    note = "# Threads of each instance; 0: as many as the processor has cores. Divide them among several instances.\n"
    return note + _parameter("intra_op_thread_count", "0")


def _instances(options: ServingOptions) -> str:
    note = ""
    if options.device == "gpu" and options.backend == "onnxruntime":
        note = (
            "# TensorRT instead of CUDA (minutes to build at load, faster afterwards), to be measured on your GPU:\n"
            '# optimization { execution_accelerators { gpu_execution_accelerator : [ { name : "tensorrt" } ] } }\n'
        )
    return f"{note}instance_group [\n  {{ count: {options.instances}, kind: KIND_{options.device.upper()} }}\n]"


def _warm_up(spec: PolicySpec, options: ServingOptions) -> str:
    """Requests of zeros at load. A GPU chooses its kernels by the batch size, so the largest batch is sent, too."""
    sizes = {1, options.max_batch_size} if options.device == "gpu" else {1}
    inputs = "".join(
        f"    inputs {{ key: {_quoted(key)}, value {{ data_type: {kind}, dims: [ {dims} ], zero_data: true }} }}\n"
        for key, kind, dims in _tensors(spec, options)
    )
    samples = ",\n".join(
        f'  {{\n    name: "batch of {size}", batch_size: {size}\n{inputs}  }}' for size in sorted(sizes)
    )
    note = "# The model is ready once these have been answered, so the first chunk is as fast as the others.\n"
    return f"{note}model_warmup [\n{samples}\n]"


def _parameter(key: str, value: str) -> str:
    return f'parameters {{ key: "{key}", value {{ string_value: {_quoted(value)} }} }}'


def _read_parameter(text: str, key: str) -> str | None:
    found = _parameter_pattern(key).search(text)
    return re.sub(r"\\(.)", r"\1", found[1][1:-1]) if found else None


def _parameter_pattern(key: str) -> re.Pattern[str]:
    value = rf"value:?\s*{{\s*string_value:\s*{_STRING}\s*}}"
    # No two runs of spaces stand beside each other: all ways of dividing the spaces among them would be tried.
    return re.compile(rf'parameters:?\s*{{\s*key:\s*"{key}"(?:\s*,)?\s*{value}\s*}}')


def _quoted(text: str) -> str:
    quote = "'" if '"' in text else '"'  # keeps JSON readable
    escaped = text.replace("\\", "\\\\").replace(quote, f"\\{quote}")
    return f"{quote}{escaped}{quote}"
