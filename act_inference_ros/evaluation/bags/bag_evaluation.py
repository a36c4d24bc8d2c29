"""evaluate_bags: recorded bags -> EvaluationResult, one episode per bag."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from os import PathLike, fspath
from pathlib import Path
from typing import Any

from act_inference_ros.errors import ObservationError
from act_inference_ros.evaluation.bags import recording
from act_inference_ros.evaluation.bags.bag import Bag, find_bags
from act_inference_ros.evaluation.bags.bag_options import BagProgress, EvaluationOptions
from act_inference_ros.evaluation.bags.in_turn import Begin, evaluate_in_turn, is_loss, losses
from act_inference_ros.evaluation.bags.policy_replay import PolicyReplay
from act_inference_ros.evaluation.bags.recording import Recording, Role
from act_inference_ros.evaluation.bags.status_topic import ran_unseen, status_topics
from act_inference_ros.evaluation.comparison.commanders import Commanders
from act_inference_ros.evaluation.comparison.truth import COMMANDS, NONE, Truth, measured_joints
from act_inference_ros.evaluation.comparison.truth_comparison import TRUTH_LAG_S, TruthComparison
from act_inference_ros.evaluation.comparison.who_commanded import OPERATOR, WhoCommanded
from act_inference_ros.evaluation.metrics.tally import Tally
from act_inference_ros.evaluation.results import COMPLETE, FAILED, PARTIAL, EpisodeResult, EvaluationResult, Series
from act_inference_ros.evaluation.run_settings import RunSettings
from act_inference_ros.evaluation.watch import EpisodeWatch, WatchEpisode, nobody
from act_inference_ros.inference.client import InferenceClient
from act_inference_ros.observation.refusal import Reason
from act_inference_ros.robot.configuration import RobotConfiguration

PROGRESS_PERIOD_S = 0.2
SILENT_S = 2.0
"""Commands that end this long before the bag are worth a note."""
SELDOM = 0.5
"""A joint compared at less than this share of the predictions for times of the bag gets a reason."""
OTHER_CLOCK_S = 3600.0
"""Stamps this far from the time of recording come from another clock."""


__all__ = ["BagProgress", "EvaluationOptions", "evaluate_bags"]


def _no_progress(_: BagProgress) -> None:
    pass


def _never() -> bool:
    return False


def evaluate_bags(
    paths: Sequence[str | PathLike[str]],
    configuration: RobotConfiguration,
    client: InferenceClient,
    settings: RunSettings,
    options: EvaluationOptions | None = None,
    progress: Callable[[BagProgress], None] = _no_progress,
    stopped: Callable[[], bool] = _never,
    watch: WatchEpisode = nobody,
) -> EvaluationResult:
    """Replay every bag in `paths` (bags, or directories of them) through the policy, and compare with the operator.

    `settings` go into the result, with the additions from `options` and `paths`. `progress` is called a few times a
    second, `stopped` at every message: when it is true, the result so far is returned, marked partial. `watch` follows
    each episode while it is evaluated.
    A bag that cannot be evaluated is an episode marked failed, with reasons; the others are evaluated.

    Raises:
        ConfigurationError: no bag there, or parameter file and policy do not fit each other.
        MissingDependencyError: without rosbags, or without OpenCV where images are compressed.
    """
    options = options or EvaluationOptions()
    configuration.check_fits(client.spec)
    paths_found = find_bags(paths)
    topics = status_topics(paths_found, options.status_topic)
    merges = options.ways_of_merging(configuration.merge)
    total = Tally(configuration.action.names, client.spec.chunk_size, configuration.fps, merges)

    def begin(path: Path) -> Begin:
        return lambda watching: _BagEvaluation(path, configuration, client, options, topics[path], watching)

    settings = replace(
        settings,
        bags=tuple(fspath(path) for path in paths),
        truth=options.truth,
        latency=options.latency_text,
        commanded_by=options.commanded_by,
    )
    bags = [(path.name, begin(path)) for path in paths_found]
    return evaluate_in_turn(bags, "bags", total, settings, progress, stopped, watch)


class _BagEvaluation:
    """One bag; `tally` has its numbers after `run`."""

    def __init__(
        self,
        path: Path,
        configuration: RobotConfiguration,
        client: InferenceClient,
        options: EvaluationOptions,
        status_topic: str,
        watch: EpisodeWatch,
    ) -> None:
        merges = options.ways_of_merging(configuration.merge)
        self.tally = Tally(configuration.action.names, client.spec.chunk_size, configuration.fps, merges)
        self._path = path
        self._configuration = configuration
        self._client = client
        self._options = options
        self._status_topic = status_topic
        self._commanders = Commanders(options.commanded_by == OPERATOR)
        self._watch = watch
        self._reasons: list[str] = []
        self._messages = 0
        self._begin_s = self._last_s = 0.0
        self._clock_offset_s = 0.0

    def run(self, report: Callable[[float, float], None], stopped: Callable[[], bool]) -> EpisodeResult:
        with Bag(self._path) as bag:
            found = recording.examine(bag, self._configuration, self._client.spec, self._options.truth)
            series = Series()
            self._begin_s = self._last_s = bag.start_s
            if not found.missing:
                series = self._replay(bag, found, report, stopped)
            return self._result(bag, found, series)

    def _replay(
        self,
        bag: Bag,
        found: Recording,
        report: Callable[[float, float], None],
        stopped: Callable[[], bool],
    ) -> Series:
        if self._status_topic:
            self._commanders.follow(WhoCommanded(self._configuration), self._status_topic, bag.start_s)
        elif (unseen := ran_unseen(bag)) and not self._options.unmarked:
            self._commanders.unseen(unseen, bag.end_s - bag.start_s)
        truth = self._commanders.truth(self._configuration, found.sources)
        comparison = TruthComparison(self._configuration, truth, self.tally, bag.start_s, self._watch)
        replay = PolicyReplay(
            self._configuration,
            self._client,
            self.tally,
            comparison,
            self._options.latency_s,
            self._options.stride,
            bag.start_s,
            self._watch,
        )
        handlers = {
            topic: [self._handler(role, replay, truth) for role in roles] for topic, roles in found.roles.items()
        }
        if isinstance(self._commanders.who, WhoCommanded):
            handlers.setdefault(self._status_topic, []).append(self._commanders.who.add_status)
        started = reported = time.monotonic()
        limit = float("inf") if self._options.limit_s is None else bag.start_s + self._options.limit_s
        unread = True
        for topic, received, message in bag.messages(handlers):
            if stopped():
                self._reasons.append(f"interrupted after {self._last_s - bag.start_s:.1f} s")
                break
            if received > limit:
                found.notes.append(f"only the first {self._options.limit_s:g} s were evaluated, as asked for")
                break
            if received < self._last_s - self._configuration.max_age:
                self._reasons.append(f"the bag's clock was set back by {self._last_s - received:.3f} s")
                replay.jump_back(received)
                self._commanders.jump_back(self._last_s, received)
                comparison.finish(self._last_s)
                truth.clear()
            elif received < self._last_s:
                received = self._last_s
            self._last_s = received
            self._messages += 1
            replay.advance_to(received)
            for handle in handlers[topic]:
                handle(message, received)
            self._commanders.count(received - TRUTH_LAG_S)
            comparison.settle(received)
            if replay.broken is not None:
                self._reasons.append(replay.broken)
                break
            wall = time.monotonic()
            if wall > reported + PROGRESS_PERIOD_S:
                reported, done = wall, received - bag.start_s
                report(done / max(bag.end_s - bag.start_s, done, 1e-9), done / (wall - started))
        else:
            unread = bool(bag.problems)
        if unread:
            truth.end_with_newest()
        self._commanders.count(self._last_s)
        replay.finish(self._last_s)
        comparison.finish(self._last_s)
        self._note_silence(truth, found)
        self._reasons += self._commanders.reasons
        found.notes += self._commanders.notes
        if self.tally.chunks:
            self._reasons += self._hardly_compared(truth, found)
        return comparison.series()

    def _handler(self, role: Role, replay: PolicyReplay, truth: Truth) -> Callable[[Any, float], None]:
        if role.kind == recording.COMMAND:
            return functools.partial(self._guarded, functools.partial(truth.add_command, role.name), role.text)

        def on_state(message: Any, received: float) -> None:
            replay.add_state(message, received, role.topic)
            if (time_s := replay.time_of(message, received)) is not None:
                self._watch.measured(time_s, {name: at for name, (at, _) in measured_joints(message).items()})
            self._guarded(truth.add_state, "truth from the joint states", message, received)

        def on_image(message: Any, received: float) -> None:
            stamp = message.header.stamp
            self._clock_offset_s = received - stamp.sec - stamp.nanosec * 1e-9 if stamp.sec else 0.0
            replay.add_image(role.name, message, received)

        handle = {
            recording.STATE_INPUT: on_state,
            recording.CAMERA: on_image,
            recording.ENVIRONMENT_STATE: replay.add_environment_state,
        }[role.kind]
        return lambda message, received: None if message is None else handle(message, received)

    def _guarded(self, add: Callable[[Any, float], None], what: str, message: Any, received: float) -> None:
        try:
            add(message, received)
        except ObservationError as error:
            self.tally.refuse(f"{Reason.INVALID.value}: {what}", str(error))

    def _note_silence(self, truth: Truth, found: Recording) -> None:
        for controller, source in found.sources.items():
            newest = truth.newest_s.get(controller)
            if source == COMMANDS and newest is not None and newest < self._last_s - SILENT_S:
                silent = self._last_s - newest
                found.notes.append(f"{controller}: no command in the last {silent:.1f} s; the last is taken as held")

    def _hardly_compared(self, truth: Truth, found: Recording) -> list[str]:
        """A reason for each controller with joints that were compared seldom or never.

        A missing truth has a separate reason.
        """
        counts = self.tally.horizon.count.sum(axis=0) / max(self.tally.comparable, 1)
        shares = dict(zip(self.tally.joints, counts.tolist(), strict=True))
        reasons = []
        for controller in self._configuration.controllers:
            if found.sources[controller.name] == NONE:
                continue
            who = f"controller {controller.name}"
            if never := [joint for joint in controller.joints if not shares.get(joint, 1.0)]:
                why = (
                    "its truth is known at no time of a chunk"
                    if controller.name in truth.newest_s
                    else f"none of its {found.sources[controller.name]} could be used"
                )
                reasons.append(f"{who}: {', '.join(never)} never compared: {why}")
            if seldom := [joint for joint in controller.joints if 0.0 < shares.get(joint, 1.0) < SELDOM]:
                least = min(shares[joint] for joint in seldom)
                reasons.append(
                    f"{who}: {', '.join(seldom)} compared at {100.0 * least:.2g} % of the predicted positions only: "
                    f"at the other times the truth is not known{self._commanders.or_not_the_operators}"
                )
        return reasons

    def _result(self, bag: Bag, found: Recording, series: Series) -> EpisodeResult:
        if not bag.counts.total():
            found = Recording(missing=[] if bag.problems else ["the bag holds no message"], sources=found.sources)
        reasons = [*bag.problems, *found.missing, *found.reasons, *self._reasons, *losses(self.tally)]
        if not self.tally.chunks and self._messages:
            reasons.append(self._why_nothing())
        nothing = not self.tally.horizon.count.any()
        if self.tally.chunks and nothing:
            unknown = f"the truth is not known at any of their times{self._commanders.or_not_the_operators}"
            reasons.append(f"no chunk could be compared: {unknown}")
        return EpisodeResult(
            name=self._path.name,
            path=str(self._path),
            status=FAILED if nothing else PARTIAL if reasons else COMPLETE,
            reasons=tuple(dict.fromkeys(reasons)),
            notes=tuple(found.notes),
            start_time_s=self._begin_s,
            duration_s=self._last_s - self._begin_s,
            messages=self._messages,
            truth=found.sources,
            metrics=self.tally.metrics(),
            series=series,
            commanded_s=self._commanders.seconds,
            flattering_s=self._commanders.flattering_s,
        )

    def _why_nothing(self) -> str:
        if self._configuration.stamps == "header" and abs(self._clock_offset_s) > OTHER_CLOCK_S:
            return (
                f"no observation could be taken: the stamps lie {self._clock_offset_s:.0f} s before the times of "
                "recording; was it recorded without the simulation's clock? set `stamps: receive`"
            )
        if self.tally.failures:
            kind = next(iter(self.tally.failures))
            return f"no chunk could be computed: {self.tally.refused_examples[f'inference failed: {kind}']}"
        why = "; ".join(
            label if is_loss(label) else f"{label} ({count} times): {self.tally.refused_examples[label]}"
            for label, count in self.tally.refused.most_common(3)
        )
        return f"no observation could be taken: {why or 'no image came'}"
