"""Overseer: watches and asks the policy node as an operator can: by ~/status, its services and the command topics."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.qos import DurabilityPolicy, QoSProfile
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import JointState
from std_srvs.srv import Trigger

from act_inference_ros.interfaces import command_interface
from act_inference_ros.ros.messages import message_class
from act_inference_ros.simulation.command_inputs import DEMO_CONTROLLERS, demo_topic
from test.ros.robot_stand_in import seconds, told_at
from test.ros.ros_helpers import Participant, wait_until

UNDER_WAY_S = 0.4
"""A command that was sent before a change of state may arrive this long after it, and one sent after it may seem to
come this early: a listener does not know the node's clock any better."""
CLOCK_RESOLUTION_S = 1e-6
"""A time since 1970 as a float is exact to 0.24 us; a span between two such times is exact to four of them."""
LATENCY_S = 0.4
"""How old the newest joint states may be that the node knows, s: less than its max_age."""
STATE_PERIOD_S = 0.02
"""The longest period of the robot's joint states and of its clock, s."""
PAUSE_S = 3 * UNDER_WAY_S
"""A pause that is long enough to see that nothing is commanded."""
QUIET = ("paused", "stopped", "waiting")
KEPT = QoSProfile(depth=100, durability=DurabilityPolicy.TRANSIENT_LOCAL)


@dataclass(frozen=True)
class Commanded:
    """A command, and when it was given (ROS time, s)."""

    time: float
    message: Any


@dataclass
class Overseer:
    """Collects all from the beginning; `changes` are (state, since, reason), each once, in ROS time, s."""

    participant: Participant
    interface: str
    lead_s: float
    now: float = 0.0
    changes: list[tuple[str, float, str]] = field(default_factory=list)
    commands: dict[str, list[Commanded]] = field(default_factory=dict)
    measured: list[tuple[float, dict[str, float]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        node = self.participant.node
        node.create_subscription(Clock, "/clock", self._on_clock, 10)
        node.create_subscription(DiagnosticStatus, "/policy_node/status", self._on_status, KEPT)
        node.create_subscription(JointState, "/joint_states", self._on_state, 10)
        kind = message_class(command_interface(self.interface).message_type)
        for name in DEMO_CONTROLLERS:
            received: list[Commanded] = []
            self.commands[name] = received
            node.create_subscription(
                kind,
                demo_topic(self.interface, name),
                lambda message, received=received: received.append(self._commanded(message)),
                1000,
            )

    @property
    def state(self) -> str:
        return self.changes[-1][0] if self.changes else ""

    def ask(self, request: str) -> Any:
        """The answer of one of the policy node's services."""
        return self.participant.call(Trigger, f"/policy_node/{request}")

    def wait_for(self, state: str, deadline_s: float = 20.0) -> None:
        wait_until(lambda: self.state == state, deadline_s, f"{state}; the changes were {self.changes}")

    def since_when(self, state: str, after: float) -> float | None:
        """When a state began for the first time after a time; None if it has not."""
        return next((since for its, since, _ in list(self.changes) if its == state and since > after), None)

    def watch(self, duration_s: float) -> None:
        """Wait until `duration_s` have passed on the robot's clock."""
        end = self.now + duration_s
        wait_until(lambda: self.now >= end, 20.0 + duration_s, "the robot's clock stands still")

    def commands_while(self, states: Sequence[str] = QUIET) -> list[str]:
        """A sentence for each command that was given in one of these states, and not within UNDER_WAY_S of a change."""
        end = [*(since for _, since, _ in self.changes[1:]), np.inf]
        quiet = [
            (state, since + UNDER_WAY_S, until - UNDER_WAY_S)
            for (state, since, _), until in zip(self.changes, end, strict=True)
            if state in states
        ]
        return [
            f"{name} was commanded at {command.time:.3f}, {state} from {begin:.3f} to {until:.3f}"
            for name, commands in self.commands.items()
            for command in list(commands)
            for state, begin, until in quiet
            if begin < command.time < until
        ]

    def motions(self, controller: str) -> list[list[Commanded]]:
        """The commands of a controller, a list for each motion.

        A trajectory that does not overlap with the one before begins a motion. A stream's motion begins when the node
        begins to command. A listener does not know which of the targets around that moment is the first: the one with
        the largest step before it is taken.
        """
        commands = list(self.commands[controller])
        if commands and hasattr(commands[0].message, "points"):
            begins = [index for index, command in enumerate(commands) if not overlaps(command.message)]
        else:
            begins = sorted({self._first_of_stream(commands, since) for since in self._begins_to_command()})
        return [commands[begin:end] for begin, end in pairwise([0, *begins, len(commands)]) if end > begin]

    def measured_before(self, command: Commanded) -> list[dict[str, float]]:
        """The measured positions that the node may have known when it gave a command: those of the LATENCY_S before.

        The stamps of the joint states count: on a busy machine this process may get them after the command.
        """
        known = (command.time - LATENCY_S, command.time + STATE_PERIOD_S)  # the node's clock may be one tick behind
        return [positions for stamp, positions in list(self.measured) if known[0] <= stamp <= known[1]]

    def _begins_to_command(self) -> list[float]:
        return [since for state, since, _ in self.changes if state == "commanding"]

    @staticmethod
    def _first_of_stream(commands: list[Commanded], since: float) -> int:
        near = [index for index, command in enumerate(commands) if abs(command.time - since) <= UNDER_WAY_S]

        def step(index: int) -> float:
            return float(np.abs(first_target(commands[index]) - first_target(commands[index - 1])).max())

        return max((index for index in near if index), key=step, default=0)

    def _on_clock(self, message: Clock) -> None:
        self.now = seconds(message.clock)

    def _on_status(self, message: DiagnosticStatus) -> None:
        values = {pair.key: pair.value for pair in message.values}
        if not self.changes or (message.message, float(values["since"])) != self.changes[-1][:2]:
            self.changes.append((message.message, float(values["since"]), values["reason"]))

    def _on_state(self, message: JointState) -> None:
        positions = dict(zip(message.name, message.position, strict=True))
        self.measured.append((seconds(message.header.stamp), positions))

    def _commanded(self, message: Any) -> Commanded:
        header = getattr(message, "header", None)
        # A trajectory that begins with what was told before is stamped in the past.
        known = header is not None and header.stamp.sec and not overlaps(message)
        time_s = seconds(header.stamp) - self.lead_s if known else self.now
        return Commanded(time_s, message)


def overlaps(message: Any) -> bool:
    """Whether a command is a trajectory that begins with what was told before."""
    points = getattr(message, "points", None)
    return points is not None and seconds(points[0].time_from_start) == 0.0


def first_target(command: Commanded) -> npt.NDArray[Any]:
    """The first positions (joints,) of a command."""
    points = getattr(command.message, "points", None)
    return np.array(points[0].positions if points else command.message.data)


def largest_excess(motion: list[Commanded], fastest: float, period_s: float) -> float:
    """By how much the largest step of a motion is larger than at `fastest` (rad/s) it may be, rad.

    For a stream a step takes `period_s`; the points of trajectories have times of their own.
    """
    excess = -np.inf
    rows: Any
    if hasattr(motion[0].message, "points"):
        for before, command in pairwise([None, *(each.message for each in motion)]):
            begin = seconds(command.header.stamp)
            times = [begin, *(begin + seconds(point.time_from_start) for point in command.points)]
            rows = [list(point.positions) for point in command.points]
            # A message that begins with what was told before says itself where it starts.
            starts_itself = before is None or times[1] == begin
            start = rows[0] if starts_itself else told_at([before], rows[0], begin)
            steps = np.abs(np.diff(np.array([start, *rows]), axis=0))
            excess = max(excess, float((steps - fastest * np.diff(times)[:, None]).max()))
        return excess
    rows = np.array([each.message.data for each in motion])
    return float(np.abs(np.diff(rows, axis=0)).max(initial=0.0) - fastest * period_s)
