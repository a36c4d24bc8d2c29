"""The content of /diagnostics: one status, built from the supervisor, the inputs and the statistics."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue

from act_inference_ros.execution.overlap import Overlap
from act_inference_ros.execution.pipeline import Pipeline
from act_inference_ros.execution.reasons import PERMISSIONS, STARTING
from act_inference_ros.execution.states import WHO_COMMANDS, Standing, State
from act_inference_ros.execution.supervisor import Supervisor
from act_inference_ros.inference.client import InferenceClient
from act_inference_ros.inference.local.options import chosen_checkpoint
from act_inference_ros.joints import Joint
from act_inference_ros.observation.inputs import ObservationInputs
from act_inference_ros.robot.configuration import RobotConfiguration
from act_inference_ros.ros.policy.configuring import REASON
from act_inference_ros.ros.policy.status import CLOCKS, HARDWARE_ID, LEVELS, status_name
from act_inference_ros.spec import shown_id

FIRST_S = 1.0
"""Assumed time span of the counts in a first report."""
FAR_SHARE = 0.05
"""A plan that exceeds a joint's limit by more than this share of the joint's range is worth a warning."""
FAR = 0.05
"""The same bound for a joint with only one limit, ROS units."""


class DiagnosticReport:
    """Makes the status message of the node with that full name.

    Remembers the counts of the last report, to compute rates and to find new events.
    """

    def __init__(self, name: str, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._name = status_name(name, "policy")
        self._monotonic = monotonic
        self._pipeline: Pipeline | None = None
        self._since = 0.0
        self._chunks = 0
        self._refused = 0
        self._failures = 0
        self._failed_at = 0.0

    def idle(
        self, stamp: Time, state: str, failure: Exception | None, policy: Mapping[str, str] = MappingProxyType({})
    ) -> DiagnosticArray:
        """Report an inactive node; `failure` is why it could not be configured, `policy` describes its policy."""
        values = {"state": state, **policy}
        if failure is not None:
            return self._message(stamp, DiagnosticStatus.ERROR, f"{state}: {failure}", values)
        return self._message(stamp, DiagnosticStatus.OK, f"{state}: not commanding", values)

    def configuring(self, stamp: Time, awaited: str) -> DiagnosticArray:
        """Report a node that is being configured, and what it waits for."""
        return self._message(stamp, DiagnosticStatus.WARN, f"{REASON}: {awaited}", {"state": REASON})

    def active(
        self,
        stamp: Time,
        configuration: RobotConfiguration,
        client: InferenceClient,
        standing: Standing,
        pipeline: Pipeline,
        inputs: ObservationInputs,
        findings: Mapping[str, list[str]],
        states: Mapping[str, str],
        outcomes: Mapping[str, str | None],
        now: float,
    ) -> DiagnosticArray:
        """Report an active node in the state `standing`; call with the session's lock held.

        `findings` maps each controller that was asked for its parameters to those that do not fit. `states` says which
        states of controllers could not be read. `outcomes` maps each controller to the result of the last command, None
        if the controller reports none.
        """
        supervisor, statistics = pipeline.supervisor, pipeline.statistics
        refused, failures = sum(inputs.refused.values()), sum(statistics.failures.values())
        elapsed_s = self._begin(pipeline)
        if failures > self._failures:
            self._failed_at = self._monotonic()
        values: dict[str, Any] = {
            "state": supervisor.state.value,
            "commanding": supervisor.state is State.COMMANDING,
            WHO_COMMANDS: supervisor.who_commands,
            "holding because": standing.reason,
            "detail": standing.detail,
            **policy_values(configuration, client),
            **client.facts,
            "chunk rate [1/s]": f"{(statistics.chunks - self._chunks) / elapsed_s:.2f}",
            "chunks": statistics.chunks,
            "chunks dropped": statistics.dropped,
            "inference time p50 [ms]": f"{statistics.inference_ms(50):.1f}",
            "inference time p95 [ms]": f"{statistics.inference_ms(95):.1f}",
            "observation age p50 [ms]": f"{statistics.observation_age_ms(50):.1f}",
            "observation age p95 [ms]": f"{statistics.observation_age_ms(95):.1f}",
            "timeline horizon [s]": f"{supervisor.horizon(now):.2f}",
            "plan followed for at most [s]": f"{supervisor.max_plan_age:.2f}",
            "plan beyond position limits": supervisor.clamped,
            "plan smoothed": _counted(supervisor.smoothed),
            "plan bridged": _counted(supervisor.bridged),
            "commands not published, too late": _counted(supervisor.published_late),
            "reconnects": client.reconnects,
            "refused observations": refused,
            "last inference error": self._last_error(statistics.last_error),
        }
        limits = {joint.name: joint.max_deviation for joint in configuration.action.joints}
        values |= {
            f"deviation of {name}": f"{deviation:.4f} (limit {limits[name]:g})"
            for name, deviation in supervisor.following.deviations.items()
        }
        values |= {f"controller {name}": "; ".join(found) or "its parameters fit" for name, found in findings.items()}
        values |= states
        for controller in configuration.controllers:
            if not controller.interface.streams:
                values |= _told(controller.name, supervisor.overlap, now)
        values |= {f"goal of {name}": outcome for name, outcome in outcomes.items() if outcome is not None}
        values |= {f"age of {name} [s]": _age(age) for name, age in inputs.ages(now).items()}
        values |= {f"same picture for [s]: {name}": f"{lasted:.1f}" for name, lasted in inputs.stuck.items()}
        values |= {f"refused: {reason}": count for reason, count in sorted(inputs.refused.items())}
        values |= {f"inference failed: {name}": count for name, count in sorted(statistics.failures.items())}
        values |= {f"held: {reason}": count for reason, count in sorted(supervisor.holds.items())}
        level, message = self._verdict(standing, supervisor, refused, list(inputs.stuck), configuration.action.joints)
        self._chunks, self._refused, self._failures = statistics.chunks, refused, failures
        return self._message(stamp, level, message, values)

    def _begin(self, pipeline: Pipeline) -> float:
        """Return how long ago the last report was, s; for a new pipeline all counts begin at zero."""
        now = self._monotonic()
        if pipeline is not self._pipeline:
            self._pipeline, self._since = pipeline, now - FIRST_S
            self._chunks = self._refused = self._failures = 0
        elapsed_s, self._since = max(now - self._since, 1e-3), now
        return elapsed_s

    def _last_error(self, text: str) -> str:
        return f"{text} ({self._monotonic() - self._failed_at:.0f} s ago)" if text else ""

    def _verdict(
        self, standing: Standing, supervisor: Supervisor, refused: int, stuck: list[str], joints: Sequence[Joint]
    ) -> tuple[bytes, str]:
        if standing.reason in CLOCKS:
            return DiagnosticStatus.ERROR, standing.text
        if standing.state is not State.COMMANDING:
            # Waiting is no fault, unless it is for an input or an inference.
            fault = standing.state is State.WAITING and standing.reason not in (*STARTING, *PERMISSIONS)
            return DiagnosticStatus.ERROR if fault else LEVELS[standing.state], standing.text
        if stuck:
            return DiagnosticStatus.WARN, f"commanding; the same picture again and again: {', '.join(stuck)}"
        if refused > self._refused:
            return (
                DiagnosticStatus.WARN,
                f"commanding; {refused - self._refused} observations refused since the last report",
            )
        far = [joint.name for joint in joints if _is_far(joint, supervisor.beyond.get(joint.name, 0.0))]
        if far:
            return DiagnosticStatus.WARN, f"commanding; the plan goes far beyond the limits of {', '.join(far)}"
        return DiagnosticStatus.OK, "commanding"

    def _message(self, stamp: Time, level: bytes, message: str, values: Mapping[str, Any]) -> DiagnosticArray:
        status = DiagnosticStatus(level=level, name=self._name, message=message, hardware_id=HARDWARE_ID)
        status.values = [KeyValue(key=key, value=str(value)) for key, value in values.items()]
        array = DiagnosticArray(status=[status])
        array.header.stamp = stamp
        return array


def policy_values(configuration: RobotConfiguration, client: InferenceClient) -> dict[str, str]:
    """Return which policy is in use, and where it comes from."""
    return {
        "mode": configuration.mode or "from the environment",
        "checkpoint": chosen_checkpoint(configuration.checkpoint),
        "server": client.source,
        "policy_id": shown_id(client.policy_id),
        "model version": client.model_version,
        "real-time priority": str(configuration.thread_priority or "none"),
    }


def _is_far(joint: Joint, beyond: float) -> bool:
    """Whether a plan goes so far beyond a joint's limit that the user should know.

    A little is usual: demonstrations reach the limits, and a gripper's target is often beyond closed, so that it grips.
    """
    if not joint.smooth:
        return False
    if joint.minimum is None or joint.maximum is None:
        return beyond > FAR
    return beyond > FAR_SHARE * (joint.maximum - joint.minimum)


def _told(name: str, overlap: Overlap, now: float) -> dict[str, str]:
    """Return a trajectory controller's entries: do its messages overlap, or why not; its speed; restarted motions."""
    forbids, speed = overlap.forbids(name, now), overlap.speed(name, now)
    anew = f"{overlap.anew[name]}, the last because {overlap.why_anew[name]}" if overlap.anew[name] else "0"
    return {
        f"messages of {name} overlap": "yes" if forbids is None else f"no: {forbids}",
        f"speed scaling of {name}": "not known" if speed is None else f"{speed:.0%}",
        f"motion of {name} started anew": anew,
    }


def _counted(counts: Mapping[str, int]) -> str:
    """Return counts as text, such as `pan 3, lift 1`; empty if there are none."""
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))


def _age(age: float | None) -> str:
    return "never arrived" if age is None else f"{age:.3f}"
