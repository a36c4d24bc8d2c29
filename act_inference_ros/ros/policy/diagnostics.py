"""What /diagnostics says: one status, built from the supervisor, the inputs and the statistics."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue

from act_inference_ros.execution.overlap import Overlap
from act_inference_ros.execution.pipeline import Pipeline
from act_inference_ros.execution.reasons import PERMISSIONS, STARTING
from act_inference_ros.execution.states import State
from act_inference_ros.execution.supervisor import Supervisor
from act_inference_ros.inference.client import InferenceClient
from act_inference_ros.observation.inputs import ObservationInputs
from act_inference_ros.robot.configuration import RobotConfiguration
from act_inference_ros.ros.policy.status import LEVELS
from act_inference_ros.spec import shown_id


class DiagnosticReport:
    """Makes the status message; remembers the counts of the last report, to tell rates and what is new."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._chunks = 0
        self._clamped = 0
        self._refused = 0

    def idle(self, stamp: Time, state: str, failure: Exception | None) -> DiagnosticArray:
        """Report a node that is not active; `failure` is why it could not be configured."""
        if failure is not None:
            return self._message(stamp, DiagnosticStatus.ERROR, f"{state}: {failure}", {"state": state})
        return self._message(stamp, DiagnosticStatus.OK, f"{state}: not commanding", {"state": state})

    def active(
        self,
        stamp: Time,
        period_s: float,
        configuration: RobotConfiguration,
        client: InferenceClient,
        pipeline: Pipeline,
        inputs: ObservationInputs,
        findings: Mapping[str, list[str]],
        states: Mapping[str, str],
        outcomes: Mapping[str, str | None],
        now: float,
    ) -> DiagnosticArray:
        """Report an active node; call with the session's lock held, every `period_s`.

        `findings` maps each controller that was asked for its parameters to what does not fit. `states` says what could
        not be read of the states that controllers publish. `outcomes` maps each controller to what came of the last
        command, None where nobody tells.
        """
        supervisor, statistics = pipeline.supervisor, pipeline.statistics
        refused = sum(inputs.refused.values())
        values: dict[str, Any] = {
            "state": supervisor.state.value,
            "commanding": supervisor.state is State.COMMANDING,
            "who commands": supervisor.who_commands,
            "holding because": supervisor.standing.reason,
            "detail": supervisor.standing.detail,
            "mode": configuration.mode or "from the environment",
            "server": client.source,
            "policy_id": shown_id(client.policy_id),
            "model version": client.model_version,
            "chunk rate [1/s]": f"{(statistics.chunks - self._chunks) / period_s:.2f}",
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
            "reconnects": client.reconnects,
            "refused observations": refused,
            "last inference error": statistics.last_error,
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
        level, message = self._verdict(supervisor, refused, list(inputs.stuck))
        self._chunks, self._clamped, self._refused = statistics.chunks, supervisor.clamped, refused
        return self._message(stamp, level, message, values)

    def _verdict(self, supervisor: Supervisor, refused: int, stuck: list[str]) -> tuple[bytes, str]:
        standing = supervisor.standing
        if standing.state is not State.COMMANDING:
            # A wait is no fault, unless for an input or an inference.
            fault = standing.state is State.WAITING and standing.reason not in (*STARTING, *PERMISSIONS)
            return DiagnosticStatus.ERROR if fault else LEVELS[standing.state], standing.text
        if stuck:
            return DiagnosticStatus.WARN, f"commanding; the same picture again and again: {', '.join(stuck)}"
        if refused > self._refused:
            return (
                DiagnosticStatus.WARN,
                f"commanding; {refused - self._refused} observations refused since the last report",
            )
        if supervisor.clamped > self._clamped:
            return (
                DiagnosticStatus.WARN,
                f"commanding; {supervisor.clamped - self._clamped} values of the plan lay beyond a position limit",
            )
        return DiagnosticStatus.OK, "commanding"

    def _message(self, stamp: Time, level: bytes, message: str, values: Mapping[str, Any]) -> DiagnosticArray:
        status = DiagnosticStatus(level=level, name=self._name, message=message)
        status.values = [KeyValue(key=key, value=str(value)) for key, value in values.items()]
        array = DiagnosticArray(status=[status])
        array.header.stamp = stamp
        return array


def _told(name: str, overlap: Overlap, now: float) -> dict[str, str]:
    """How a trajectory controller is told: do its messages overlap, and if not, why; its speed; motions begun anew."""
    forbids, speed = overlap.forbids(name, now), overlap.speed(name, now)
    anew = f"{overlap.anew[name]}, the last because {overlap.why_anew[name]}" if overlap.anew[name] else "0"
    return {
        f"messages of {name} overlap": "yes" if forbids is None else f"no: {forbids}",
        f"speed scaling of {name}": "not known" if speed is None else f"{speed:.0%}",
        f"motion of {name} started anew": anew,
    }


def _counted(counts: Mapping[str, int]) -> str:
    """`pan 3, lift 1`; empty for none."""
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))


def _age(age: float | None) -> str:
    return "never arrived" if age is None else f"{age:.3f}"
