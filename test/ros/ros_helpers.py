"""For tests that run real nodes in real processes: each has its own environment, and every process is ended."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from act_inference_ros.program import shared_memory

PROJECT = Path(__file__).resolve().parents[2]
PROFILE = PROJECT / "config" / "fastdds.xml"
POLITE_S = 5.0
"""How long a node may take to end before it is killed."""
AGAIN_S = 5.0
"""After how long without an answer a request is sent again."""


def wait_until(predicate: Callable[[], Any], deadline_s: float, what: str = "") -> Any:
    """Return the first true value of `predicate`; fail after `deadline_s`."""
    end = time.monotonic() + deadline_s
    while True:
        value = predicate()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"not within {deadline_s:g} s: {what or predicate}")
        time.sleep(0.01)


def ros_environment(tmp_path: Path, domain: int, profile: Path | None = PROFILE) -> dict[str, str]:
    """The environment for the nodes of one test; `profile` None leaves Fast DDS at its defaults."""
    environment = dict(os.environ)
    environment.update(
        ROS_DOMAIN_ID=str(domain),
        ROS_LOG_DIR=str(tmp_path / "ros_log"),
        ROS_AUTOMATIC_DISCOVERY_RANGE="LOCALHOST",
        RCUTILS_COLORIZED_OUTPUT="0",
        PYTHONUNBUFFERED="1",
        PYTHONPATH=os.pathsep.join(filter(None, [str(PROJECT), os.environ.get("PYTHONPATH", "")])),
    )
    environment.setdefault("AMENT_PREFIX_PATH", sys.prefix)
    environment.pop("FASTDDS_DEFAULT_PROFILES_FILE", None)
    if profile is not None:
        environment["FASTDDS_DEFAULT_PROFILES_FILE"] = str(profile)
    return environment


class NodeProcess:
    """A program in a process group of its own, its output in a file; the whole group has ended when the block ends."""

    def __init__(self, command: Sequence[str], environment: dict[str, str], output: Path) -> None:
        self._command = list(command)
        self._environment = environment
        self._output = output

    @classmethod
    def module(cls, name: str, *arguments: str, environment: dict[str, str], output: Path) -> "NodeProcess":
        """`python -m name arguments`."""
        return cls([sys.executable, "-m", name, *arguments], environment, output)

    def __enter__(self) -> "NodeProcess":
        with self._output.open("wb") as output:
            self._process = subprocess.Popen(
                self._command,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return self

    def kill(self) -> None:
        """Kill it with SIGKILL, and remove the shared memory that it then leaves behind."""
        used = shared_memory.in_use_by(self._process.pid)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        shared_memory.remove_dead(used)

    def __exit__(self, *_: object) -> None:
        # SIGTERM first: a node that is killed leaves its shared memory behind.
        for number in (signal.SIGTERM, signal.SIGCONT):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(POLITE_S)
        self.kill()

    @property
    def environment(self) -> dict[str, str]:
        """The environment that it runs in."""
        return dict(self._environment)

    @property
    def text(self) -> str:
        """What it has written so far, to stdout and stderr."""
        return self._output.read_text(errors="replace")

    @property
    def returncode(self) -> int | None:
        return self._process.poll()

    def wait_for_line(self, pattern: str, deadline_s: float = 30.0) -> re.Match[str]:
        """The first match of `pattern` in a line of the output; fails with the output if it ends or is late."""

        def found() -> Any:
            ended = self.returncode is not None
            match = re.search(pattern, self.text, re.MULTILINE)
            if match is None and ended:
                raise AssertionError(f"ended ({self.returncode}) without a line {pattern!r}:\n{self.text}")
            return match

        try:
            match: re.Match[str] = wait_until(found, deadline_s)
        except AssertionError as error:
            raise AssertionError(f"no line {pattern!r}: {error}\n{self.text}") from error
        return match

    def wait(self, deadline_s: float) -> int:
        """The exit status; fails if the program is still running."""
        try:
            return self._process.wait(deadline_s)
        except subprocess.TimeoutExpired as error:
            raise AssertionError(f"still running after {deadline_s:g} s:\n{self.text}") from error

    def send(self, number: int) -> None:
        os.kill(self._process.pid, number)

    def stop(self, number: int = signal.SIGTERM, deadline_s: float = 10.0) -> int:
        """Send a signal and return the exit status."""
        self.send(number)
        return self.wait(deadline_s)


class Participant:
    """A node that the test itself uses, in this process; it spins in a thread."""

    def __init__(self, domain: int, name: str = "test_participant") -> None:
        import rclpy
        from rclpy.executors import SingleThreadedExecutor
        from rclpy.node import Node

        self._context = rclpy.Context()
        rclpy.init(context=self._context, domain_id=domain)
        self.node = Node(name, context=self._context)
        self._others: list[Any] = []
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self.node)
        self._thread = threading.Thread(target=self._spin, daemon=True)
        self._thread.start()

    def _spin(self) -> None:
        from rclpy._rclpy_pybind11 import InvalidHandle
        from rclpy.executors import ExternalShutdownException

        with contextlib.suppress(ExternalShutdownException):
            while True:
                try:
                    self._executor.spin()
                    return
                except InvalidHandle:  # the test has destroyed a publisher or subscription just now
                    continue

    def another_node(self, name: str) -> Any:
        """Another node of the same process, which spins with the first."""
        from rclpy.node import Node

        node = Node(name, context=self._context)
        self._others.append(node)
        self._executor.add_node(node)
        return node

    def remove(self, node: Any) -> None:
        """End a node that `another_node` made."""
        self._others.remove(node)
        self._executor.remove_node(node)
        node.destroy_node()

    def __enter__(self) -> "Participant":
        return self

    def __exit__(self, *_: object) -> None:
        import rclpy

        self._executor.shutdown(timeout_sec=5.0)
        self._thread.join(5.0)
        for node in (*self._others, self.node):
            node.destroy_node()
        rclpy.shutdown(context=self._context)

    def collect(self, message_type: Any, topic: str, qos: Any = 10) -> list[Any]:
        """A list that grows with each message of `topic`."""
        messages: list[Any] = []
        self.node.create_subscription(message_type, topic, messages.append, qos)
        return messages

    def publisher(self, message_type: Any, topic: str, qos: Any = 10, deadline_s: float = 20.0) -> Any:
        """A publisher that has found its subscriber."""
        publisher = self.node.create_publisher(message_type, topic, qos)
        wait_until(lambda: publisher.get_subscription_count() > 0, deadline_s, f"nobody subscribes {topic}")
        return publisher

    def call(
        self, service_type: Any, name: str, request: Any = None, deadline_s: float = 20.0, once: bool = False
    ) -> Any:
        """The response of a service.

        Unless it may be sent only `once`, the request is sent again while no answer comes: DDS drops an answer that
        is sent before the server has found the client's reader, and a client cannot see whether it has been found.
        """
        client = self.node.create_client(service_type, name)
        wait_until(client.service_is_ready, deadline_s, f"nobody serves {name}")
        request = service_type.Request() if request is None else request
        futures = [client.call_async(request)]
        began = time.monotonic()

        def answered() -> Any:
            if not once and time.monotonic() - began > AGAIN_S * len(futures):
                futures.append(client.call_async(request))
            return next((future for future in futures if future.done()), None)

        return wait_until(answered, deadline_s, f"{name} does not answer").result()
