"""Episodes: repeated attempts to lift the cube, with requests to the policy node in between."""

from __future__ import annotations

import time
from collections.abc import Callable

from rclpy.node import Node

from act_inference_ros.errors import ActInferenceError
from act_inference_ros.execution.states import State
from act_inference_ros.ros.sim.command_topics import CommandTopics
from act_inference_ros.ros.sim.policy_services import PolicyServices
from act_inference_ros.ros.sim.settings import SimSettings
from act_inference_ros.simulation.episode_rules import (
    SETTLE_S,
    STALE_MARGIN_S,
    Blockade,
    EpisodeClock,
    Outcome,
    Phase,
)
from act_inference_ros.simulation.scene import DemoArm
from act_inference_ros.simulation.tick_clock import TickClock

_NANOSECONDS = 1_000_000_000


class Episodes:
    """Begins, judges and ends episodes; for the simulation's thread.

    Before the arm is put home the policy node is asked to pause, and afterwards to forget its plan and to resume; a
    pause that another party requested stays. `on_outcome` is called when an episode is over.
    """

    def __init__(
        self,
        node: Node,
        settings: SimSettings,
        arm: DemoArm,
        clock: TickClock,
        commands: CommandTopics,
        on_outcome: Callable[[Outcome], None],
    ) -> None:
        self.outcomes: list[Outcome] = []
        self._settings = settings
        self._arm = arm
        self._clock = clock
        self._commands = commands
        self._on_outcome = on_outcome
        self._policy_node = node.resolve_topic_name(settings.policy_node) if settings.policy_node else ""
        self._policy = PolicyServices(node, self._policy_node)
        self._logger = node.get_logger()
        self._episode = EpisodeClock(settings.episode_time_s)
        self._blockade = Blockade(settings.block_after_s, settings.block_for_s)
        self._refused_before = self._stops = 0
        self._stop_seen: str | None = None  # since when the reported stop lasts; None: there is none
        self._stop_cleared: str | None = None
        self._was_blocked = False  # in this episode, and no stop has been cleared since
        self._going_on = False  # whether the policy is to resume once the arm is home
        self._phase = Phase.WAITING
        self._enter(Phase.WAITING)

    @property
    def are_over(self) -> bool:
        """Whether all episodes are over, and the policy node has forgotten the last plan and has its earlier state."""
        return self._all_done and self._phase is Phase.WAITING and self._policy.answered()

    @property
    def successes(self) -> int:
        """Episodes in which the cube was lifted."""
        return sum(outcome.success for outcome in self.outcomes)

    def start_over(self) -> None:
        """Put the arm home and the cube at its next place, once the policy pauses."""
        status = self._policy.status
        if self._phase in (Phase.WAITING, Phase.RUNNING):
            self._going_on = status is None or not status.is_halted_by_somebody
        self._policy.ask("pause")
        self._enter(Phase.PAUSING)

    @property
    def is_arm_home(self) -> bool:
        """Whether the arm has been put home since `start_over`."""
        return self._phase is not Phase.PAUSING

    def advance(self, now_s: float, accepted: int) -> None:
        """Continue, after a control step in which `accepted` commands were accepted.

        Raises ActInferenceError if no command comes for too long.
        """
        answered = self._policy.answered()
        if self._phase is Phase.PAUSING and answered:
            self._arm.reset()
            self._commands.close(self._arm.positions)
            self._enter(Phase.SETTLING)
        if self._phase is Phase.SETTLING and now_s - self._since_s >= SETTLE_S:
            self._policy.ask("reset")
            self._enter(Phase.FORGETTING)
        if self._phase is Phase.FORGETTING and self._policy.answered():
            self._let_go_on()
        runs = self._phase is Phase.RUNNING
        self._arm.blocked = self._blockade.holds(self._episode.elapsed_s(now_s) if runs else None)
        self._was_blocked |= self._arm.blocked
        self._look_after_stops()
        if not self._settings.episodes or self._all_done:
            return
        if self._phase is Phase.WAITING:
            self._wait_for_command(now_s, accepted)
        elif self._phase is Phase.RUNNING:
            verdict = self._episode.verdict(now_s, self._arm.cube_lifted)
            if verdict is not None:
                self._finish(*verdict)

    @property
    def _all_done(self) -> bool:
        return 0 < self._settings.episodes <= len(self.outcomes)

    def _let_go_on(self) -> None:
        paused = self._policy.accepted("pause")
        margin_s = 0.0 if paused else STALE_MARGIN_S
        # Before the policy resumes, so that its first command is not missed.
        self._commands.open(self._clock.now_ns + round(margin_s * _NANOSECONDS))
        if paused and self._going_on:
            self._policy.ask("resume")
        self._enter(Phase.WAITING)

    def _wait_for_command(self, now_s: float, accepted: int) -> None:
        status = self._policy.status
        if accepted:
            self._episode.start(now_s)
            self._refused_before, self._stops, self._was_blocked = self._commands.refused_count, 0, False
            self._enter(Phase.RUNNING)
        elif status is not None and status.is_halted_by_somebody:
            self._wall_since_s = time.monotonic()
        elif time.monotonic() - self._wall_since_s > self._settings.first_command_timeout_s:
            says = "" if status is None else f" {self._policy_node} says: {status.text}"
            raise ActInferenceError(
                f"no command came on {', '.join(self._commands.topics)} for "
                f"{self._settings.first_command_timeout_s:g} s ({self._commands.refused_count} refused, "
                f"{self._commands.stale_count} from before the reset); "
                f"is policy_node running and active, and does it use the same ROS_DOMAIN_ID and interface?{says}"
            )

    def _look_after_stops(self) -> None:
        """Report that the policy node has stopped; resume it when the arm, which did not follow, can follow again."""
        status = self._policy.status
        if status is None or status.state != State.STOPPED.value:
            self._stop_seen = None
            return
        if status.since != self._stop_seen:
            self._stop_seen = status.since
            self._stops += 1
            print(f"{self._policy_node} {status.text}", flush=True)
        # If this robot did not block the arm itself, the cause is over when the arm is home again.
        is_over = self._phase is Phase.WAITING or (
            self._phase is Phase.RUNNING and self._was_blocked and not self._arm.blocked
        )
        if not self._settings.clear_stops or not status.does_not_follow or status.since == self._stop_cleared:
            return
        if is_over and self._policy.answered():
            self._stop_cleared, self._was_blocked = status.since, False
            self._policy.ask("clear_stop", "resume")
            print("the arm is free: the stop is cleared, and the policy goes on", flush=True)

    def _finish(self, success: bool, duration_s: float) -> None:
        refused = self._commands.refused_count - self._refused_before
        outcome = Outcome(len(self.outcomes) + 1, success, duration_s, refused, self._stops, self._clock.now_ns)
        self.outcomes.append(outcome)
        self._on_outcome(outcome)
        print(outcome.line(self._settings.episodes), flush=True)
        self.start_over()

    def _enter(self, phase: Phase) -> None:
        self._phase = phase
        self._since_s = self._clock.now_s
        self._wall_since_s = time.monotonic()
