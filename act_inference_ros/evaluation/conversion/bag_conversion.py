"""convert_bags: recorded bags -> a LeRobot data set, with the node's own inputs and the evaluator's truth of commands.

A frame of the data set is an observation as the node would take it at the frame's time. Its action is the command in
force at the same time: the newest command that was stamped at or before it, or the point that a trajectory's controller
had reached. So row i of a chunk that a policy learns from a frame is for `t_obs + i / fps`. At this time the node
executes the row, and the evaluator compares it with the truth.

In a bag of a policy's run the frames say whether the policy or the operator commanded. Frames that neither commanded
are left out, because a waiting arm teaches nothing.
"""

from __future__ import annotations

import functools
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from act_inference_ros.errors import ObservationError
from act_inference_ros.evaluation.bags import recording
from act_inference_ros.evaluation.bags.bag import Bag
from act_inference_ros.evaluation.bags.bag_evaluation import PROGRESS_PERIOD_S, SILENT_S
from act_inference_ros.evaluation.bags.bag_options import BagProgress, within
from act_inference_ros.evaluation.bags.recording import Recording, Role
from act_inference_ros.evaluation.comparison.truth import COMMANDS, Truth
from act_inference_ros.evaluation.comparison.truth_comparison import TRUTH_LAG_S
from act_inference_ros.evaluation.comparison.who_commanded import (
    HOLD,
    NOBODY,
    OPERATOR,
    POLICY,
    START_POSE,
    UNKNOWN,
    Shares,
    WhoCommanded,
    shares_text,
)
from act_inference_ros.evaluation.conversion.dataset_writer import DatasetWriter
from act_inference_ros.evaluation.conversion.recorded_spec import why_unusable
from act_inference_ros.evaluation.conversion.resampling import Gap, Resampler, Taken
from act_inference_ros.evaluation.conversion.stretches import Frame, Stretches
from act_inference_ros.observation.binding import bind_inputs
from act_inference_ros.observation.refusal import ObservationRefused, Reason, Refusal
from act_inference_ros.robot.configuration import RobotConfiguration
from act_inference_ros.spec import PolicySpec

_REFUSALS_SHOWN = 5
_LEFT_OUT = {
    START_POSE: "the node moved the arm to the start pose",
    HOLD: "nobody commanded, and the node may still have been bringing the arm to rest",
    NOBODY: "nobody commanded",
    UNKNOWN: "who commanded is not known, the node's status was not recorded then",
}


@dataclass(frozen=True)
class Marking:
    """Who commanded: `topics` has the status topic of each bag; an empty one means the operator.

    `marked`: the data set stores the commander of each frame. `only` keeps only the frames of the operator, or of the
    policy; empty keeps both.
    """

    topics: Mapping[Path, str] = field(default_factory=dict)
    marked: bool = False
    only: str = ""


@dataclass(frozen=True)
class BagReport:
    """The conversion of a bag: its episodes and frames, the cuts and their reasons, and further notes.

    `duration_s` is the bag's duration; `episodes` has its episodes' numbers in the data set, and who commanded each.
    `problems` says which parts of the bag cannot be read or used.
    """

    name: str
    duration_s: float
    episodes: Mapping[int, str]
    frames: int
    cuts: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def convert_bags(
    bags: Sequence[Path],
    configuration: RobotConfiguration,
    spec: PolicySpec,
    fps: int,
    writer: DatasetWriter,
    marking: Marking,
    progress: Callable[[BagProgress], None],
    check: Callable[[], None],
) -> list[BagReport]:
    """Write the frames of every bag, and return a report for each; the caller must finish the writer.

    `spec` says what is read (`recorded_spec`). `progress` is called a few times a second, `check` at every message;
    `check` may raise to stop. Raises ConfigurationError if parameters and spec do not fit, or images cannot be encoded.
    """
    reports = []
    for index, path in enumerate(bags):
        begun = BagProgress(index, len(bags), path.name, 0.0, 0.0)
        with Bag(path) as bag:
            conversion = _BagConversion(bag, configuration, spec, fps, writer, marking)
            reports.append(conversion.run(within(progress, begun), check))
    return reports


class _BagConversion:
    """One bag."""

    def __init__(
        self,
        bag: Bag,
        configuration: RobotConfiguration,
        spec: PolicySpec,
        fps: int,
        writer: DatasetWriter,
        marking: Marking,
    ) -> None:
        self._bag = bag
        self._configuration = configuration
        self._found = recording.examine(bag, configuration, spec, COMMANDS)
        self._inputs = bind_inputs(configuration, spec)
        self._inputs.configure(
            configuration.max_age, configuration.max_skew, configuration.max_still, configuration.hold_if_stuck
        )
        self._only = marking.only
        self._status_topic = marking.topics.get(bag.path, "")
        self._who = WhoCommanded(configuration) if self._status_topic else None
        self._shares = Shares(self._who, bag.start_s) if self._who is not None else None
        self._truth = Truth(configuration, self._found.sources, self._who)
        self._resampler = Resampler(self._inputs, fps, self._rate_of_news())
        self._stretches = Stretches(writer, fps, bag.start_s)
        self._waiting: deque[Taken | Gap] = deque()
        self._refused: Counter[str] = Counter()
        self._examples: dict[str, str] = {}
        self._last_s = bag.start_s

    def run(self, report: Callable[[float, float], None], check: Callable[[], None]) -> BagReport:
        found = self._found
        unusable = why_unusable(found)
        if not unusable:
            self._replay(report, check)
        self._note_silence(found)
        self._note_commanders(found)
        stretches = self._stretches
        refused = [f"{what} ({count} times): {self._examples[what]}" for what, count in self._refused.most_common()]
        problems = [*self._bag.problems, *unusable, *refused[:_REFUSALS_SHOWN]]
        if not unusable and not stretches.frames and not stretches.cuts:
            problems.append(f"no observation could be taken: {self._inputs.fresh(self._last_s) or 'too few messages'}")
        duration_s = self._bag.end_s - self._bag.start_s
        return BagReport(
            self._bag.path.name,
            duration_s,
            stretches.episodes,
            stretches.frames,
            tuple(stretches.cuts),
            tuple(dict.fromkeys(problems)),
            tuple(found.notes),
        )

    def _rate_of_news(self) -> float:
        """Return the rate of the fastest camera (without cameras: of the states), 1/s; 0 if unknown."""
        topics = [camera.topic for camera in self._configuration.cameras] or self._configuration.state_topics
        duration_s = self._bag.end_s - self._bag.start_s
        return max(self._bag.counts[topic] for topic in topics) / duration_s if duration_s > 0.0 else 0.0

    def _replay(self, report: Callable[[float, float], None], check: Callable[[], None]) -> None:
        bag = self._bag
        handlers = {topic: [self._handler(role) for role in roles] for topic, roles in self._found.roles.items()}
        if self._who is not None:
            handlers.setdefault(self._status_topic, []).append(self._who.add_status)
        started = reported = time.monotonic()
        for topic, received, message in bag.messages(handlers):
            check()
            if received < self._last_s - self._configuration.max_age:
                self._restart(f"the bag's clock was set back by {self._last_s - received:.3f} s", received)
            elif received < self._last_s:
                received = self._last_s
            self._last_s = received
            self._waiting.extend(self._resampler.advance_to(received))
            for handle in handlers[topic]:
                handle(message, received)
            self._resampler.look(received)
            self._settle(received - TRUTH_LAG_S)
            wall = time.monotonic()
            if wall > reported + PROGRESS_PERIOD_S:
                reported, done = wall, received - bag.start_s
                report(done / max(bag.end_s - bag.start_s, done, 1e-9), done / (wall - started))
        if bag.problems:
            self._truth.end_with_newest()
        self._settle(np.inf)
        self._stretches.finish()

    def _handler(self, role: Role) -> Callable[[Any, float], None]:
        if role.kind == recording.COMMAND:
            add = functools.partial(self._truth.add_command, role.name)
            return functools.partial(self._guarded, add, role.text)

        def on_state(message: Any, received: float) -> None:
            self._note(self._inputs.add_state(message, received, role.topic))
            self._guarded(self._truth.add_state, role.text, message, received)

        def on_image(message: Any, received: float) -> None:
            self._note(self._inputs.add_image(role.name, message, received))

        def on_environment_state(message: Any, received: float) -> None:
            self._note(self._inputs.add_environment_state(message, received))

        handle = {
            recording.STATE_INPUT: on_state,
            recording.CAMERA: on_image,
            recording.ENVIRONMENT_STATE: on_environment_state,
        }[role.kind]
        return lambda message, received: None if message is None else handle(message, received)

    def _guarded(self, add: Callable[[Any, float], None], what: str, message: Any, received: float) -> None:
        try:
            add(message, received)
        except ObservationError as error:
            self._count(f"{Reason.INVALID.value}: {what}", str(error))

    def _note(self, refusal: Refusal | None) -> None:
        if refusal is not None:
            self._count(refusal.label, refusal.detail)

    def _count(self, what: str, example: str) -> None:
        self._refused[what] += 1
        self._examples.setdefault(what, example)

    def _settle(self, until: float) -> None:
        """Pass on the frames so old that every command for them has come."""
        if self._shares is not None:
            self._shares.advance(min(until, self._last_s))
        while self._waiting and self._waiting[0].time_s <= until:
            item = self._waiting.popleft()
            if isinstance(item, Gap):
                self._stretches.cut(item.time_s, item.reason)
            else:
                self._add(item)
            self._truth.forget_before(item.time_s)

    def _add(self, taken: Taken) -> None:
        who = OPERATOR if self._who is None else str(self._who.at(np.array([taken.time_s]))[0])
        if who in _LEFT_OUT or self._only not in ("", who):
            self._stretches.cut(taken.time_s, _LEFT_OUT.get(who, f"the {who} commanded, kept is only the {self._only}"))
            return
        command = self._truth.at([taken.time_s])
        if not np.isfinite(command).all():
            unknown = [
                name for name, known in zip(self._configuration.action.names, command[0], strict=True) if known != known
            ]
            self._stretches.cut(taken.time_s, f"no command is known for {', '.join(unknown)}")
            return
        try:
            observation = self._inputs.decode(taken.selection)
        except ObservationRefused as refused:
            self._stretches.cut(taken.time_s, str(refused.refusal))
            return
        pixels = {key: value for key, value in observation.items() if not isinstance(value, bytes)}
        self._stretches.add(Frame(taken.time_s, pixels, self._configuration.action.to_actions(command)[0], who))

    def _restart(self, reason: str, now: float) -> None:
        """Start again after the bag's clock was set back: earlier data does not belong to the new time."""
        self._settle(np.inf)
        self._stretches.cut(self._last_s, reason)
        self._resampler.restart()
        self._inputs.clear()
        self._truth.clear()
        if self._shares is not None:
            self._shares.restart(now)

    def _note_commanders(self, found: Recording) -> None:
        """Note who commanded in which episodes, so that a training can choose among them."""
        if self._shares is None:
            return
        whose: dict[str, list[int]] = {OPERATOR: [], POLICY: []}
        for number, who in self._stretches.episodes.items():
            whose[who].append(number)
        episodes = [f"episodes of the {who}: {ranges_text(numbers) or 'none'}" for who, numbers in whose.items()]
        shares = f"commanded: {shares_text(self._shares.seconds)}, as {self._status_topic} says"
        found.notes.append("; ".join([shares, *episodes]))

    def _note_silence(self, found: Recording) -> None:
        if self._who is not None:
            return  # frames that nobody commanded were left out
        for controller, newest in self._truth.newest_s.items():
            silent = self._last_s - newest
            if silent > SILENT_S:
                found.notes.append(
                    f"{controller}: no command in the last {silent:.1f} s; the last is taken as held, "
                    "so the policy would learn to stand still there"
                )


def ranges_text(numbers: Sequence[int]) -> str:
    """Return increasing whole numbers in eval_policy's form: `0,3-5`."""
    parts: list[list[int]] = []
    for number in numbers:
        if parts and number == parts[-1][-1] + 1:
            parts[-1].append(number)
        else:
            parts.append([number])
    return ",".join(f"{part[0]}-{part[-1]}" if len(part) > 1 else str(part[0]) for part in parts)
