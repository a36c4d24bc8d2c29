"""One schedule of messages and inferences, driven through the node's session and through the evaluator's replay."""

import contextlib
import inspect
from array import array
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from rclpy.node import Node
from sensor_msgs.msg import Image, JointState

from act_inference_ros.errors import NotReadyError
from act_inference_ros.evaluation.bags import policy_replay
from act_inference_ros.evaluation.comparison.truth_comparison import TruthComparison
from act_inference_ros.evaluation.metrics.tally import Tally
from act_inference_ros.execution.supervisor import Supervisor
from act_inference_ros.inference.client import InferenceClient
from act_inference_ros.interfaces import Command, stamp
from act_inference_ros.robot.configuration import RobotConfiguration
from act_inference_ros.ros.messages import make_message
from act_inference_ros.ros.policy import session as session_module
from act_inference_ros.ros.policy import worker as worker_module
from act_inference_ros.spec import ImageSpec, PolicySpec
from test.execution.rig import JOINTS, PARAMETERS
from test.plain_backend import PlainBackend

START = 1000.0
TICK_S = 1 / 64
"""A power of two: ticks and messages then fall on the very same instants, in floating-point numbers, too."""
CHUNK_SIZE = 10
CAMERAS = ("front", "side")
SPEC = PolicySpec(CHUNK_SIZE, 3, tuple(ImageSpec(f"observation.images.{name}", 2, 2) for name in CAMERAS), state_dim=3)

TOGETHER: Mapping[str, tuple[str, ...]] = {"/s": JOINTS}
APART: Mapping[str, tuple[str, ...]] = {"/s": JOINTS[:2], "/h": JOINTS[2:]}
"""Topics with joint states, and the joints on each."""
PERIODS = {"/s": 1 / 64, "/h": 1 / 32, "/front": 3 / 64, "/side": 1 / 20}


@dataclass(frozen=True)
class Event:
    """A message that arrives at `time`, s; the first one of a clock that was set back says so."""

    time: float
    topic: str
    message: Any
    jumped: bool = False


@dataclass(frozen=True)
class Inference:
    """The result of an inference, and its duration, s."""

    rows: Any
    takes_s: float


@dataclass
class Schedule:
    """All events of a run, drawn from a seed."""

    configuration: RobotConfiguration
    events: list[Event]
    inferences: list[Inference]
    warm_up_s: float
    faults: Counter[str] = field(default_factory=Counter)


@dataclass
class Outcome:
    """The result of a run: commands of each controller, changes of state, counts of holds."""

    commands: dict[str, list[Command]]
    changes: list[tuple[float, str, str]]
    holds: Counter[str]


def draw(seed: int, drivers: Mapping[str, tuple[str, ...]] = TOGETHER) -> Schedule:
    """Draw a robot, some seconds of its messages with faults in them, and the results of the inferences.

    `drivers` maps each topic with joint states to the joints on it.
    """
    random = np.random.default_rng(seed)
    both = {f"camera.{name}.topic": f"/{name}" for name in CAMERAS}
    changes: dict[str, Any] = {
        "shadow": True, "cameras": list(CAMERAS), **both, "command_rate": 1 / TICK_S, "max_skew": 0.06,
        "merge": str(random.choice(["latest", "blend", "temporal_ensemble"])),
        "max_plan_age": float(random.choice([0.0, 0.0, 0.4])), "coast_time": float(random.choice([0.0, 0.3])),
        "inference_rate": float(random.choice([3.0, 10.0, 50.0])),
        "joint.grip.smooth": bool(random.integers(2)),
    }  # fmt: skip
    dropped = {"camera.front.topic"} if random.integers(2) else set()
    parameters = {name: value for name, value in (PARAMETERS | changes).items() if name not in dropped}
    if dropped:
        parameters["camera.front.topic"] = "/front"
    if len(drivers) > 1:
        del parameters["state.topic"]
        parameters["state.topics"] = list(drivers)
    schedule = Schedule(
        RobotConfiguration.from_parameters(parameters).rehearsed, [], [], float(random.uniform(0.02, 0.3))
    )
    length = 4.0
    topics = (*drivers, "/front", "/side")
    broken = {topic: _windows(random, length, apart=topic in drivers and len(drivers) > 1) for topic in topics}
    events = []
    for topic in topics:
        period = PERIODS[topic]
        for k in range(int(length / period)):
            taken = k * period
            kind = next((kind for begin, end, kind in broken[topic] if begin <= taken < end), "")
            schedule.faults[kind] += bool(kind)
            if kind == "lost":
                continue
            late = float(random.uniform(0.05, 0.4)) if kind == "late" else 0.0
            skew = float(random.choice([-0.1, -0.05, 0.05, 0.1])) if kind == "skewed" else 0.0
            events.append((taken + late, topic, taken + skew, kind, int(random.integers(2**31))))
    events.sort(key=lambda event: event[0])
    jumps = sorted(random.uniform(0.5, length, random.integers(0, 3)).tolist())
    shift = 0.0
    for time, topic, taken, kind, number in events:
        jumped = bool(jumps) and time >= jumps[0]
        if jumped:
            jumps.pop(0)
            shift -= float(random.choice([0.3, 2.0, 500.0]))
            schedule.faults["jump"] += 1
        message = _message(topic, drivers.get(topic, ()), START + taken + shift, kind, number)
        schedule.events.append(Event(START + time + shift, topic, message, jumped))
    where = np.zeros(3)
    for _ in range(400):
        takes = random.uniform(0.01, 0.15) if random.random() < 0.9 else random.uniform(0.3, 1.5)
        where = where + random.normal(0.0, 0.05, 3)
        rows: Any = where + np.cumsum(random.normal(0.0, 0.03, (CHUNK_SIZE, 3)), axis=0)
        if random.random() < 0.06:
            rows = NotReadyError("the server went away")
        elif random.random() < 0.04:
            rows = np.full((CHUNK_SIZE, 3), np.nan)
        schedule.inferences.append(Inference(rows, float(random.choice([0.0, takes], p=[0.1, 0.9]))))
    return schedule


def _windows(random: np.random.Generator, length: float, apart: bool) -> list[tuple[float, float, str]]:
    kinds = ["lost", "late", "skewed", "wrong", *(["twice", "fewer"] if apart else [])]
    begins = random.uniform(0.3, length, random.integers(0, 4))
    return [(float(at), float(at + random.uniform(0.02, 0.7)), str(random.choice(kinds))) for at in begins]


def _message(topic: str, joints: Sequence[str], taken: float, kind: str, number: int) -> Any:
    random = np.random.default_rng(number)
    if joints:
        names = {"twice": list(JOINTS), "fewer": list(joints[:-1])}.get(kind, list(joints))
        message = JointState(name=names, position=random.normal(0.0, 0.1, len(names)).tolist())
        if kind == "wrong":
            message.position[int(random.integers(len(names)))] = float("nan")
    else:
        height = 3 if kind == "wrong" else 2
        message = Image(encoding="rgb8", height=height, width=2, step=6)
        message.data = array("B", random.integers(0, 255, 6 * height, np.uint8).tobytes())
    message.header.stamp = stamp(make_message, taken)
    return message


class Backend(PlainBackend):
    """Returns the schedule's results, one inference after the other; `pass_time` lets an inference's duration pass."""

    spec = SPEC

    def __init__(self, schedule: Schedule, pass_time: Callable[[float], None]) -> None:
        self.warm_up_s = schedule.warm_up_s
        self._inferences = iter(schedule.inferences)
        self._pass_time = pass_time

    def infer(self, _: Any, request_id: str = "") -> Any:
        inference = next(self._inferences)
        self._pass_time(inference.takes_s)
        if isinstance(inference.rows, Exception):
            raise inference.rows
        return inference.rows.astype(np.float32)


class Stopwatch:
    """Stands in for a module's `time`."""

    def __init__(self) -> None:
        self.wall = 0.0

    def perf_counter(self) -> float:
        return self.wall


def watch_changes(monkeypatch: pytest.MonkeyPatch) -> Callable[[Supervisor], list[tuple[float, str, str]]]:
    """Note each change of state or reason of every supervisor; the function returned gives those of one."""
    changes: dict[int, list[tuple[float, str, str]]] = {}
    enter = Supervisor._enter

    def noted(self: Supervisor, *arguments: Any) -> None:
        before = self.standing
        enter(self, *arguments)
        if (before.state, before.reason) != (self.standing.state, self.standing.reason):
            what = self._now, self.standing.state.value, self.standing.reason
            changes.setdefault(id(self), []).append(what)

    monkeypatch.setattr(Supervisor, "_enter", noted)
    return lambda supervisor: changes[id(supervisor)]


def evaluated(schedule: Schedule, monkeypatch: pytest.MonkeyPatch) -> Outcome:
    """Return the evaluator's outcome of the schedule."""
    changes = watch_changes(monkeypatch)
    watch = Stopwatch()
    monkeypatch.setattr(policy_replay, "time", watch)

    def pass_time(span: float) -> None:
        watch.wall += span

    ignored = SimpleNamespace(**dict.fromkeys(("add_chunk", "add_latency", "add_executed"), lambda *_: None))
    replay = policy_replay.PolicyReplay(
        schedule.configuration,
        InferenceClient(cast(Any, Backend(schedule, pass_time))),
        Tally(JOINTS, CHUNK_SIZE, schedule.configuration.fps),
        cast(TruthComparison, ignored),
        latency_s=None,
        stride=1,
        start_s=START,
    )
    replay.commands = []
    for event in schedule.events:
        if event.jumped:
            replay.jump_back(event.time)
        replay.advance_to(event.time)
        if event.topic in schedule.configuration.state_topics:
            replay.add_state(event.message, event.time, event.topic)
        else:
            replay.add_image(event.topic[1:], event.message, event.time)
    supervisor = replay._pipeline.supervisor
    commands = {
        each.name: [command for name, command in replay.commands if name == each.name]
        for each in schedule.configuration.controllers
    }
    return Outcome(commands, changes(supervisor), supervisor.holds)


class FakePublisher:
    """Remembers what was published, and when."""

    def __init__(self, node: "FakeNode", topic: str) -> None:
        self.topic_name = topic
        self.sent: list[tuple[float, Any]] = []
        self._node = node

    def publish(self, message: Any) -> None:
        self.sent.append((self._node.now, message))

    def get_subscription_count(self) -> int:
        return 0

    def wait_for_all_acked(self, _: Any) -> bool:
        return True


class FakeNode:
    """The part of rclpy's node that the session uses, on a clock that the test moves."""

    def __init__(self) -> None:
        self.now = START
        self.publishers: dict[str, FakePublisher] = {}
        self.callbacks: dict[str, Callable[[Any], None]] = {}
        self.period_s = 0.0
        self.tick: Callable[[], None] = lambda: None

    def create_publisher(self, kind: Any, topic: str, qos: Any) -> FakePublisher:
        self.publishers[topic] = FakePublisher(self, topic)
        return self.publishers[topic]

    def create_subscription(self, kind: Any, topic: str, callback: Callable[..., None], qos: Any) -> Any:
        is_told = len(inspect.signature(callback).parameters) == 2  # when a message was received, as rclpy does it
        self.callbacks[topic] = (lambda message: callback(message, {"received_timestamp": 0})) if is_told else callback
        return SimpleNamespace(topic_name=topic)

    def get_clock(self) -> Any:
        return SimpleNamespace(ros_time_is_active=False)

    def create_timer(self, period_s: float, callback: Callable[[], None]) -> Any:
        self.period_s, self.tick = period_s, callback
        return SimpleNamespace()

    def get_logger(self) -> Any:
        return SimpleNamespace(**dict.fromkeys(("info", "warning", "error"), lambda *_: None))

    def get_publishers_info_by_topic(self, topic: str) -> list[Any]:
        return []

    def count_publishers(self, topic: str) -> int:
        return 0

    def resolve_topic_name(self, topic: str) -> str:
        return topic

    def get_fully_qualified_name(self) -> str:
        return "/policy_node"


class Over(BaseException):
    """The schedule is over, perhaps during an inference; no `Exception`, so that no code catches it."""


class NodeWorld:
    """Executor and inference thread without threads: it calls everything that is due, in the order of ROS's executor.

    At one instant: an inference that ends, the timer, the inference thread, messages. While an inference goes on the
    executor does, too. A clock that is set back makes the timer start anew, as rcl does it.
    """

    def __init__(self, schedule: Schedule, watch: Stopwatch) -> None:
        self.faults: list[Exception] = []
        self.node = FakeNode()
        self._watch = watch
        self._events = list(schedule.events)
        client = InferenceClient(cast(Any, Backend(schedule, self._during_inference)))
        node = cast(Node, self.node)
        self.session = session_module.PolicySession(
            node, schedule.configuration, client, self.faults.append, lambda: None
        )
        self.session.activate()
        self._worker: worker_module.InferenceWorker = self.session._worker
        self._next_tick = START + self.node.period_s
        self._next_look = START + worker_module.POLL_S
        self._busy_until: float | None = None

    def run(self) -> None:
        """Let everything happen."""
        with contextlib.suppress(Over):
            while True:
                self._next()

    def _during_inference(self, span: float) -> None:
        self._watch.wall += span
        if span > 0.0:
            self._busy_until = self.node.now + span
            while self._busy_until is not None:
                self._next()

    def _next(self) -> None:
        if not self._events:
            raise Over
        message = self._events[0]
        if message.jumped:
            back = message.time - self.node.now
            self._next_look += back
            self._next_tick = message.time + self.node.period_s
            if self._busy_until is not None:
                self._busy_until += back
            self._events[0] = message = Event(message.time, message.topic, message.message)
            self.node.now = message.time
        look = np.inf if self._busy_until is not None else self._next_look
        end = np.inf if self._busy_until is None else self._busy_until
        first = min(end, self._next_tick, look, message.time)
        if first == end:
            self.node.now, self._busy_until = end, None
        elif first == self._next_tick:
            self.node.now = first
            self.node.tick()
            self._next_tick = first + self.node.period_s
        elif first == look:
            self.node.now = first
            self._look()
        else:
            self.node.now = message.time
            self._events.pop(0)
            self.node.callbacks[message.topic](message.message)
            if message.topic[1:] in CAMERAS and self._busy_until is None:
                self._look()  # an image has woken the thread

    def _look(self) -> None:
        left = self._worker.step()
        while left == 0.0 and self._worker.has_news:
            left = self._worker.step()
        self._next_look = self.node.now + (left or worker_module.POLL_S)


def run_as_node(schedule: Schedule, monkeypatch: pytest.MonkeyPatch) -> Outcome:
    """Return the node's outcome of the schedule."""
    changes = watch_changes(monkeypatch)
    watch = Stopwatch()
    monkeypatch.setattr(worker_module, "time", watch)
    monkeypatch.setattr(worker_module.InferenceWorker, "start", lambda _: None)
    # Exactly, so that what falls on one instant for the evaluator does so here: from ns it would be rounded.
    monkeypatch.setattr(session_module.PolicySession, "_now", lambda session: session._node.now)
    world = NodeWorld(schedule, watch)
    world.run()
    assert not world.faults
    supervisor = world.session._pipeline.supervisor
    commands = {}
    for each in schedule.configuration.controllers:
        sent = world.node.publishers[f"~/shadow/{each.name}"].sent
        read = [(at, each.interface.read(each.joints, message)) for at, message in sent]
        commands[each.name] = [
            Command(at, np.zeros(1), command.positions) if each.interface.streams else command for at, command in read
        ]
    return Outcome(commands, changes(supervisor), supervisor.holds)
