"""Closed-loop episodes in the demo simulator, in this process and on simulated time.

A policy gets the arm's images and joint states as messages and moves it through controllers: the node's own pipeline
gets messages, ticks and chunks as in the node. The result does not depend on the machine's speed: inference takes
`latency_s` of simulated time, for any real duration, so the same seed and policy give the same episode.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from act_inference_ros.errors import ConfigurationError
from act_inference_ros.evaluation.episodes.controlled_joints import ControlledJoints
from act_inference_ros.evaluation.episodes.messages import (
    JointState,
    Message,
    header,
    image_message,
    trajectory_message,
)
from act_inference_ros.evaluation.episodes.said_status import SaidStatus
from act_inference_ros.evaluation.episodes.setpoints import EpisodeSetpoints
from act_inference_ros.evaluation.metrics.smoothness import SmoothnessSums
from act_inference_ros.evaluation.results import Splice
from act_inference_ros.evaluation.watch import EpisodeWatch
from act_inference_ros.execution.controller_parameters import forbids_overlap
from act_inference_ros.execution.pipeline import Pipeline, Taken
from act_inference_ros.execution.supervisor import POLICY
from act_inference_ros.interfaces import NANOSECONDS
from act_inference_ros.observation.binding import bind_inputs
from act_inference_ros.observation.refusal import ObservationRefused
from act_inference_ros.robot.configuration import RobotConfiguration
from act_inference_ros.robot.topic_names import DEFAULT_NODE
from act_inference_ros.simulation.command_inputs import DEMO_INTERFACES
from act_inference_ros.simulation.scene import JOINT_STATE_ORDER, DemoArm
from act_inference_ros.simulation.success import LIFT_HOLD_S
from act_inference_ros.spec import Chunk, Observation, PolicySpec

CONTROL_RATE = 100
JOINT_STATE_EVERY = 2
IMAGE_EVERY = 5
"""Periods in control steps: joint states at 50 Hz and images at 20 Hz, as the simulated robot publishes them."""

START_NS = 1 * NANOSECONDS
"""An episode's clock begins here and not at 0, because a stamp of zero means no stamp."""

DEFAULT_LIMIT_S = 8.0
DEFAULT_LATENCY_S = 0.05

CHUNK_TOPIC = f"{DEFAULT_NODE}/action_chunk"

Floats = npt.NDArray[np.float64]
Publish = Callable[[str, Message, int], None]
"""Called with topic, message and time in ns, for each message of an episode."""


class Policy:
    """What drives the arm: an InferenceClient, or anything with its `spec` and `predict`.

    `plays_operator`: a recording must look like a person's demonstration, in which no policy ran.
    """

    def __init__(self, spec: PolicySpec, predict: Callable[[Observation], Chunk], plays_operator: bool = False) -> None:
        self.spec = spec
        self.predict = predict
        self.plays_operator = plays_operator


@dataclass(frozen=True)
class PredictedChunk:
    """A chunk (chunk_size, action_dim) for the observation at `t_obs` s, in policy and ROS units; its wall time."""

    t_obs: float
    rows: Chunk
    ros_rows: Floats
    inference_s: float


@dataclass
class Episode:
    """An episode's record: T samples at CONTROL_RATE, in the order of the action's `joints` and ROS units.

    `times` are s since the episode began, like the chunks' `t_obs`; `arm_targets` (T, 6) are the arm's targets in the
    order of DemoArm.JOINTS. `smoothness` is of the controllers' setpoints, `splice` shows their worst seam.
    """

    index: int
    seed: int
    success: bool = False
    interrupted: bool = False
    joints: tuple[str, ...] = ()
    times: list[float] = field(default_factory=list)
    targets: list[Floats] = field(default_factory=list)
    measured: list[Floats] = field(default_factory=list)
    arm_targets: list[Floats] = field(default_factory=list)
    cube_height_m: list[float] = field(default_factory=list)
    chunks: list[PredictedChunk] = field(default_factory=list)
    refused: Counter[str] = field(default_factory=Counter)
    clamped: int = 0
    holds: Counter[str] = field(default_factory=Counter)
    commanded_steps: int = 0
    largest_deviation: dict[str, float] = field(default_factory=dict)
    smoothness: SmoothnessSums | None = None
    splice: Splice | None = None

    @property
    def duration_s(self) -> float:
        """Simulated seconds."""
        return len(self.times) / CONTROL_RATE

    def line(self, episodes: int) -> str:
        """Return one line for people: `episode  3/20: lifted after 3.9 s`."""
        outcome = f"lifted after {self.duration_s:.1f} s" if self.success else f"not lifted in {self.duration_s:.1f} s"
        return f"episode {self.index + 1:{len(str(episodes))}}/{episodes}: {outcome}"


def check_configuration(configuration: RobotConfiguration, spec: PolicySpec) -> None:
    """Raise ConfigurationError unless parameters and policy are for the demo robot."""
    configuration.check_fits(spec)
    problems = [f"joint {name}" for name in configuration.action.names if name not in DemoArm.JOINTS]
    problems += [f"camera {name}" for name in spec.cameras if name not in DemoArm.CAMERAS]
    problems += [f"{camera.name}'s transport" for camera in configuration.cameras if camera.transport != "raw"]
    problems += [
        f"an action server for {each.name} ({each.interface.name})"
        for each in configuration.controllers
        if each.interface.name not in DEMO_INTERFACES
    ]
    if spec.environment_state_dim is not None:
        problems.append("environment_state")
    if problems:
        raise ConfigurationError(
            f"episodes are run with the demo robot, which does not have {', '.join(problems)}; "
            "evaluate another robot's policy on a recorded bag: --bag DIR --params FILE"
        )


def make_arm(spec: PolicySpec) -> DemoArm:
    """The demo arm, with a camera of the size that the policy reads. Raises ConfigurationError for several sizes."""
    sizes = {(image.height, image.width) for image in spec.images}
    if len(sizes) > 1:
        raise ConfigurationError(f"the demo robot's cameras have one size, the policy reads {sorted(sizes)}")
    return DemoArm(0, *sizes.pop()) if sizes else DemoArm(0, render=False)


def run_episode(
    arm: DemoArm,
    policy: Policy,
    configuration: RobotConfiguration,
    index: int,
    seed: int,
    limit_s: float = DEFAULT_LIMIT_S,
    latency_s: float = DEFAULT_LATENCY_S,
    publish: Publish | None = None,
    stopped: Callable[[], bool] = lambda: False,
    watch: EpisodeWatch | None = None,
) -> Episode:
    """Run one episode from a reset with seed + index until the cube is lifted, `limit_s` has passed, or `stopped`.

    Args:
        arm: as `make_arm` makes it; left at the episode's end.
        policy: its spec fits the configuration, see `check_configuration`.
        configuration: the robot's parameters, as the node reads them.
        index: of the episode, from 0.
        seed: of the run; episode i of seed s is episode 0 of seed s + i.
        limit_s: simulated seconds after which the episode has failed.
        latency_s: simulated seconds from an observation to its chunk.
        publish: takes every message of the episode, for a recording.
        stopped: looked at before each control step; the episode is marked as interrupted then.
        watch: is told of the episode; what is executed is what the controllers want of their joints.

    Raises ActInferenceError where the policy does.
    """
    arm.reset(seed + index)
    episode = Episode(index, seed)
    loop = _Loop(arm, policy, configuration, latency_s, publish or (lambda *_: None), watch or EpisodeWatch(), episode)
    lifted_steps = 0
    step = 0
    while step < round(limit_s * CONTROL_RATE) or lifted_steps > 0:
        if stopped():
            episode.interrupted = True
            break
        loop.step(step)
        step += 1
        lifted_steps = lifted_steps + 1 if arm.cube_lifted else 0
        if lifted_steps >= LIFT_HOLD_S * CONTROL_RATE:
            episode.success = True
            break
    loop.finish()
    return episode


class _Loop:
    """One control step after the other: sensors, policy, controllers, physics."""

    def __init__(
        self,
        arm: DemoArm,
        policy: Policy,
        configuration: RobotConfiguration,
        latency_s: float,
        publish: Publish,
        watch: EpisodeWatch,
        episode: Episode,
    ) -> None:
        configuration = configuration.rehearsed
        self._arm = arm
        self._policy = policy
        self._configuration = configuration
        self._latency_s = latency_s
        self._publish = publish
        self._status = None if policy.plays_operator else SaidStatus(publish)
        self._watch = watch
        self._episode = episode
        self._inputs = bind_inputs(configuration, policy.spec)
        start = self._positions()
        self._rest = np.array([start[name] for name in DemoArm.JOINTS])
        self._measured = start
        self._controllers = [ControlledJoints(each, configuration, start) for each in configuration.controllers]
        self._setpoints = EpisodeSetpoints(configuration.action.names, self._controllers)
        self._pipeline = Pipeline(
            configuration,
            self._inputs,
            [controller.commander for controller in self._controllers],
            inference_s=latency_s,
        )
        begin = START_NS / NANOSECONDS
        for each in configuration.controllers:
            self._pipeline.supervisor.permissions.heard(each.name, 1, ())
        for name, controlled in zip([each.name for each in configuration.controllers], self._controllers, strict=True):
            if controlled.parameters is not None:
                self._pipeline.supervisor.overlap.shown(name, forbids_overlap(controlled.joints, controlled.parameters))
        self._pipeline.supervisor.activate(begin)
        self._coming: tuple[Taken, PredictedChunk] | None = None

    def step(self, number: int) -> None:
        time_ns = START_NS + number * NANOSECONDS // CONTROL_RATE
        now = time_ns / NANOSECONDS
        self._sense(number, time_ns, now)
        self._think(now)
        self._act(now)
        self._move(number, now)

    def finish(self) -> None:
        self._episode.refused += self._inputs.refused
        self._episode.clamped = self._pipeline.supervisor.clamped
        self._episode.holds += self._pipeline.supervisor.holds
        self._episode.joints = tuple(self._configuration.action.names)
        self._episode.smoothness = self._setpoints.sums
        begin = START_NS / NANOSECONDS
        self._episode.splice = self._setpoints.worst_seam.splice(self._episode.joints, begin)

    def _sense(self, number: int, time_ns: int, now: float) -> None:
        if number % JOINT_STATE_EVERY == 0:
            self._measured = self._positions()
            velocities = dict(zip(DemoArm.JOINTS, self._arm.velocities.tolist(), strict=True))
            state = JointState(
                header(time_ns),
                list(JOINT_STATE_ORDER),
                np.array([self._measured[name] for name in JOINT_STATE_ORDER]),
                np.array([velocities[name] for name in JOINT_STATE_ORDER]),
            )
            topic = self._configuration.state_topics[0]  # the simulated robot has one topic with all joints
            self._publish(topic, state, time_ns)
            self._watch.measured(now, self._measured)
            self._pipeline.state(state, now, topic)
        if number % IMAGE_EVERY == 0:
            for camera in self._configuration.cameras:
                image = image_message(self._arm.render(camera.name), time_ns, camera.name)
                self._publish(camera.topic, image, time_ns)
                self._pipeline.image(camera.name, image, now)

    def _think(self, now: float) -> None:
        """Infer like the node's thread: one chunk at a time from the newest observation, at most `inference_rate`."""
        taken = None if self._coming is not None else self._pipeline.take(now)
        if taken is None:
            return
        try:
            observation = self._inputs.decode(taken.selection)
        except ObservationRefused as refused:
            self._pipeline.undecodable(taken, refused.refusal)
            return
        self._watch.observed(observation, taken.selection.stamps)
        started = time.perf_counter()
        rows = self._policy.predict(observation)
        took_s = time.perf_counter() - started
        self._coming = taken, PredictedChunk(taken.t_obs, rows, self._configuration.action.to_ros(rows), took_s)

    def _act(self, now: float) -> None:
        if self._coming is not None and now >= self._coming[1].t_obs + self._latency_s - 0.5 / CONTROL_RATE:
            (taken, chunk), self._coming = self._coming, None
            moves = self._pipeline.supervisor.who_commands == POLICY
            if self._pipeline.chunk(taken, chunk.rows, now, chunk.inference_s) and moves:
                self._setpoints.chunk_joins(now)
            self._remember(chunk, now)
        self._pipeline.tick(now)
        supervisor = self._pipeline.supervisor
        if self._status is not None:
            self._status.tell(supervisor, now)
        self._episode.commanded_steps += supervisor.who_commands == POLICY
        for joint, deviation in supervisor.following.deviations.items():
            largest = self._episode.largest_deviation
            largest[joint] = max(deviation, largest.get(joint, 0.0))
        for controller in self._controllers:
            for command in controller.execute(now, self._measured):
                self._publish(controller.topic, command, round(now * NANOSECONDS))

    def _remember(self, chunk: PredictedChunk, now: float) -> None:
        self._watch.predicted(chunk.rows, chunk.t_obs, now)
        begin = START_NS / NANOSECONDS
        self._episode.chunks.append(replace(chunk, t_obs=chunk.t_obs - begin))
        if self._policy.plays_operator:
            return
        times = np.arange(len(chunk.rows)) / self._configuration.fps
        names = self._configuration.action.names
        stamp_ns = round(chunk.t_obs * NANOSECONDS)
        message = trajectory_message(names, times, chunk.rows.astype(np.float64), stamp_ns, at_rest=False)
        self._publish(CHUNK_TOPIC, message, round(now * NANOSECONDS))

    def _move(self, number: int, now: float) -> None:
        target = dict(zip(DemoArm.JOINTS, self._rest, strict=True))
        for controller in self._controllers:
            target.update(zip(controller.joints, controller.target(now), strict=True))
        self._setpoints.sample(now, now + 1.0 / CONTROL_RATE)
        arm_target = np.array([target[name] for name in DemoArm.JOINTS])
        self._arm.step(arm_target, 1.0 / CONTROL_RATE)
        here, names = self._positions(), self._configuration.action.names
        self._episode.times.append(number / CONTROL_RATE)
        self._episode.targets.append(np.array([target[name] for name in names]))
        self._watch.executed(np.array([now]), self._episode.targets[-1][None])
        self._episode.measured.append(np.array([here[name] for name in names]))
        self._episode.arm_targets.append(arm_target)
        self._episode.cube_height_m.append(self._arm.cube_height_m)

    def _positions(self) -> dict[str, Any]:
        return dict(zip(DemoArm.JOINTS, self._arm.positions.tolist(), strict=True))
