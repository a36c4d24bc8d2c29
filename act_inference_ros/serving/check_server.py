"""check_server: checks whether a server computes, on its own hardware, what the policy computes in local mode."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from act_inference_ros.errors import ActInferenceError, InferenceError, MissingDependencyError
from act_inference_ros.inference.triton.options import (
    DEFAULT_TOKEN_HEADER,
    DEFAULT_WAIT_S,
    FROM_ENVIRONMENT,
    TritonOptions,
    chosen,
    chosen_tls,
)
from act_inference_ros.interfaces import SHARED_MEMORY
from act_inference_ros.policy.reference import TOLERANCES, Reference, read_reference
from act_inference_ros.program import exit_status
from act_inference_ros.program.signals import StopSignals
from act_inference_ros.spec import shown_id

if TYPE_CHECKING:
    from act_inference_ros.serving.served_check import ServedReport

# torch and tritonclient are imported only when they are needed; torch only for --checkpoint.

DEFAULT_REQUESTS = 20
DEFAULT_TIMEOUT_S = 30.0
"""Time limit of one request: a GPU may need seconds for the first batch of each size."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit status.

    0 if every server is right, 1 if a server is wrong or does not answer, 2 for a user's mistake, 130 when interrupted.
    """
    given = _parser().parse_args(arguments)
    try:
        with StopSignals().interrupting():
            return _check(given)
    except ActInferenceError as error:
        return _fail(error, exit_status.MISTAKE)
    except KeyboardInterrupt:
        return _fail("interrupted; nothing is known of the server", exit_status.INTERRUPTED)


def _check(given: argparse.Namespace) -> int:
    options = _options(given)
    options.check()
    reference = _reference(given)
    if given.tolerance is not None:
        reference = replace(reference, tolerance=given.tolerance)
    try:
        from act_inference_ros.serving.served_check import check_server
    except ModuleNotFoundError as error:
        raise MissingDependencyError(f"asking a server needs {error.name}: pip install 'tritonclient[grpc]'") from error
    status = exit_status.OK
    for address in options.addresses:  # each by itself, because one client would use all servers in turn
        try:
            report = check_server(options, address, reference, given.requests)
        except InferenceError as error:
            status = _fail(f"NOT OK: {error}", exit_status.FAULT)
            continue
        _print(report, reference)
        for problem in report.problems:
            _fail(f"NOT OK: {report.model} on {address}: {problem}", exit_status.NOT_MET)
        if not report.passed:
            status = exit_status.NOT_MET
    if status == exit_status.OK:
        print(f"OK: {options.model} on {', '.join(options.addresses)} computes what the reference says", flush=True)
    return status


def _options(given: argparse.Namespace) -> TritonOptions:
    return TritonOptions(
        **{name: chosen(name, getattr(given, name)) for name in FROM_ENVIRONMENT},
        timeout_s=given.timeout_s,
        wait_s=given.wait_s,
        shared_memory=given.shared_memory,
        tls=chosen_tls(given.tls),
        token_header=given.token_header,
    )


def _reference(given: argparse.Namespace) -> Reference:
    if given.parity is not None:
        return read_reference(given.parity)
    try:
        from act_inference_ros.policy.description import describe_policy
        from act_inference_ros.serving.local_reference import local_reference
    except ModuleNotFoundError as error:
        raise MissingDependencyError(
            f"--checkpoint needs {error.name}: pip install torch safetensors, or give --parity FILE"
        ) from error
    try:
        return local_reference(given.checkpoint, describe_policy(given.checkpoint), given.precision)
    except MissingDependencyError as error:
        raise MissingDependencyError(f"--checkpoint: {error}, or give --parity FILE") from error


def _print(report: ServedReport, reference: Reference) -> None:
    compared, of = report.observations
    lines = [
        f"{report.model} version {report.version or 'unknown'} on {report.address}",
        f"  policy       {', '.join(map(shown_id, report.policy_ids))}; the reference: {shown_id(reference.policy_id)}",
        f"  compared     {compared} of {of} observations, in batches of 1 to {report.largest_batch}",
    ]
    lines += [
        f"  action {number:<5} error {error:.1e} of its range ({error * size:.2g} of {size:.3g}), "
        f"{reference.tolerance:.0e} allowed"
        for number, (error, size) in enumerate(zip(report.errors, reference.ranges, strict=False))
    ]
    lines += [
        f"  latency      p50 {1e3 * latency.p50_s:.1f} ms, p95 {1e3 * latency.p95_s:.1f} ms, "
        f"{latency.clients} {'client' if latency.clients == 1 else 'clients at once'}"
        for latency in report.latencies
    ]
    print("\n".join(lines), flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="check_server",
        description="Compare what a Triton server computes on its own hardware with what the policy computes in local "
        "mode, in every batch size that the model takes, and measure how long a chunk takes. Ask every replica by "
        "its own address.",
        epilog="exit status: 0 every server is right, 1 one is not or does not answer, 2 a mistake in what was asked "
        "for or a reference that cannot be used, 130 interrupted. "
        "example: check_server --parity model_repository/act_policy/1/parity.json --server gpu-box:8001",
    )
    what = parser.add_argument_group("what it must compute (one of them)").add_mutually_exclusive_group(required=True)
    what.add_argument(
        "--checkpoint", metavar="DIR", help="LeRobot checkpoint directory or hub id hf:owner/name; needs torch"
    )
    what.add_argument("--parity", type=Path, metavar="FILE", help="parity.json of the exported version; needs no torch")
    parser.add_argument(
        "--precision",
        default="float32",
        choices=tuple(TOLERANCES),
        help="with --checkpoint: of the export, which decides the tolerance (default: %(default)s)",
    )
    parser.add_argument(
        "--tolerance",
        type=_share,
        metavar="E",
        help="largest error that is let pass, as a share of the action's range (default: that of the export)",
    )
    parser.add_argument(
        "--requests",
        type=_count,
        default=DEFAULT_REQUESTS,
        metavar="N",
        help="how many to measure each latency with (default: %(default)s)",
    )
    _add_client_options(parser.add_argument_group("the server (default: as the environment says)"))
    return parser


def _add_client_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--server", metavar="HOST:PORT[,...]", help="gRPC address; several are checked one by one")
    group.add_argument("--model", metavar="NAME", help="the model's name")
    group.add_argument("--version", metavar="N", help="the model's version (default: the server's choice)")
    group.add_argument(
        "--timeout-s", type=float, default=DEFAULT_TIMEOUT_S, metavar="S", help="of one request (default: %(default)g)"
    )
    group.add_argument(
        "--wait-s", type=float, default=DEFAULT_WAIT_S, metavar="S", help="for a server to come (default: %(default)g)"
    )
    group.add_argument("--shared-memory", default="auto", choices=SHARED_MEMORY, help="for images (default: auto)")
    group.add_argument("--tls", action="store_true", help="encrypt; implied by --ca-file and --certificate-file")
    group.add_argument("--ca-file", metavar="PEM", help="certificates that may sign the server's")
    group.add_argument("--certificate-file", metavar="PEM", help="this client's certificate (mutual TLS)")
    group.add_argument("--key-file", metavar="PEM", help="the certificate's key, not encrypted")
    group.add_argument(
        "--token-file", metavar="FILE", help="the token to send (default: that of TRITON_TOKEN_FILE, else TRITON_TOKEN)"
    )
    group.add_argument("--token-header", default=DEFAULT_TOKEN_HEADER, metavar="H", help="(default: %(default)s)")


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number from 1, got {text!r}")
    return int(text)


def _share(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0.0 < value < 1.0:
        raise argparse.ArgumentTypeError(f"expected a number between 0 and 1, got {text!r}")
    return value


def _fail(error: object, status: int) -> int:
    print(f"check_server: {error}", file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main())
