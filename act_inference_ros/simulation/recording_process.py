"""The program that makes attempts at demonstrations for another process, and ends with it.

On stdin comes a line of JSON for each attempt, `[seed, number]`. On stdout goes a reply to each: a line of JSON, then
as many bytes as its `bytes` says: the arrays that its `arrays` names, as numpy writes them without pickle.
"""

from __future__ import annotations

import dataclasses
import io
import json
import os
import sys
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from act_inference_ros.program.told_errors import told
from act_inference_ros.simulation.demonstrations import AttemptRecorder, Demonstration


def main() -> int:
    """Make the attempts that stdin asks for until it is closed."""
    replies = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what a library prints is no reply
    recorder: AttemptRecorder | None = None
    for line in sys.stdin:
        try:
            if recorder is None:
                recorder = AttemptRecorder()
            demonstration = recorder.attempt(*json.loads(line))
        except Exception as error:
            _write_reply(replies, told(error))
        else:
            _write_reply(replies, {}, demonstration)
    return 0


def read_reply(stream: IO[bytes]) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]:
    """Read a reply: its line, and the arrays by their names, none if there is no demonstration.

    Raises EOFError if the stream ends before the reply does.
    """
    line = stream.readline()
    if not line.endswith(b"\n"):
        raise EOFError("the recording process has ended")
    reply: dict[str, Any] = json.loads(line)
    data = stream.read(reply["bytes"])
    if len(data) != reply["bytes"]:
        raise EOFError("the recording process has ended")
    together = io.BytesIO(data)
    return reply, {name: np.load(together, allow_pickle=False) for name in reply["arrays"]}


def _write_reply(stream: IO[bytes], reply: dict[str, Any], demonstration: Demonstration | None = None) -> None:
    names = [field.name for field in dataclasses.fields(Demonstration)] if demonstration is not None else []
    together = io.BytesIO()
    for name in names:
        np.save(together, getattr(demonstration, name), allow_pickle=False)
    data = together.getvalue()
    stream.write(json.dumps({**reply, "arrays": names, "bytes": len(data)}).encode() + b"\n" + data)
    stream.flush()
