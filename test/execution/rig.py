"""A pipeline whose time the test moves, a robot that may ignore its commands, and a record of all commands."""

import functools
from collections import deque
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt

from act_inference_ros.control.commanders import make_commander
from act_inference_ros.execution.pipeline import Pipeline, Taken
from act_inference_ros.execution.states import State
from act_inference_ros.interfaces import Command
from act_inference_ros.observation.binding import bind_inputs
from act_inference_ros.robot.configuration import RobotConfiguration
from act_inference_ros.spec import ImageSpec, PolicySpec

START = 1.7e9
FPS = 10.0
JOINTS = ("pan", "lift", "grip")
SPEC = PolicySpec(10, 3, images=(ImageSpec("observation.images.front", 2, 2),), state_dim=3)
PARAMETERS: dict[str, Any] = {
    "fps": FPS, "merge": "latest", "coast_time": 0.3, "max_age": 0.2, "command_rate": 50.0, "max_plan_age": 3.0,
    "state.topic": "/s", "state.joints": list(JOINTS), "cameras": ["front"], "camera.front.topic": "/i",
    "controllers": ["arm", "gripper"], "controller.arm.topic": "/a", "controller.arm.joints": ["lift", "pan"],
    "controller.gripper.interface": "position_stream", "controller.gripper.topic": "/g",
    "controller.gripper.joints": ["grip"],
}  # fmt: skip
TICK_S = 0.02


def stamp(time: float) -> Any:
    sec, nanosec = divmod(round(time * 1e9), 10**9)
    return SimpleNamespace(sec=sec, nanosec=nanosec)


LEAD_S = 0.02


def end_of(command: Command) -> float:
    """The time of a trajectory's last point."""
    return command.stamp + float(command.times[-1])


def is_hold(command: Command, now: float) -> bool:
    """Whether a trajectory sent at `now` comes to rest sooner than any trajectory that follows a plan."""
    return end_of(command) < now + LEAD_S + 0.3


class Rig:
    """An active pipeline; time passes only in `wait`, with inputs coming every tick.

    `obeys`: the measured positions are the commanded ones, `lag` s late. `silent`: inputs that do not come.
    `drivers` maps each of several topics with joint states to its joints; such a topic is an input by its own name.
    """

    # `| Any`: mypy takes any value of a `**{...}` for one of these two.
    def __init__(
        self,
        closed_loop: bool | Any = True,
        spec: PolicySpec | Any = SPEC,
        drivers: Mapping[str, tuple[str, ...]] | Any = None,
        **changes: Any,
    ) -> None:
        self.now = START
        self._drivers = drivers
        topics = {"state.topic": "", "state.topics": list(drivers)} if drivers else {}
        self.configuration = RobotConfiguration.from_parameters(PARAMETERS | topics | changes)
        self.commands: dict[str, list[Command]] = {each.name: [] for each in self.configuration.controllers}
        self._sent_at: dict[int, float] = {}
        commanders = [
            make_commander(each, self.configuration, functools.partial(self._sent, each.name))
            for each in self.configuration.controllers
        ]
        self.pipeline = Pipeline(
            self.configuration, bind_inputs(self.configuration, spec), commanders, closed_loop=closed_loop
        )
        self.supervisor, self.operator = self.pipeline.supervisor, self.pipeline.operator
        self.names: tuple[str, ...] = JOINTS
        self.positions = dict.fromkeys(JOINTS, 0.0)
        self.velocities: dict[str, float] = {}
        self.obeys = True
        self.lag = 0.0
        self.silent: set[str] = set()
        self._past: deque[tuple[float, dict[str, float]]] = deque(maxlen=200)
        for each in self.configuration.controllers:
            self.supervisor.heard(each.name, 1, (), self.now)
        self.supervisor.activate(self.now)
        self.feed()

    def _sent(self, controller: str, command: Command) -> None:
        self.commands[controller].append(command)
        self._sent_at[id(command)] = self.now

    def is_hold(self, command: Command) -> bool:
        """Whether a trajectory brings the arm to rest."""
        return is_hold(command, self._sent_at[id(command)])

    @property
    def state(self) -> State:
        return self.supervisor.state

    @property
    def reason(self) -> str:
        return self.supervisor.standing.reason

    @property
    def trajectories(self) -> list[Command]:
        return self.commands["arm"]

    @property
    def targets(self) -> list[float]:
        return [float(command.positions[0, 0]) for command in self.commands["gripper"]]

    def velocities_since(self, first: int) -> npt.NDArray[np.float64]:
        """The velocities between the stream's targets from target `first` on, rad/s; two at one time are left out."""
        stamps = np.array([command.stamp for command in self.commands["gripper"]][first:])
        gaps = np.diff(stamps)
        return np.asarray((np.diff(self.targets[first:]) / np.where(gaps > 0.0, gaps, np.nan))[gaps > 0.0])

    def silence(self) -> tuple[int, int]:
        """Return the numbers of commands so far, to compare them later."""
        return len(self.trajectories), len(self.targets)

    def feed(self) -> None:
        """Send every input that is not silent, stamped now."""
        self._past.append((self.now, self.supervisor.told(self.now)))
        if self.obeys:
            late = [told for time, told in self._past if time <= self.now - self.lag + 1e-9]
            self.positions |= late[-1] if late else {}
        header = SimpleNamespace(stamp=stamp(self.now))
        if "front" not in self.silent:
            image = SimpleNamespace(header=header, encoding="rgb8", height=2, width=2, step=6, is_bigendian=0)
            image.data = np.random.default_rng(round(self.now * 1e3)).integers(0, 255, 12, np.uint8).tobytes()
            assert self.pipeline.image("front", image, self.now) is None
        for topic, names in (self._drivers or {"state": self.names}).items():
            if topic not in self.silent:
                where = [self.positions.get(name, 0.0) for name in names]
                speeds = [self.velocities[name] for name in names if name in self.velocities]
                message = SimpleNamespace(header=header, name=names, position=where, velocity=speeds, effort=())
                self.pipeline.state(message, self.now, topic)

    def wait(self, duration: float) -> None:
        """Let time pass, tick by tick."""
        for _ in range(round(duration / TICK_S)):
            self.now += TICK_S
            self.feed()
            self.pipeline.tick(self.now)

    def take(self) -> Taken | None:
        return self.pipeline.take(self.now)

    def chunk(self, target: float = 0.5, t_obs: float | None = None, generation: int | None = None) -> bool:
        """Send a chunk that moves every joint from its position to `target`."""
        rows = np.linspace([self.positions[name] for name in JOINTS], target, 10).astype(np.float32)
        return self.rows(rows, t_obs, generation)

    def rows(self, rows: Any, t_obs: float | None = None, generation: int | None = None) -> bool:
        """Send a chunk of these rows."""
        generation = self.supervisor.generation if generation is None else generation
        return self.supervisor.accept(rows, self.now if t_obs is None else t_obs, self.now, generation)
