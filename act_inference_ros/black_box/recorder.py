"""Recorder: passes records to the process that keeps them, and never blocks its caller."""

from __future__ import annotations

import contextlib
import json
import queue
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from act_inference_ros.black_box import bag
from act_inference_ros.black_box.frames import Dump, End, Frame, Record, Topic, write_frame
from act_inference_ros.program.child import child_environment, lasting_child_command

WRITER = "act_inference_ros.black_box.writer"
MAX_WAITING = 5000
"""Most records in the queue; further ones are dropped, and counted."""
CLOSE_S = 5.0
"""How long unfinished dumps may take when the node ends."""

Serialize = Callable[[Any], bytes]
Describe = Callable[[Any], Mapping[str, str]]
Say = Callable[[str], None]


class Recorder:
    """Has a writer process and two threads from its construction until `close`. Any thread may call `note` and `dump`.

    `serialize` turns a message into CDR, in a thread of the recorder; a message that was noted must not be changed any
    more. `describe` gives the definitions of its type, as a topic's frame has them. `say` and `warn` get one line each.
    After the construction, failures are only warnings and never raised.
    """

    def __init__(
        self, directory: Path, serialize: Serialize, say: Say, warn: Say, describe: Describe = lambda _: {}
    ) -> None:
        """Start the process. Raises ConfigurationError or MissingDependencyError if no dump could be written."""
        bag.check(directory)
        self.directory = directory
        self.dropped = 0
        """Records that were not kept because too many came at once."""
        self._serialize = serialize
        self._describe = describe
        self._say = say
        self._warn = warn
        self._topics: dict[tuple[str, str], int] = {}
        self._waiting: queue.Queue[tuple[str, str, int, Any] | Dump | None] = queue.Queue(MAX_WAITING)
        self._broken = ""
        self._closing = False
        self._refused = False
        self._process = subprocess.Popen(
            lasting_child_command(WRITER, str(directory)),
            env=child_environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,  # a signal to the node's whole process group must not end it
        )
        self._threads = [
            threading.Thread(target=target, name=name, daemon=True)
            for name, target in (("black box", self._hand_over), ("black box's answers", self._listen))
        ]
        for thread in self._threads:
            thread.start()

    @property
    def broken(self) -> str:
        """Why nothing is recorded any more; empty while recording works."""
        return self._broken

    def note(self, topic: str, message_type: str, time_ns: int, message: Any) -> None:
        """Record a message of a type such as `sensor_msgs/msg/JointState`, at `time_ns`. Returns at once."""
        self._put((topic, message_type, time_ns, message))

    def dump(self, name: str, about: Mapping[str, Any]) -> None:
        """Request the dump `name` of the kept records; without a name, `about` is for a dump if this process dies."""
        self._put(Dump(name, about))

    def close(self) -> None:
        """Wait at most CLOSE_S until the requested dumps are written. A second call does nothing."""
        if self._closing:
            return
        self._closing = True
        until = time.monotonic() + CLOSE_S
        # The writer ends when its input ends; only a full queue or a hanging disk takes this long.
        with contextlib.suppress(queue.Full):
            self._waiting.put(None, timeout=CLOSE_S)
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))
        try:
            self._process.wait(max(0.0, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            self._warn("the black box is still writing; it goes on by itself")

    def _put(self, item: tuple[str, str, int, Any] | Dump) -> None:
        if self._broken or self._closing:
            return
        try:
            self._waiting.put_nowait(item)
        except queue.Full:
            self.dropped += 1
            if isinstance(item, Dump):
                self._warn(f"black box: {item.name} is not written, too many records wait")

    def _hand_over(self) -> None:
        """Serialize and pass on the queued records; the first thread."""
        stream = self._process.stdin
        assert stream is not None  # noqa: S101  # it was asked for
        try:
            while (item := self._waiting.get()) is not None:
                for frame in self._frames(item):
                    stream.write(write_frame(frame))
                if self._waiting.empty():
                    stream.flush()
            stream.write(write_frame(End()))
            stream.flush()
        except Exception as error:  # a broken pipe, or an unforeseen error, must not end the node
            self._broken = f"{type(error).__name__}: {error}"
            if not self._closing:
                self._warn(f"the black box's process is gone, nothing is recorded any more: {self._broken}")
        finally:
            with contextlib.suppress(OSError):
                stream.close()

    def _frames(self, item: tuple[str, str, int, Any] | Dump) -> list[Frame]:
        if isinstance(item, Dump):
            return [Dump(item.name, {**item.about, "dropped": self.dropped})]
        topic, message_type, time_ns, message = item
        key = (topic, message_type)
        frames: list[Frame] = []
        try:
            if key not in self._topics:
                described = Topic(len(self._topics), topic, message_type, self._describe(message))
                self._topics[key] = described.number
                frames.append(described)
            return [*frames, Record(self._topics[key], time_ns, self._serialize(message))]
        except Exception as error:  # one message that cannot be serialized must not end the recording
            if not self._refused:
                self._refused = True
                self._warn(f"black box: a message on {topic} is not recorded: {type(error).__name__}: {error}")
            return frames

    def _listen(self) -> None:
        """Report the writer's answers; the second thread."""
        stream = self._process.stdout
        assert stream is not None  # noqa: S101  # it was asked for
        with stream:
            for line in stream:
                answer = json.loads(line)
                if "written" in answer:
                    self._say(f"black box: wrote {answer['written']}")
                else:
                    self._warn(f"black box: {answer.get('name', 'nothing')} could not be written: {answer['failed']}")
