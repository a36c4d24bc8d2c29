"""PlannedMotion: the merged plan, and the commanders that tell it to the controllers."""

from __future__ import annotations

import contextlib
import math
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from act_inference_ros.control.commander import Commander
from act_inference_ros.control.cubic import Array
from act_inference_ros.control.timeline import ActionTimeline
from act_inference_ros.execution.following import Measured, measured_together
from act_inference_ros.execution.overlap import Overlap
from act_inference_ros.interfaces import Command
from act_inference_ros.robot.configuration import RobotConfiguration
from act_inference_ros.spec import Chunk


class PlannedMotion:
    """Knows what to tell the controllers, but not whether it may: that is the supervisor's. Times are s.

    `overlap` knows whether a message may begin with what was told before.
    """

    def __init__(self, configuration: RobotConfiguration, commanders: Sequence[Commander], overlap: Overlap) -> None:
        self.commanders = tuple(commanders)
        self.overlap = overlap
        names = [controller.name for controller in configuration.controllers]
        self._commander_of = dict(zip(names, self.commanders, strict=True))
        self._forget_at_rest: set[str] = set()
        """The controllers of which everything that they were told is forgotten once they are at rest."""
        self._timeline = ActionTimeline(
            configuration.fps, configuration.merge, configuration.blend_time, configuration.ensemble_coeff
        )
        self._stays_where_measured = False
        """Whether the newest hold was to stay where the joints were measured."""
        self.configure(configuration)

    def configure(self, configuration: RobotConfiguration) -> None:
        """Take new live parameters; the plan and what was told go on."""
        self._action = configuration.action
        self._fps = configuration.fps
        self._timeline.configure(configuration.merge, configuration.blend_time, configuration.ensemble_coeff)
        self.overlap.configure(configuration)
        self._lead_s = max((each.lead_s for each in configuration.controllers if not each.interface.streams), default=0)
        for controller, commander in zip(configuration.controllers, self.commanders, strict=True):
            commander.configure(configuration.action.joints, controller.lead_s, configuration.command_rate)

    @property
    def newest(self) -> float:
        """The time of the plan's newest observation; minus infinity without a plan."""
        newest = self._timeline.newest
        return -math.inf if newest is None else newest

    @property
    def plan_end(self) -> float:
        """When the plan ends; minus infinity without one."""
        return self.newest + self._timeline.duration

    @property
    def clamped(self) -> int:
        """Values of the plan beyond a limit of position since configure."""
        return sum(commander.clamped for commander in self.commanders)

    @property
    def beyond(self) -> dict[str, float]:
        """Joint -> how far the newest plan goes beyond a limit of position, ROS units; those within are left out."""
        return {name: distance for commander in self.commanders for name, distance in commander.beyond.items()}

    def targets(self, times: Array) -> Array:
        """The merged plan at `times` (n,), before any limit: (n, joints), ROS units, nan where there is none."""
        if not len(self._timeline):
            return np.full((len(times), len(self._action)), np.nan)
        return self._action.to_ros(self._timeline.samples(times))

    @property
    def smoothed(self) -> Counter[str]:
        """Joint -> how often its plan could not be kept within velocity and acceleration, and was smoothed."""
        return sum((commander.smoothed for commander in self.commanders), Counter())

    @property
    def bridged(self) -> Counter[str]:
        """Joint -> how often it was too far from its plan, and was led there first."""
        return sum((commander.bridged for commander in self.commanders), Counter())

    def told(self, now: float) -> dict[str, float]:
        """Joint -> where it is told to be now, ROS units; joints of controllers that were told nothing are left out."""
        return {name: at for commander in self.commanders for name, at in commander.told(now).items()}

    def joints_without(self, measured: Mapping[str, float]) -> list[str]:
        """The commanded joints that are not among those that were `measured`."""
        return [name for commander in self.commanders for name in commander.joint_names if name not in measured]

    def add(self, chunk: Chunk, t_obs: float, now: float, here: Mapping[str, float]) -> None:
        """Merge a chunk into the plan, continuous joints on the turn that is nearest to `here` (joint -> position).

        The fade to the chunk begins when its message takes effect, so that every controller executes the whole fade.
        """
        row = min(len(chunk) - 1, max(0, round((now - t_obs) * self._fps)))
        self._timeline.add(self._action.on_nearest_turn(chunk, row, here), t_obs, now + self._lead_s)

    def begin(self, now: float, here: Mapping[str, Measured], was_free: bool = False) -> None:
        """Let every controller's next motion start from where it is to start; see `Commander.begin`.

        Where a controller says where it wants its joints, that counts more than where they are measured. A joint that
        is no longer measured starts where it was told to be.
        """
        self._forget_those_at_rest(now)
        self._forget_at_rest.clear()
        for name, commander in self._commander_of.items():
            self.overlap.begins(name, now)
            wanted = self.overlap.place(name, now)
            known = measured_together(commander.joint_names, here)
            measured_at = min((each.time for each in known.values()), default=None)
            places = known if commander.known else here
            measured = {joint: each.position for joint, each in places.items()}
            is_free = was_free and now >= self._rests_from(name)  # nobody else moves an arm that still brakes
            commander.begin(now, {**measured, **wanted}, is_free, None if wanted else measured_at)

    def follow(self, now: float, until: float, here: Mapping[str, Measured]) -> None:
        """Tell every controller the plan, so that all joints are at rest by `until`, s."""
        for commander in self.commanders:
            commander.bound_lost(self._timeline, now)
        self.follow_timeline(self._timeline, now, until, here)

    def follow_timeline(self, timeline: ActionTimeline, now: float, until: float, here: Mapping[str, Measured]) -> None:
        """Tell another plan than the policy's; `here` has where joints were measured."""
        for name in self._commander_of:
            self._follow(name, timeline, now, until, here)

    def _follow(
        self, name: str, timeline: ActionTimeline, now: float, until: float, here: Mapping[str, Measured]
    ) -> None:
        commander = self._commander_of[name]
        overlap = self.overlap.allows(name, commander, now, here).overlap
        commander.follow(timeline, now, until, overlap)

    @property
    def rests_from(self) -> float:
        """When all controllers that were told something have come to rest; minus infinity if none was."""
        return max(map(self._rests_from, self._commander_of), default=-math.inf)

    def _rests_from(self, controller: str) -> float:
        motion = self._commander_of[controller].motion
        return -math.inf if motion is None else motion.rests_from

    def tick(self, now: float) -> None:
        """Give the controllers that stream their targets for now."""
        for commander in self.commanders:
            commander.tick(now)

    def catch_up(
        self, now: float, until: float, here: Mapping[str, Measured], plan: ActionTimeline | None = None
    ) -> None:
        """Tell the plan again to the controllers that are behind; it is the policy's, or another `plan`."""
        for name, commander in self._commander_of.items():
            if commander.behind:
                self._follow(name, self._timeline if plan is None else plan, now, until, here)

    def finish(self, now: float, here: Mapping[str, Measured]) -> None:
        """Give the controllers that stream their targets for now, until they have been told to be at rest.

        A controller whose hold was taken back is told to hold again.
        """
        for name, commander in self._commander_of.items():
            if commander.behind and not commander.streams:
                self._hold(name, now, here)
            commander.finish(now)
        self._forget_those_at_rest(now)

    @property
    def unfinished(self) -> bool:
        """`finish` has still something to send."""
        return any(commander.unfinished for commander in self.commanders)

    def hold(self, now: float, here: Mapping[str, Measured]) -> None:
        """Tell every controller to come to rest, on from what it has been told, and to stay there."""
        self._stays_where_measured = False
        for name in self._commander_of:
            self._hold(name, now, here)

    def hold_at(self, now: float, here: Mapping[str, Measured]) -> None:
        """Tell every controller to stay where its joints are measured; see `Commander.hold_at`."""
        self._stays_where_measured = True
        for name in self._commander_of:
            self._hold(name, now, here)

    def _hold(self, name: str, now: float, here: Mapping[str, Measured]) -> None:
        commander = self._commander_of[name]
        start = self.overlap.allows(name, commander, now, here)
        if self._stays_where_measured:
            known = measured_together(commander.joint_names, here)
            commander.hold_at(now, {joint: each.position for joint, each in known.items()}, start.overlap)
        else:
            commander.hold(now, in_any_case=start.anew, overlap=start.overlap)

    def take_back(self, controller: str, command: Command) -> bool:
        """Note that a controller's `command` and those after it were never published; see `Commander.take_back`."""
        return self._commander_of[controller].take_back(command)

    def hold_whatever_happens(self, now: float, here: Mapping[str, Measured]) -> None:
        """Tell every controller that can be told, although something unforeseen has happened. Never raises."""
        for name, commander in self._commander_of.items():
            with contextlib.suppress(Exception):  # the first error is on its way already
                commander.hold(now, in_any_case=True, overlap=self._overlap_if_it_can_be_judged(name, now, here))

    def _overlap_if_it_can_be_judged(self, name: str, now: float, here: Mapping[str, Measured]) -> bool:
        """Whether the next message may overlap; False if that fails: a hold without overlap is better than none."""
        try:
            return self.overlap.allows(name, self._commander_of[name], now, here).overlap
        except Exception:
            return False

    def clear(self) -> None:
        """Forget the plan; what was told stays known."""
        self._timeline.clear()

    def forget(self) -> None:
        """Forget the plan and what was told."""
        self._forget_at_rest.clear()
        self.clear()
        for commander in self.commanders:
            commander.forget()

    def forget_at_rest(self, now: float) -> float:
        """Forget the plan now, and what was told as soon as all joints are at rest; return the time of that rest, s.

        Whoever forgets while the arm brakes would begin the next motion at rest in the middle of it.
        """
        self.clear()
        return max(now, *(self.forget_told_at_rest(name, now) for name in self._commander_of))

    def forget_told_at_rest(self, controller: str, now: float) -> float:
        """Forget what one controller was told, as soon as it is at rest; return the time of that rest, s.

        The plan and the other controllers go on. The time is minus infinity if nothing is known.
        """
        rests_from = self._rests_from(controller)
        self._forget_at_rest.add(controller)
        self._forget_those_at_rest(now)
        return rests_from

    def _forget_those_at_rest(self, now: float) -> None:
        for name in tuple(self._forget_at_rest):
            commander = self._commander_of[name]
            if now >= self._rests_from(name) and not commander.unfinished:
                commander.forget()
                self._forget_at_rest.discard(name)

    def restart_clock(self, before: float, now: float) -> None:
        """The clock was `before` and is `now`: forget the plan; what was told for then is told for now."""
        self.clear()
        for commander in self.commanders:
            commander.restart_clock(before, now)
