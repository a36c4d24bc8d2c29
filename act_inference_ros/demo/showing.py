"""What a demo shows: a line for watching it live, a recording of its topics, and the page that is made of that."""

from __future__ import annotations

import importlib.util
import os
import shlex
import shutil
import sys
import time
import webbrowser
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from act_inference_ros.demo import recording
from act_inference_ros.demo.demo_page import PAGE, write_page
from act_inference_ros.errors import ActInferenceError
from act_inference_ros.program.processes import ManagedProcess

RECORDER = "act_inference_ros.ros.record.record_topics"
HEARS = "hears"
"""In what it says when messages of the robot come."""
STARTED_WITHIN_S = 60.0
LIVE_VARIABLES = (
    "ROS_DOMAIN_ID",
    "ROS_AUTOMATIC_DISCOVERY_RANGE",
    "ROS_LOCALHOST_ONLY",
    "FASTDDS_DEFAULT_PROFILES_FILE",
    "FASTRTPS_DEFAULT_PROFILES_FILE",
)
"""Of another terminal's environment, so that its programs find the demo's."""

_NEEDED = {"rosbags": "rosbags", "PIL": "pillow"}
_POLL_S = 0.05
_WRITTEN_WITHIN_S = 20.0


def live_line(environment: Mapping[str, str], share: Path) -> str:
    """How to watch the demo from another terminal, with ROS's own tools and with Foxglove."""
    exports = " ".join(f"{name}={shlex.quote(environment[name])}" for name in LIVE_VARIABLES if name in environment)
    line = (
        f"watch it live: in another terminal `export {exports}`, then `ros2 topic echo /policy_node/status`; for "
        "Foxglove `ros2 launch foxglove_bridge foxglove_bridge_launch.xml` there, and open ws://localhost:8765"
    )
    layout = share / "deploy" / "foxglove_layout.json"
    return f"{line} with the layout {layout}" if layout.is_file() else line


def missing() -> str | None:
    """What to install so that there is a page; None where all is there."""
    packages = [package for module, package in _NEEDED.items() if importlib.util.find_spec(module) is None]
    return f"no page of this run: pip install {' '.join(packages)}" if packages else None


class Recorder:
    """Records what passes on the demo's topics from `begin` to the end of the block; a context manager.

    The episodes go on without a recording: a recorder that does not begin is told, and there is no `bag`.
    """

    def __init__(
        self,
        logs: Path,
        interface: str,
        environment: Mapping[str, str],
        check_signals: Callable[[], None],
        say: Callable[[str], None],
    ) -> None:
        self.bag: Path | None = None
        self._directory = logs / recording.BAG
        self._check_signals = check_signals
        self._say = say
        topics = [f"{topic}={kind}" for topic, kind in recording.topics(interface).items()]
        arguments = ["--bag", str(self._directory), "--hear", recording.SETPOINTS, recording.CUBE, recording.IMAGES]
        arguments += ["--topics", *topics, "--ros-args", "-p", "use_sim_time:=true"]
        self._process = ManagedProcess.module(
            RECORDER, arguments, environment, logs / "recorder.log", _WRITTEN_WITHIN_S
        )

    def __enter__(self) -> Recorder:
        self._process.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.__exit__(kind, error, trace)

    def wait(self) -> None:
        """Return when it hears the robot, so that nothing of the first episode is missed; or when it does not."""
        deadline = time.monotonic() + STARTED_WITHIN_S
        while not any(HEARS in line for line in self._process.lines()):
            self._check_signals()
            if self._process.wait(_POLL_S) is not None or time.monotonic() > deadline:
                self._say(f"no page of this run: the recorder did not begin\n{self._process.last_lines()}")
                return
        self.bag = self._directory


@dataclass(frozen=True)
class Showing:
    """Where a page shall be, what it says of the policy, and how to evaluate the run's recording."""

    out: Path
    policy: str
    checkpoint: Path
    parameters: Path
    may_open: bool

    def make(self, bag: Path, check_signals: Callable[[], None], say: Callable[[str], None]) -> None:
        """Keep the recording, write the page and open it; a page that cannot be made is told in one line."""
        kept, page = self.out.resolve() / recording.BAG, self.out.resolve() / PAGE
        try:
            shutil.rmtree(kept, ignore_errors=True)
            bag.rename(kept)
            evaluate = f"eval_policy --bag {shlex.quote(str(kept))} --params {shlex.quote(str(self.parameters))} "
            evaluate += f"--checkpoint {shlex.quote(str(self.checkpoint))} --commanded-by anyone"
            write_page(page, recording.DemoRecording(kept), self.policy, evaluate, check_signals, say)
        except (ActInferenceError, OSError) as error:
            say(f"no page of this run: {error}")
            return
        say(f"the episodes' film, plan against measured, smoothness and latency: {page}")
        if self.may_open and can_open(os.environ):
            webbrowser.open(page.as_uri())


def can_open(environment: Mapping[str, str]) -> bool:
    """Whether somebody sits at a terminal with a display, where a browser can open."""
    display = sys.platform == "darwin" or any(environment.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))
    return display and sys.stdout.isatty()
