"""The program that computes a policy for another process: it opens the engine, answers requests, and ends with it.

`running.RunningEngine` starts it with two arguments: the descriptor number of its end of the channel, and the function
that opens the engine, as `module:function`.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import signal
import socket
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

from act_inference_ros.errors import InferenceError, ObservationError
from act_inference_ros.inference.backend import Backend
from act_inference_ros.inference.local.isolation.channel import Channel
from act_inference_ros.inference.local.isolation.shared_arrays import SharedArrays
from act_inference_ros.inference.local.options import LocalOptions
from act_inference_ros.program.cores import automatic_threads
from act_inference_ros.program.signals import STOP_SIGNALS
from act_inference_ros.program.told_errors import told

_MORE_LIKELY_OUT_OF_MEMORY = "500"
"""Of 1000: when memory is short, the kernel must end this process and not the process that commands the arm."""
FAILED = 3
"""Exit status after an inference that failed, or an engine that could not be opened."""


def main() -> None:
    """Run until the other process closes the channel or ends, or an inference fails."""
    descriptor, opener = int(sys.argv[1]), sys.argv[2]
    for number in STOP_SIGNALS:
        # A signal of a terminal or service manager is meant for the other process, which tells this one when to end.
        signal.signal(number, signal.SIG_IGN)
    os.set_inheritable(descriptor, False)  # otherwise a library's child processes would keep the channel open
    channel = Channel(socket.socket(fileno=descriptor))
    try:
        status = _serve(channel, opener)
    except EOFError:
        status = 0
    # Not by returning: threads of a library could block the interpreter's end, and there is nothing to save.
    sys.stderr.flush()
    os._exit(status)


def options_message(options: LocalOptions) -> dict[str, Any]:
    """The first message: the options for the engine."""
    return asdict(options)


def _serve(channel: Channel, opener: str) -> int:
    first = channel.receive()
    assert first is not None  # noqa: S101  # there is no time limit
    fields = first[0]
    try:
        options = LocalOptions(**{**fields, "providers": tuple(fields["providers"])})
        _stand_back(options.niceness)
        engine = _opener(opener)(replace(options, threads=options.threads or automatic_threads()))
        arrays, memory = SharedArrays.make(engine.spec)
    except Exception as error:
        channel.send(told(error, InferenceError))
        return FAILED
    ready = {
        "spec": engine.spec.to_json(),
        "source": engine.source,
        "facts": dict(engine.facts),
        "notes": list(engine.notes),
        "warm_up_s": engine.warm_up_s,
    }
    channel.send(ready, memory)
    os.close(memory)
    while True:
        request = channel.receive()
        assert request is not None  # noqa: S101
        try:
            arrays.write_chunk(engine.infer(arrays.inputs, str(request[0].get("request_id", ""))))
            channel.send({"done": True})
        except ObservationError as error:
            channel.send(told(error, InferenceError))
        except EOFError:
            raise
        except Exception as error:
            # After any error (a device that failed, no memory left) this process cannot be trusted with the next
            # inference.
            channel.send(told(error, InferenceError))
            return FAILED


def _stand_back(niceness: int) -> None:
    """Give other processes priority, and let them survive when memory is short."""
    os.nice(niceness)
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:
        file.write(_MORE_LIKELY_OUT_OF_MEMORY)


def _opener(name: str) -> Callable[[LocalOptions], Backend]:
    module, _, function = name.partition(":")
    opener: Callable[[LocalOptions], Backend] = getattr(importlib.import_module(module), function)
    return opener
