"""evaluate_dataset: a LeRobot data set -> EvaluationResult; each episode is replayed like a bag.

LeRobot pairs frame i with action i: row k of the chunk for frame i is compared with action i + k of the same episode.
Here action i is the command in force from frame i, at i / fps, until the next frame. By the rule for bags this command
is the truth for that row.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

from act_inference_ros.errors import ObservationError
from act_inference_ros.evaluation.bags.bag_evaluation import PROGRESS_PERIOD_S
from act_inference_ros.evaluation.bags.bag_options import BagProgress, EvaluationOptions
from act_inference_ros.evaluation.bags.in_turn import Begin, evaluate_in_turn, losses
from act_inference_ros.evaluation.bags.policy_replay import PolicyReplay
from act_inference_ros.evaluation.comparison.commanders import Commanders
from act_inference_ros.evaluation.comparison.truth import COMMANDS
from act_inference_ros.evaluation.comparison.truth_comparison import TruthComparison
from act_inference_ros.evaluation.comparison.who_commanded import OPERATOR, POLICY, UNKNOWN, MarkedFrames
from act_inference_ros.evaluation.datasets.description import DatasetInfo
from act_inference_ros.evaluation.datasets.episode_entry import EpisodeEntry
from act_inference_ros.evaluation.datasets.features import INTERVENTION
from act_inference_ros.evaluation.datasets.frames import EpisodeFrames, Frame
from act_inference_ros.evaluation.datasets.recorded_state import RecordedState
from act_inference_ros.evaluation.datasets.stand_in import (
    ACTION_KEY,
    CONTROLLER,
    marked,
    read_keys,
    stand_in_robot,
)
from act_inference_ros.evaluation.metrics.tally import Tally
from act_inference_ros.evaluation.results import COMPLETE, FAILED, PARTIAL, EpisodeResult, EvaluationResult, Series
from act_inference_ros.evaluation.run_settings import RunSettings
from act_inference_ros.evaluation.watch import EpisodeWatch, WatchEpisode, nobody
from act_inference_ros.inference.client import InferenceClient
from act_inference_ros.observation.refusal import Reason
from act_inference_ros.robot.configuration import RobotConfiguration

OWN_UNITS = "positions are in the data set's own units, also where the report says rad or m"


def evaluate_dataset(
    info: DatasetInfo,
    entries: Sequence[EpisodeEntry],
    client: InferenceClient,
    settings: RunSettings,
    options: EvaluationOptions,
    progress: Callable[[BagProgress], None] = lambda _: None,
    stopped: Callable[[], bool] = lambda: False,
    watch: WatchEpisode = nobody,
    robot: RobotConfiguration | None = None,
) -> EvaluationResult:
    """Replay these episodes of the data set through the policy, and compare with the recorded actions.

    `robot` is what a parameter file says: positions are then in ROS units, and the plan keeps the limits.

    `settings` go into the result, with what the others add to them. `progress` is called a few times a second,
    `stopped` at every frame: when it is true, the result so far is returned, marked partial. An episode that can be
    read in part only is partial, one that cannot be read is failed, both with the reason. `watch` is told of each
    episode while it is evaluated.

    Raises:
        ConfigurationError: the data set does not have what the policy reads and commands.
        MissingDependencyError: without pyarrow, PyAV where there are videos, or OpenCV where there are images.
    """
    configuration = stand_in_robot(info, client.spec, robot)
    merges = options.ways_of_merging(configuration.merge)
    total = Tally(configuration.action.names, client.spec.chunk_size, configuration.fps, merges)

    notes = () if robot else (OWN_UNITS,)

    def begin(name: str, entry: EpisodeEntry) -> Begin:
        return lambda watching: _EpisodeEvaluation(name, info, entry, configuration, client, options, watching, notes)

    settings = replace(
        settings,
        dataset=str(info.root),
        truth=COMMANDS,
        latency=options.latency_text,
        commanded_by=options.commanded_by,
    )
    named = [(f"episode {entry.index}", entry) for entry in entries]
    episodes = [(name, begin(name, entry)) for name, entry in named]
    return evaluate_in_turn(episodes, "episodes", total, settings, progress, stopped, watch)


class _EpisodeEvaluation:
    """One episode; `tally` has its numbers after `run`."""

    def __init__(
        self,
        name: str,
        info: DatasetInfo,
        entry: EpisodeEntry,
        configuration: RobotConfiguration,
        client: InferenceClient,
        options: EvaluationOptions,
        watch: EpisodeWatch,
        notes: Sequence[str],
    ) -> None:
        self.name = name
        merges = options.ways_of_merging(configuration.merge)
        self.tally = Tally(configuration.action.names, client.spec.chunk_size, configuration.fps, merges)
        self._info = info
        self._entry = entry
        self._configuration = configuration
        self._client = client
        self._options = options
        self._watch = watch
        self._commanders = Commanders(options.commanded_by == OPERATOR)
        self._marks = MarkedFrames() if marked(info) else None
        if self._marks is not None:
            self._commanders.follow(self._marks, f"`{INTERVENTION}`", 0.0)
        self._truth = self._commanders.truth(configuration, {CONTROLLER: COMMANDS})
        self._comparison = TruthComparison(configuration, self._truth, self.tally, 0.0, watch)
        self._replay = PolicyReplay(
            configuration, client, self.tally, self._comparison, options.latency_s, options.stride, 0.0, watch
        )
        self._cameras = {image.key: image.camera for image in client.spec.images}
        self._state = RecordedState(info, client.spec, configuration)
        self._reasons: list[str] = []
        self._notes = [f"task: {'; '.join(entry.tasks)}"] if entry.tasks else []
        self._of_all = notes
        self._frames = 0
        self._last_s = 0.0

    def run(self, report: Callable[[float, float], None], stopped: Callable[[], bool]) -> EpisodeResult:
        """Replay the episode."""
        with EpisodeFrames(self._info, self._entry, read_keys(self._info, self._client.spec)) as source:
            series = self._replayed(source, report, stopped)
            return self._result(source.problems, series)

    def _replayed(
        self, source: EpisodeFrames, report: Callable[[float, float], None], stopped: Callable[[], bool]
    ) -> Series:
        started = reported = time.monotonic()
        limit_s = float("inf") if self._options.limit_s is None else self._options.limit_s
        unread = True
        for frame in source.frames():
            if stopped():
                self._reasons.append(f"interrupted after {self._last_s:.1f} s")
                break
            if frame.time_s > limit_s:
                self._notes.append(f"only the first {limit_s:g} s were evaluated, as asked for")
                break
            self._take(frame)
            if self._replay.broken is not None:
                self._reasons.append(self._replay.broken)
                break
            wall = time.monotonic()
            if wall > reported + PROGRESS_PERIOD_S:
                reported = wall
                report(self._frames / self._entry.length, frame.time_s / (wall - started))
        else:
            unread = bool(source.problems)
        if unread:
            self._truth.end_with_newest()
        self._replay.finish(self._last_s)
        self._comparison.finish(self._last_s)
        return self._comparison.series()

    def _take(self, frame: Frame) -> None:
        """Pass a frame's command, state and images to the replay at the frame's time."""
        now = self._last_s = frame.time_s
        self._frames += 1
        self._replay.advance_to(now)
        action = self._configuration.action.to_ros(frame.vectors[ACTION_KEY])
        if self._marks is not None:
            self._marks.add(_commander(frame.vectors[INTERVENTION][0]), now)
            self._commanders.count(now)
        try:
            self._truth.add_command(CONTROLLER, SimpleNamespace(data=action), now)
        except ObservationError as error:
            self.tally.refuse(f"{Reason.INVALID.value}: {ACTION_KEY}", f"frame {frame.index}: {error}")
        state = self._state.message(frame.vectors, action)
        self._watch.measured(now, self._state.measured_in(state))
        self._replay.add_state(state, now)
        spec = self._client.spec
        if spec.environment_state_dim is not None:
            environment = frame.vectors[spec.environment_state_key]
            self._replay.add_environment_state(SimpleNamespace(data=environment), now)
        self._replay.add_images({self._cameras[key]: image for key, image in frame.images.items()}, now)
        self._comparison.settle(now)

    def _result(self, problems: Sequence[str], series: Series) -> EpisodeResult:
        reasons = [*problems, *self._reasons, *self._commanders.reasons, *losses(self.tally)]
        if self._frames and not self.tally.chunks:
            why: Any = next(iter(self.tally.refused_examples.items()), None)
            reasons.append("no chunk could be computed" + (f": {why[0]}: {why[1]}" if why else ""))
        nothing = not self.tally.horizon.count.any()
        if self.tally.chunks and nothing:
            unknown = f"the action is not known at any of their times{self._commanders.or_not_the_operators}"
            reasons.append(f"no chunk could be compared: {unknown}")
        if self._state.unmeasured:
            names = ", ".join(self._state.unmeasured)
            self._notes.append(f"not measured: {names}; the executed plan starts where these were commanded to be")
        return EpisodeResult(
            name=self.name,
            path=str(self._info.root),
            status=FAILED if nothing else PARTIAL if reasons else COMPLETE,
            reasons=tuple(dict.fromkeys(reasons)),
            notes=(*self._notes, *self._commanders.notes, *self._of_all),
            start_time_s=0.0,
            duration_s=self._last_s,
            messages=self._frames,
            truth=self._truth.sources,
            metrics=self.tally.metrics(),
            series=series,
            commanded_s=self._commanders.seconds,
            flattering_s=self._commanders.flattering_s,
        )


def _commander(mark: float) -> str:
    """Return who commanded a frame, by its mark; a missing mark is nan."""
    return UNKNOWN if mark != mark else OPERATOR if mark else POLICY
