"""BlackBox: passes what the node saw, said and did to the process that keeps it and writes it as a bag."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticStatus, KeyValue
from rclpy.node import Node
from rclpy.serialization import serialize_message
from sensor_msgs.msg import CompressedImage

from act_inference_ros.black_box.dumps import dump_name
from act_inference_ros.black_box.recorder import Recorder
from act_inference_ros.execution.occasions import Occasions
from act_inference_ros.execution.pipeline import Taken
from act_inference_ros.execution.states import Answer, Standing
from act_inference_ros.interfaces import Command, stamp
from act_inference_ros.observation import optional
from act_inference_ros.observation.images import decode_jpeg
from act_inference_ros.program.version import package_version
from act_inference_ros.ros.messages import definitions_of, make_message
from act_inference_ros.spec import ImageSpec, Observation, PolicySpec

WIDTH = 160
"""Wider images are scaled down to this width, in pixels, with the same aspect ratio."""
JPEG_QUALITY = 80
ASKED = "asked"
HOW = "set the parameter black_box to a directory, and configure again"


class BlackBox:
    """Notes nothing: the node uses this class when the black box is switched off.

    Every method except `close` returns at once, raises nothing, and may be called by any thread.
    """

    parameters = ""
    """The parameters in force, as the text of a parameter file."""

    def resolved(self, topic: str) -> str:
        """Return the name under which messages on `topic` are noted."""
        return topic

    def message(self, topic: str, message: Any) -> None:
        """Note a message that came or was sent on `topic`, a resolved name."""

    def arrival(self, camera: str, header: Any) -> None:
        """Note that an image of `camera` with this std_msgs/Header came."""

    def goal(self, controller: str, command: Command) -> None:
        """Note a command that is to become a goal on an action server."""

    def observed(self, taken: Taken, observation: Observation, spec: PolicySpec) -> None:
        """Note that an inference begins with a decoded observation; called by the inference thread."""

    def inferred(self, taken: Taken, inference_s: float, source: str, accepted: bool) -> None:
        """Note that `source` computed a chunk in `inference_s`; the node follows it only if it is `accepted`."""

    def failed(self, taken: Taken, error: Exception) -> None:
        """Note that no chunk could be computed."""

    def stands(self, standing: Standing, now: float) -> None:
        """Note the supervisor's standing at `now`, in s of the ROS clock."""

    def dump(self, reason: str, detail: str = "") -> Answer:
        """Start writing a dump of what is kept; the answer says where."""
        return Answer(False, f"there is no black box: {HOW}")

    def close(self) -> None:
        """Wait until the dump in progress is complete."""


class RecordingBlackBox(BlackBox):
    """Hands everything to a `Recorder`. `facts` says what computes the policy, as the client reports it.

    Raises ConfigurationError or MissingDependencyError if dumps cannot be written into `directory`.
    """

    def __init__(
        self, node: Node, directory: Path, spec: PolicySpec, facts: Mapping[str, str], parameters: str
    ) -> None:
        self._cv2 = optional.require_opencv("black_box, for a policy with cameras,") if spec.images else None
        self._node = node
        self._name = node.get_fully_qualified_name()
        self._policy_id = spec.policy_id
        self._facts = dict(facts)
        self._lock = threading.Lock()  # guards the occasions, which two threads report
        self._occasions = Occasions()
        log = node.get_logger()
        self._recorder = Recorder(
            directory.expanduser().absolute(),
            serialize_message,
            lambda text: log.info(text),
            lambda text: log.warning(text),
            definitions_of,
        )
        self.parameters = parameters
        self._recorder.dump("", self._about("", ""))  # written if this process dies

    def resolved(self, topic: str) -> str:  # noqa: D102
        return str(self._node.resolve_topic_name(topic))

    def message(self, topic: str, message: Any) -> None:  # noqa: D102
        self._note(topic, message, self._now_ns())

    def arrival(self, camera: str, header: Any) -> None:  # noqa: D102
        self._note(f"{self._name}/black_box/{camera}/arrivals", header, self._now_ns())

    def goal(self, controller: str, command: Command) -> None:  # noqa: D102
        effort = "" if command.max_effort is None else f"{command.max_effort:g}"
        values = {"position": f"{command.positions[-1, 0]:.5f}", "max_effort": effort}
        self._say(f"goal/{controller}", "goal", values=values)

    def observed(self, taken: Taken, observation: Observation, spec: PolicySpec) -> None:  # noqa: D102
        stamps = {f"stamp of {name}": f"{at:.6f}" for name, at in taken.selection.stamps.items()}
        states = {
            key: np.array2string(np.asarray(observation[key]), precision=5, separator=", ", max_line_width=10**6)
            for key in spec.vectors
        }
        self._say("inference", "begun", values={"t_obs": f"{taken.t_obs:.6f}", **stamps, **states})
        try:
            for image in spec.images:
                self._image(image, observation[image.key], taken.selection.stamps[image.camera])
        except Exception as error:  # an image that cannot be shown must not stop the arm
            self._say("inference", f"image not recorded: {error}", DiagnosticStatus.WARN)

    def inferred(self, taken: Taken, inference_s: float, source: str, accepted: bool) -> None:  # noqa: D102
        with self._lock:
            self._occasions.inferred()
        said = "chunk followed" if accepted else "chunk not followed"
        values = {"t_obs": f"{taken.t_obs:.6f}", "inference_s": f"{inference_s:.4f}", "source": source}
        self._say("inference", said, values=values)

    def failed(self, taken: Taken, error: Exception) -> None:  # noqa: D102
        values = {"t_obs": f"{taken.t_obs:.6f}", "error": str(error)}
        self._say("inference", "failed", DiagnosticStatus.ERROR, values)
        with self._lock:
            reason = self._occasions.failed(error)
        if reason:
            self.dump(reason, str(error))

    def stands(self, standing: Standing, now: float) -> None:  # noqa: D102
        with self._lock:
            reason = self._occasions.stands(standing, now)
        if reason:
            self.dump(reason, standing.detail)

    def dump(self, reason: str, detail: str = "") -> Answer:  # noqa: D102
        if self._recorder.broken:
            return Answer(False, f"nothing is recorded any more: {self._recorder.broken}")
        name = dump_name(reason, datetime.now(timezone.utc))
        self._recorder.dump(name, self._about(reason, detail))
        return Answer(True, f"will be written in a moment: {self._recorder.directory / name}")

    def close(self) -> None:  # noqa: D102
        self._recorder.close()

    def _about(self, reason: str, detail: str) -> dict[str, Any]:
        return {
            "reason": reason,
            "detail": detail,
            "utc": datetime.now(timezone.utc).isoformat(timespec="milliseconds"),
            "time_ns": self._now_ns(),
            "node": self._name,
            "policy_id": self._policy_id,
            "version": package_version(),
            "facts": self._facts,
            "parameters": self.parameters,
        }

    def _now_ns(self) -> int:
        return int(self._node.get_clock().now().nanoseconds)

    def _note(self, topic: str, message: Any, time_ns: int) -> None:
        package, *_ = type(message).__module__.split(".")
        self._recorder.note(topic, f"{package}/msg/{type(message).__name__}", time_ns, message)

    def _say(
        self,
        topic: str,
        text: str,
        level: bytes = DiagnosticStatus.OK,
        values: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        message = DiagnosticStatus(level=level, name=f"{self._name}: {topic}", message=text)
        message.values = [KeyValue(key=key, value=value) for key, value in values.items()]
        self._note(f"{self._name}/black_box/{topic}", message, self._now_ns())

    def _image(self, image: ImageSpec, pixels: Any, taken_s: float) -> None:
        cv2 = self._cv2
        if cv2 is None:
            return
        rgb = decode_jpeg(pixels) if isinstance(pixels, bytes) else pixels
        height, width = rgb.shape[:2]
        if width > WIDTH:
            rgb = cv2.resize(rgb, (WIDTH, max(1, round(height * WIDTH / width))), interpolation=cv2.INTER_AREA)
        _, jpeg = cv2.imencode(".jpg", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), (cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY))
        message = CompressedImage(format="jpeg", data=jpeg.tobytes())
        message.header.stamp = stamp(make_message, taken_s)
        message.header.frame_id = image.camera
        self._note(f"{self._name}/black_box/{image.camera}/compressed", message, self._now_ns())
