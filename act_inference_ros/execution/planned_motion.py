"""PlannedMotion: the merged plan, and the commanders that tell it to the controllers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from act_inference_ros.control.commander import Commander
from act_inference_ros.control.cubic import Array
from act_inference_ros.control.timeline import ActionTimeline
from act_inference_ros.robot.configuration import RobotConfiguration
from act_inference_ros.spec import Chunk


class PlannedMotion:
    """Knows what to tell the controllers, but not whether it may: that is the supervisor's. Times are s."""

    def __init__(self, configuration: RobotConfiguration, commanders: Sequence[Commander]) -> None:
        self.commanders = tuple(commanders)
        names = [controller.name for controller in configuration.controllers]
        self._commander_of = dict(zip(names, self.commanders, strict=True))
        self._timeline = ActionTimeline(
            configuration.fps, configuration.merge, configuration.blend_time, configuration.ensemble_coeff
        )
        self.configure(configuration)

    def configure(self, configuration: RobotConfiguration) -> None:
        """Take new live parameters; the plan and what was told go on."""
        self._action = configuration.action
        self._fps = configuration.fps
        self._timeline.configure(configuration.merge, configuration.blend_time, configuration.ensemble_coeff)
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
        """Targets changed by a limit since configure."""
        return sum(commander.clamped for commander in self.commanders)

    def target(self, time: float) -> Array:
        """The merged plan at `time`, before any limit: (joints of the action,), ROS units, nan where there is none."""
        action = self._timeline.sample(time)
        return np.full(len(self._action), np.nan) if action is None else self._action.to_ros(action)

    def told(self, now: float) -> dict[str, float]:
        """Joint -> where it is told to be now, ROS units; joints of controllers that were told nothing are left out."""
        return {name: at for commander in self.commanders for name, at in commander.told(now).items()}

    def joints_without(self, measured: Mapping[str, float]) -> list[str]:
        """The commanded joints that are not among those that were `measured`."""
        return [name for commander in self.commanders for name in commander.joint_names if name not in measured]

    def add(self, chunk: Chunk, t_obs: float, now: float, here: Mapping[str, float]) -> None:
        """Merge a chunk into the plan, continuous joints on the turn that is nearest to `here` (joint -> position)."""
        row = min(len(chunk) - 1, max(0, round((now - t_obs) * self._fps)))
        self._timeline.add(self._action.on_nearest_turn(chunk, row, here), t_obs, now)

    def begin(self, now: float, measured: Mapping[str, float], was_free: bool = False) -> None:
        """Let every controller's next motion start from where it is to start; see `Commander.begin`."""
        for commander in self.commanders:
            commander.begin(now, measured, was_free)

    def follow(self, now: float, until: float, streams: bool = True, trajectories: bool = True) -> None:
        """Tell the plan to the controllers of these kinds, nothing that would still move after `until`."""
        self.follow_timeline(self._timeline, now, until, streams, trajectories)

    def follow_timeline(
        self, timeline: ActionTimeline, now: float, until: float, streams: bool = True, trajectories: bool = True
    ) -> None:
        """Tell another plan than the policy's."""
        for commander in self.commanders:
            if streams if commander.streams else trajectories:
                commander.follow(timeline, now, until)

    def hold(self, now: float) -> None:
        """Tell every controller to stay where it has been told to be by now."""
        for commander in self.commanders:
            commander.hold(now)

    def hold_at(self, now: float, measured: Mapping[str, float]) -> None:
        """Tell every controller to stay where its joints are measured; see `Commander.hold_at`."""
        for commander in self.commanders:
            commander.hold_at(now, measured)

    def hold_whatever_happens(self, now: float) -> None:
        """Tell every controller that can be told, although something unforeseen has happened. Never raises."""
        for commander in self.commanders:
            try:
                commander.hold(now, in_any_case=True)
            except Exception:  # noqa: S112  # the first error is on its way already; the others must still be told
                continue

    def clear(self) -> None:
        """Forget the plan; what was told stays known."""
        self._timeline.clear()

    def forget(self) -> None:
        """Forget the plan and what was told."""
        self.clear()
        for commander in self.commanders:
            commander.forget()

    def forget_told(self, controller: str) -> None:
        """Forget what one controller was told; the plan and the other controllers go on."""
        self._commander_of[controller].forget()

    def restart_clock(self, before: float, now: float) -> None:
        """The clock was `before` and is `now`: forget the plan; what was told for then is told for now."""
        self.clear()
        for commander in self.commanders:
            commander.restart_clock(before, now)
