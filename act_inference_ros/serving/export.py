"""export_policy: turns a LeRobot checkpoint into a model in a Triton repository, if both compute the same numbers."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from os import PathLike, fspath
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from act_inference_ros.errors import ActInferenceError, ConfigurationError, MissingDependencyError
from act_inference_ros.inference.local.export_cache import WEIGHTS_FILE, cache_directory, store_export
from act_inference_ros.observation import jpeg_header
from act_inference_ros.policy.checkpoint_files import HUB_PREFIX
from act_inference_ros.policy.reference import PARITY_FILE, TOLERANCES, Reference
from act_inference_ros.program import exit_status
from act_inference_ros.program.signals import StopSignals
from act_inference_ros.program.version import package_version
from act_inference_ros.serving.model_config import (
    BACKENDS,
    DEVICES,
    IMAGE_ENCODINGS,
    JPEG_HEADER_FILE,
    MODEL_FILE,
    PYTHON_FILE,
    ServingOptions,
    config_pbtxt,
)
from act_inference_ros.serving.repository import Published, check_model, publish
from act_inference_ros.spec import shown_id

if TYPE_CHECKING:
    from act_inference_ros.policy.load import LoadedPolicy
    from act_inference_ros.serving.parity import ParityReport

# torch and onnx are imported when exporting begins, so that --help and error messages come at once.

PRECISIONS = tuple(TOLERANCES)
MODEL_SOURCE = Path(__file__).with_name("triton_model.py")
"""This file becomes model.py."""
PYTHON_SOURCES = {PYTHON_FILE: MODEL_SOURCE, JPEG_HEADER_FILE: Path(jpeg_header.__file__)}
"""The files that the Python backend runs: name in the version's directory -> the file that is copied there."""


@dataclass(frozen=True)
class Exported:
    """A version in the model repository, and its largest differences from local mode."""

    published: Published
    parity: ParityReport


def export_policy(
    checkpoint: str,
    repository: Path,
    options: ServingOptions | None = None,
    precision: str = "float32",
    replace_config: bool = False,
    log: Callable[[str], None] = print,
) -> Exported:
    """Export a checkpoint as the next version of `repository`/`options.name`.

    Nothing is written if the graph's numbers differ from local mode's by more than the precision allows, or after any
    other failure. An exported version has the files model.onnx, parity.json, and PYTHON_SOURCES for the Python backend.

    Args:
        checkpoint: a LeRobot checkpoint directory, or a hub id `hf:owner/name[@revision]`.
        repository: Triton's model repository; made if it does not exist.
        options: how to serve; None for the defaults.
        precision: of the network, float32 or float16 (for GPUs).
        replace_config: write config.pbtxt again, even if the model has versions already.
        log: called with lines for the user.

    Raises:
        CheckpointError: the checkpoint cannot be used.
        ConfigurationError: the options are wrong, the model's name serves another policy, or parity failed.
        MissingDependencyError: a package needed for exporting is not installed.
    """
    options = options or ServingOptions()
    if precision not in PRECISIONS:
        raise ConfigurationError(f"precision {precision!r}: expected one of {', '.join(PRECISIONS)}")
    tools = _tools()
    log(f"loading {checkpoint}")
    policy = tools.load_policy(checkpoint)
    model = repository / options.name
    config = config_pbtxt(policy.spec, options)
    check_model(model, config)
    with TemporaryDirectory(prefix="export_policy-") as scratch:
        staged = Path(scratch)
        report, provenance = _write_graph(tools, checkpoint, policy, precision, staged, log)
        if options.backend == "python":
            for name, source in PYTHON_SOURCES.items():
                (staged / name).write_bytes(source.read_bytes())
        published = publish(staged, model, config, provenance, replace_config)
    if published.config_kept:
        log(f"{model / 'config.pbtxt'} differs from what these options give and was kept; --replace-config rewrites it")
    log(f"policy {shown_id(policy.spec.policy_id)}")
    log(f"wrote {published.directory} ({options.backend} backend, {options.device}, {precision})")
    return Exported(published, report)


def cache_policy(checkpoint: str, precision: str = "float32", log: Callable[[str], None] = print) -> None:
    """Export a checkpoint into this user's cache, where the engine onnxruntime finds it, unless it is there already.

    Raises the same errors as `export_policy`.
    """
    tools = _tools()
    log(f"loading {checkpoint}")
    policy = tools.load_policy(checkpoint)

    def write(staged: Path) -> None:
        _write_graph(tools, checkpoint, policy, precision, staged, log)
        tools.put_weights_beside(staged / MODEL_FILE, WEIGHTS_FILE)

    store_export(policy.spec.policy_id, precision, write)
    log(f"policy {shown_id(policy.spec.policy_id)} is in {cache_directory()}")


def _write_graph(
    tools: Any, checkpoint: str, policy: LoadedPolicy, precision: str, staged: Path, log: Callable[[str], None]
) -> tuple[ParityReport, dict[str, str]]:
    """Write model.onnx and parity.json into `staged`; returns the comparison and the graph's provenance.

    Raises ConfigurationError if the graph's numbers differ from local mode's.
    """
    log("exporting to ONNX")
    graph = tools.onnx_graph(policy, precision)
    tools.state_identity(graph, policy.spec.policy_id)
    (staged / MODEL_FILE).write_bytes(graph.SerializeToString())
    log("comparing with local mode")
    reference: Reference = tools.local_reference(checkpoint, policy.description, precision)
    report: ParityReport = tools.compare(reference, staged / MODEL_FILE)
    log(report.table())
    if not report.passed:
        raise ConfigurationError(
            f"parity failed: the exported graph differs from local mode by {report.error:.1e} of an action's "
            f"range, {report.tolerance:.0e} is allowed in {precision}; "
            + "".join(f"{warning}; " for warning in policy.warnings)
            + "nothing was written"
        )
    provenance = {
        "policy_id": policy.spec.policy_id,
        "checkpoint": checkpoint_name(checkpoint),
        "exported_by": f"act_inference_ros {package_version()}".strip(),
    }
    facts = {**provenance, **report.as_json(), "reference": reference.as_json()}
    (staged / PARITY_FILE).write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    return report, provenance


def checkpoint_name(checkpoint: str | PathLike[str]) -> str:
    """The name of a checkpoint for other readers: the last parts of its path, from the training run on."""
    name = fspath(checkpoint)
    if name.startswith(HUB_PREFIX):
        return name
    parts = Path(name).expanduser().absolute().parts
    if "checkpoints" in parts[:-1]:
        return "/".join(parts[max(1, len(parts) - parts[::-1].index("checkpoints") - 2) :])
    return "/".join(parts[-2:]) if parts[-1] == "pretrained_model" else parts[-1]


def _tools() -> Any:
    try:
        from act_inference_ros.serving import exporting
    except ModuleNotFoundError as error:
        raise MissingDependencyError(
            f"exporting needs {error.name}: pip install torch safetensors onnx onnxscript onnxruntime"
        ) from error
    return exporting


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit status: 0, 2 for a user's mistake or failed parity, 130 when interrupted."""
    parser = _parser()
    given = parser.parse_args(arguments)
    try:
        options = ServingOptions(
            name=given.name,
            backend=given.backend,
            device=given.device,
            instances=given.instances,
            max_batch_size=given.max_batch_size,
            image_encoding=given.image_encoding,
        )
        with StopSignals().interrupting():
            if given.cache:
                cache_policy(given.checkpoint, given.precision, log=_print_line)
                return exit_status.OK
            export_policy(
                given.checkpoint, given.repository, options, given.precision, given.replace_config, log=_print_line
            )
    except ActInferenceError as error:
        print(f"error: {error}", file=sys.stderr)
        return exit_status.MISTAKE
    except KeyboardInterrupt:
        print("interrupted; nothing was written", file=sys.stderr)
        return exit_status.INTERRUPTED
    return exit_status.OK


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="export_policy",
        description="Export a trained ACT policy (LeRobot checkpoint) to a Triton model repository: one ONNX graph "
        "from raw images and states to actions, with its config.pbtxt. The graph is compared with local mode first; "
        "if it does not compute the same actions, nothing is written.",
        epilog="example: export_policy --checkpoint pretrained_model --repository model_repository && "
        "triton_server --model-repository model_repository",
    )
    parser.add_argument(
        "--checkpoint", required=True, metavar="DIR", help="LeRobot checkpoint directory or hub id hf:owner/name"
    )
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--repository", type=Path, metavar="DIR", help="model repository; made if it is not there")
    where.add_argument(
        "--cache",
        action="store_true",
        help="into this user's cache instead, from which mode local takes it with engine onnxruntime or auto; of the "
        "other options only --precision counts",
    )
    parser.add_argument("--name", default=ServingOptions.name, help="the model's name (default: %(default)s)")
    parser.add_argument(
        "--backend",
        default=ServingOptions.backend,
        choices=BACKENDS,
        help="python: model.py runs the graph, for a Triton that carries the Python backend only, such as the one in "
        "the nvidia-pytriton wheel; onnxruntime: for the stock Triton container (default: %(default)s)",
    )
    parser.add_argument(
        "--device", default=ServingOptions.device, choices=DEVICES, help="where it runs (default: %(default)s)"
    )
    parser.add_argument(
        "--instances",
        type=int,
        default=ServingOptions.instances,
        metavar="N",
        help="copies of the network that work at the same time (default: %(default)s)",
    )
    parser.add_argument(
        "--max-batch-size",
        type=int,
        default=ServingOptions.max_batch_size,
        metavar="N",
        help="most observations computed together (default: %(default)s)",
    )
    parser.add_argument(
        "--precision",
        default="float32",
        choices=PRECISIONS,
        help="of the network; float16 is for GPUs (default: %(default)s)",
    )
    parser.add_argument(
        "--image-encoding",
        default=ServingOptions.image_encoding,
        choices=IMAGE_ENCODINGS,
        help="jpeg: images travel as JPEG and are decoded in the server, for thin links (default: %(default)s)",
    )
    parser.add_argument(
        "--replace-config",
        action="store_true",
        help="write config.pbtxt anew; without it, a model that has versions keeps the one it has",
    )
    return parser


def _print_line(line: str) -> None:
    print(line, flush=True)  # shown at once in a log file, too


if __name__ == "__main__":
    sys.exit(main())
