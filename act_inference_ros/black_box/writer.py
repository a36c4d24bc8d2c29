"""The process that keeps the records in its own memory and writes them; it survives the node's death.

`python -m act_inference_ros.black_box.writer DIR` reads frames from its standard input until that ends, and answers
each dump with one line of JSON on its standard output. If the input ends without an `End`, the node has died, and the
kept records are written, too.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, BinaryIO

from act_inference_ros.black_box import bag, dumps
from act_inference_ros.black_box.frames import Dump, End, FrameError, Record, Topic, read_frames
from act_inference_ros.black_box.ring import Ring
from act_inference_ros.program.memory import map_large_blocks

AFTER_S = 1.0
"""How long after its reason a dump is written, so that it contains how the arm came to rest."""
MAX_WAITING = 8
"""Most dumps in the queue."""
NICENESS = 10
DIED = "the node died"

Answer = Callable[[Mapping[str, Any]], None]


class Keeper:
    """Keeps the records from the frames, and writes dumps in a separate thread."""

    def __init__(self, directory: Path, answer: Answer, after_s: float = AFTER_S) -> None:
        self._directory = directory
        self._answer = answer
        self._after_s = after_s
        self._lock = threading.Lock()
        """Guards ring and topics, which the reading thread fills and the writing thread copies."""
        self._ring = Ring()
        self._topics: dict[int, Topic] = {}
        self._waiting: queue.Queue[tuple[float, Dump] | None] = queue.Queue(MAX_WAITING)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._write_dumps, name="dumps")
        self._about: dict[str, Any] = {}

    def run(self, stream: BinaryIO) -> None:
        """Read frames until the stream ends; then all dumps that wait are written."""
        self._thread.start()
        ended = False
        try:
            for frame in read_frames(stream):
                if isinstance(frame, Record):
                    with self._lock:
                        self._ring.add(frame, time.monotonic())
                elif isinstance(frame, Topic):
                    with self._lock:
                        self._topics[frame.number] = frame
                elif isinstance(frame, End):
                    ended = True
                elif frame.name:
                    self._want(frame)
                else:  # sent in advance, for the dump that a dead node cannot request
                    self._about = {key: value for key, value in frame.about.items() if key != "time_ns"}
        except FrameError as error:
            self._answer({"failed": str(error)})
        finally:
            self._over.set()
            if not ended:
                reason = {"reason": DIED, "detail": "its connection to the black box ended", "utc": _utc_now()}
                self._want(Dump(dumps.dump_name(DIED, datetime.now(timezone.utc)), {**self._about, **reason}))
            self._waiting.put(None)
            self._thread.join()

    def _want(self, dump: Dump) -> None:
        try:
            self._waiting.put_nowait((time.monotonic() + self._after_s, dump))
        except queue.Full:
            self._answer({"name": dump.name, "failed": f"{MAX_WAITING} dumps are waiting to be written already"})

    def _write_dumps(self) -> None:
        while (wanted := self._waiting.get()) is not None:
            due, dump = wanted
            self._over.wait(max(0.0, due - time.monotonic()))
            with self._lock:
                records, topics = self._ring.records(time.monotonic()), dict(self._topics)
            try:
                written = bag.write_dump(self._directory, dump, topics, records)
                self._answer({"name": dump.name, "written": str(written)})
            except Exception as error:  # after any error the next dump may succeed
                self._answer({"name": dump.name, "failed": f"{type(error).__name__}: {error}"})


def _utc_now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds")


def main() -> int:
    """Run until the standard input ends."""
    # Ctrl-C reaches all processes of the terminal; this one ends when its input does.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    os.nice(NICENESS)
    map_large_blocks()
    directory = Path(sys.argv[1])
    dumps.remove_leftovers(directory)
    Keeper(directory, _say).run(sys.stdin.buffer)
    return 0


def _say(answer: Mapping[str, Any]) -> None:
    try:
        print(json.dumps(answer), flush=True)
    except OSError:  # the node has closed the pipe; the dump is on the disk
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115  # the interpreter flushes it at its end


if __name__ == "__main__":
    sys.exit(main())
