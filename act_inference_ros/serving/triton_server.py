"""triton_server: starts the Triton of this machine on a model repository and reports when it really answers."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from act_inference_ros.errors import ActInferenceError, NotReadyError
from act_inference_ros.program import exit_status
from act_inference_ros.program.signals import StoppedBySignal, StopSignals
from act_inference_ros.serving.supervision import INTERVAL_S, Supervision
from act_inference_ros.serving.triton_process import LOOPBACK, READY_DEADLINE_S, TritonProcess


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the server's exit status, 2 for a user's mistake, 1 if it never became ready."""
    given, flags = _parser().parse_known_args(arguments)
    signals = StopSignals()
    log_file = given.log_file or _temporary_log()
    try:
        server = TritonProcess(
            given.model_repository,
            given.grpc_port,
            given.http_port,
            given.metrics_port,
            host=given.host,
            log_file=log_file,
            extra_flags=flags,
        )
    except ActInferenceError as error:
        if given.log_file is None:
            log_file.unlink(missing_ok=True)
        return _fail(error, exit_status.MISTAKE)
    supervision = Supervision(server, signals, _say, interval_s=given.check_interval, ready_deadline_s=given.deadline)
    stopped = False
    try:
        # A signal raises only from here on, when there is a server to stop, and only here: a second signal must not
        # interrupt the stop.
        with signals.interrupting():
            models = server.wait_ready(given.deadline)
            served = ", ".join(models) or "no model loaded yet"
            _say(f"Triton is ready at {server.address} (gRPC): {served}; log: {log_file}")
            if not given.supervise:
                server.process.wait()
        if given.supervise:
            supervision.run()
    except NotReadyError as error:
        server.stop()
        return _fail(f"{error}; log: {log_file}", exit_status.FAULT)
    except StoppedBySignal:
        stopped = True
    status = server.stop()
    if stopped and (status == -signal.SIGINT or not supervision.ends_in_order):
        status = exit_status.OK  # told to end before it could end normally, or the error has been reported
    if status != 0:  # the log is kept, because it says more than one line can
        print(f"error: Triton ended with status {status}; log: {log_file}", file=sys.stderr)
    elif given.log_file is None:
        log_file.unlink(missing_ok=True)
    return status if status >= 0 else exit_status.of_signal(-status)


def _parser() -> argparse.ArgumentParser:
    # No abbreviations: unknown arguments are passed to tritonserver unchanged.
    parser = argparse.ArgumentParser(
        prog="triton_server",
        usage="triton_server --model-repository DIR [options] [tritonserver's own flags]",
        allow_abbrev=False,
        description="Start the NVIDIA Triton of this machine (tritonserver on PATH, else the one inside the "
        "nvidia-pytriton wheel) on a model repository, print one line once every policy in it has answered an "
        "inference, and go on looking after it. Ctrl-C or SIGTERM ends it. Flags not listed here go to "
        "tritonserver as they are, for example --model-control-mode=poll or --grpc-use-ssl=true.",
    )
    parser.add_argument("--model-repository", required=True, type=Path, metavar="DIR", help="see export_policy")
    parser.add_argument("--grpc-port", type=int, default=8001, metavar="P", help="0: any free (default: %(default)s)")
    parser.add_argument("--http-port", type=int, default=8000, metavar="P", help="0: any free (default: %(default)s)")
    parser.add_argument(
        "--metrics-port", type=int, metavar="P", help="for Prometheus; 0: any free (default: no metrics)"
    )
    parser.add_argument(
        "--host",
        default=LOOPBACK,
        metavar="ADDRESS",
        help="address to listen at; 0.0.0.0 lets robots on the network in: without TLS and a token, everybody "
        "(default: %(default)s, this machine only)",
    )
    parser.add_argument(
        "--deadline",
        type=float,
        default=READY_DEADLINE_S,
        metavar="S",
        help="seconds until it must be ready (default: %(default)g)",
    )
    parser.add_argument(
        "--supervise",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="go on inferring on every policy; what fails or hangs is loaded again "
        "(with --model-control-mode=explicit) or the server started again (default: on)",
    )
    parser.add_argument(
        "--check-interval",
        type=_positive,
        default=INTERVAL_S,
        metavar="S",
        help="seconds between two looks of the supervision (default: %(default)g)",
    )
    parser.add_argument("--log-file", type=Path, metavar="FILE", help="what Triton says (default: a temporary file)")
    return parser


def _temporary_log() -> Path:
    handle, name = tempfile.mkstemp(prefix="triton_server-", suffix=".log")
    os.close(handle)
    return Path(name)


def _positive(text: str) -> float:
    value = float(text)
    if not 0.0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"expected a number of seconds above 0, got {text}")
    return value


def _say(line: str) -> None:
    print(line, flush=True)


def _fail(error: object, status: int) -> int:
    print(f"error: {error}", file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main())
