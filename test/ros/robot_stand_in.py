"""RobotStandIn: cameras and joints as a robot publishes them, with faults to switch on; collects what comes back."""

import contextlib
import functools
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import CompressedImage, Image, JointState
from trajectory_msgs.msg import JointTrajectory

from act_inference_ros.control.cubic import Cubic
from act_inference_ros.interfaces import command_interface
from act_inference_ros.ros.messages import message_class
from act_inference_ros.simulation.command_inputs import command_input
from test.ros.ros_helpers import Participant, wait_until

JOINTS = ("pan", "lift", "elbow", "wrist", "roll", "grip")
HEIGHT, WIDTH = 96, 128
AT_REST_S = 0.3
"""A stream sends several commands in this time, s; one that sends none for so long has ended."""

Distortion = Callable[[Any], Any]


@dataclass(frozen=True)
class Received:
    """A message, and when it came (wall time, s)."""

    time: float
    message: Any


class RobotStandIn:
    """Publishes every input at `rate_hz` from a thread; its arm is at once where the controllers tell it to be.

    `positions` (joint -> rad) may be replaced at any time, as if somebody had moved the arm, and so may `images`
    (camera -> RGB array). While `frozen` the arm does not move. `distortions` maps an input (`state` or a camera) to a
    function that makes a faulty message of a good one, or None for silence. `sent` counts the messages. `drivers` maps
    each of several topics to the joints that are published there; each such topic is an input by its own name.
    """

    def __init__(
        self,
        participant: Participant,
        cameras: Mapping[str, str],
        controllers: Mapping[str, tuple[str, Sequence[str]]],
        rate_hz: float = 30.0,
        deaf: Sequence[str] = (),
        drivers: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        self.node = participant.node
        self.frozen = False
        self._positions = dict.fromkeys(JOINTS, 0.0)
        self._executing = threading.Lock()  # guards the controllers and the positions, which they change
        self._inputs = {
            name: command_input(interface, tuple(joints)) for name, (interface, joints) in controllers.items()
        }
        random = np.random.default_rng(0)
        # A value of 250 or more in the first pixel would be an order to the policy stand-in.
        self.images = {camera: random.integers(0, 250, (HEIGHT, WIDTH, 3), np.uint8) for camera in cameras}
        self.distortions: dict[str, Distortion] = {}
        self.sent: Counter[str] = Counter()
        self.now: Callable[[], float] = time.time
        """The time that messages are stamped with, s."""
        for name in controllers:
            self._inputs[name].controller.hold([0.0] * len(controllers[name][1]))
        self.commands: dict[str, list[Received]] = {name: [] for name in controllers}
        self._interfaces = {name: interface for name, (interface, _) in controllers.items()}
        for name in controllers:
            if name not in deaf:
                self.listen(name)
        self.chunks = self._collect(JointTrajectory, "/policy_node/action_chunk")
        self.diagnostics = self._collect(DiagnosticArray, "/diagnostics")
        self._drivers = drivers or {"state": JOINTS}
        self._state_publishers = {
            name: self._publisher(JointState, "/joint_states" if drivers is None else name) for name in self._drivers
        }
        self._cameras = {
            camera: self._publisher(Image if transport == "raw" else CompressedImage, f"/{camera}/image")
            for camera, transport in cameras.items()
        }
        self._transports = dict(cameras)
        self._period_s = 1.0 / rate_hz
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> "RobotStandIn":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(5.0)

    @property
    def positions(self) -> dict[str, float]:
        """Where the joints are, rad."""
        return self._positions

    @positions.setter
    def positions(self, positions: dict[str, float]) -> None:
        with self._executing:
            self._positions = dict(positions)
            for each in self._inputs.values():
                each.controller.hold([positions[joint] for joint in each.controller.joints])

    def listen(self, name: str) -> None:
        """Subscribe to a controller's command topic; controllers that are not `deaf` listen from the start."""
        kind = message_class(command_interface(self._interfaces[name]).message_type)
        self.node.create_subscription(kind, f"/{name}/command", functools.partial(self._on_command, name), 100)

    def _on_command(self, name: str, message: Any) -> None:
        taker = self._inputs[name]
        with self._executing:
            here = np.array([self._positions[joint] for joint in taker.controller.joints])
            taker.take(message, self.now(), here, np.zeros(len(here)))
        self.commands[name].append(Received(time.time(), message))

    def _move(self) -> None:
        with self._executing:
            for each in self._inputs.values() if not self.frozen else ():
                target = each.controller.sample(self.now()).tolist()
                self._positions |= dict(zip(each.controller.joints, target, strict=True))

    @contextlib.contextmanager
    def fault(self, name: str, distortion: Distortion) -> Iterator[float]:
        """Distort the messages of an input while the block runs; gives the time at which that began."""
        self.distortions[name] = distortion
        try:
            yield time.time()
        finally:
            del self.distortions[name]

    def unplug(self, camera: str) -> None:
        """End a camera's driver."""
        self.node.destroy_publisher(self._cameras.pop(camera))

    @contextlib.contextmanager
    def order(self, camera: str, behaviour: int) -> Iterator[None]:
        """Order a behaviour from the policy stand-in, through the first pixel, while the block runs."""
        pixels = self.images[camera]
        ordering = pixels.copy()
        ordering[0, 0, 0] = behaviour
        self.images[camera] = ordering
        try:
            yield
        finally:
            self.images[camera] = pixels

    def wait_for_frames(self, count: int, deadline_s: float = 20.0) -> None:
        """Wait until `count` more joint states have been published, so that the node has had time to react."""
        name = next(iter(self._drivers))
        goal = self.sent[name] + count
        wait_until(lambda: self.sent[name] >= goal, deadline_s)

    def wait_for_rest(self, deadline_s: float = 20.0) -> None:
        """Wait until no controller gets commands any more: a stream continues until a hold has come to rest."""

        def silent_since() -> float:
            return max((received[-1].time for received in self.commands.values() if received), default=0.0)

        wait_until(lambda: time.time() - silent_since() > AT_REST_S, deadline_s, "the commands do not end")

    def wait_for_command(self, controller: str, after: float, count: int = 1, deadline_s: float = 20.0) -> list[Any]:
        """The messages that came to a controller after `after`, at least `count`."""
        with self._diagnosis_noted():
            wait_until(lambda: len(self.commanded(controller, after)) >= count, deadline_s, f"no {count} commands")
        return self.commanded(controller, after)

    def commanded(self, controller: str, after: float = 0.0) -> list[Any]:
        """The messages that came to a controller after `after`."""
        return [received.message for received in list(self.commands[controller]) if received.time > after]

    def wait_for_diagnosis(self, text: str, deadline_s: float = 20.0) -> Any:
        """The next status whose message contains `text`."""
        seen = len(self.diagnostics)

        def found() -> Any:
            new = [received.message.status[0] for received in self.diagnostics[seen:]]
            return next((status for status in new if text in status.message), None)

        with self._diagnosis_noted():
            return wait_until(found, deadline_s, f"no diagnosis {text!r}")

    @contextlib.contextmanager
    def _diagnosis_noted(self) -> Iterator[None]:
        try:
            yield
        except AssertionError as error:
            last = self.diagnostics[-1].message.status[0].message if self.diagnostics else "none came"
            raise AssertionError(f"{error}; the last diagnosis: {last}") from error

    def state_message(self, joints: Sequence[str] = JOINTS) -> JointState:
        """The joints in another order than the policy's, and one more."""
        names = [*sorted(joints), "mimic"]
        message = JointState(name=names, position=[float(self.positions.get(name, 9.0)) for name in names])
        message.header.stamp = stamp(self.now())
        return message

    def image_message(self, camera: str) -> Any:
        return image_message(self.images[camera], self._transports[camera], self.now())

    def _run(self) -> None:
        due = time.monotonic()
        while not self._over.is_set():
            self._move()
            for name, joints in self._drivers.items():
                self._send(name, self._state_publishers[name], self.state_message(joints))
            for camera, publisher in list(self._cameras.items()):
                self._send(camera, publisher, self.image_message(camera))
            due = max(due + self._period_s, time.monotonic())
            self._over.wait(due - time.monotonic())

    def _send(self, name: str, publisher: Any, message: Any) -> None:
        message = self.distortions.get(name, lambda message: message)(message)
        if message is not None:
            publisher.publish(message)
        self.sent[name] += 1

    def _publisher(self, kind: Any, topic: str) -> Any:
        return self.node.create_publisher(kind, topic, qos_profile_sensor_data)

    def _collect(self, kind: Any, topic: str) -> list[Received]:
        received: list[Received] = []
        self.node.create_subscription(kind, topic, lambda message: received.append(Received(time.time(), message)), 100)
        return received


def image_message(pixels: Any, transport: str, time_s: float) -> Any:
    """An RGB image as a camera's driver sends it, raw or compressed."""
    height, width = pixels.shape[:2]
    if transport == "compressed":
        encoded = cv2.imencode(".png", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR))[1]
        message = CompressedImage(format="rgb8; png compressed bgr8", data=encoded.tobytes())
    else:
        message = Image(encoding="rgb8", height=height, width=width, step=3 * width, data=pixels.tobytes())
    message.header.stamp = stamp(time_s)
    return message


def stamp(seconds: float) -> Time:
    return Time(sec=int(seconds), nanosec=int(seconds % 1.0 * 1e9))


def seconds(message: Any) -> float:
    """A Time or Duration as a number."""
    return float(message.sec + message.nanosec * 1e-9)


def ends_at(message: JointTrajectory) -> float:
    """When a trajectory is at rest."""
    return seconds(message.header.stamp) + seconds(message.points[-1].time_from_start)


def is_hold(message: JointTrajectory) -> bool:
    """Whether a trajectory only comes to rest; one that follows a plan has more points.

    That is so for messages that do not overlap. Those for the stand-in never do: it shows no controller's parameters.
    """
    return len(message.points) <= 2


def told_at(trajectories: list[JointTrajectory], start: list[float], time: float) -> list[float]:
    """The positions at `time` of a controller that began at `start`; each trajectory continues from the one before."""
    motion = Cubic.at_rest(0.0, np.array(start))
    for message in trajectories:
        times = np.array([seconds(point.time_from_start) for point in message.points])
        positions = np.array([point.positions for point in message.points])
        speeds = np.array([point.velocities for point in message.points])
        begin = seconds(message.header.stamp)
        if times[0] > 0.0:  # continues from where it is
            here = motion.at(begin)
            times = np.r_[0.0, times]
            positions, speeds = np.vstack([here.position, positions]), np.vstack([here.velocity, speeds])
        motion = motion.then(Cubic(begin, times, positions, speeds))
    return [float(position) for position in motion.at(time).position]


def silent(_message: Any) -> None:
    """The input sends nothing."""


def stamped_late(message: Any) -> Any:
    """A driver that stamps its messages with a time long past."""
    message.header.stamp = stamp(seconds(message.header.stamp) - 1.0)
    return message


def stamped_zero(message: Any) -> Any:
    message.header.stamp = Time()
    return message


def without_a_joint(message: JointState) -> JointState:
    message.name[message.name.index("elbow")] = "somebody_elses_elbow"
    return message


def not_a_number(message: JointState) -> JointState:
    message.position[message.name.index("wrist")] = float("nan")
    return message


def wrong_encoding(message: Image) -> Image:
    message.encoding = "16UC1"
    return message


def wrong_size(message: Image) -> Image:
    half = Image(encoding="rgb8", height=HEIGHT // 2, width=WIDTH, step=3 * WIDTH, header=message.header)
    half.data = message.data[: half.step * half.height]
    return half


def truncated(message: Image) -> Image:
    message.data = message.data[:-100]
    return message
