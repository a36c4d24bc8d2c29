"""~/status: the supervisor's state, for whoever manages the robot; latched, and repeated so that silence tells."""

from __future__ import annotations

from typing import Any

from diagnostic_msgs.msg import DiagnosticStatus, KeyValue
from rclpy.duration import Duration
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy

from act_inference_ros.execution.states import Standing, State
from act_inference_ros.execution.supervisor import Supervisor

PERIOD_S = 0.5
"""How often it is repeated, in wall time."""
DEADLINE_S = 1.0
"""Offered: a subscriber that asks for it is told when the node has died."""

STILL_S = 1.0
"""A clock that stands still for longer is an error: a simulation that was paused or has ended."""

STATUS_QOS = QoSProfile(
    depth=1,
    reliability=ReliabilityPolicy.RELIABLE,
    durability=DurabilityPolicy.TRANSIENT_LOCAL,
    deadline=Duration(seconds=DEADLINE_S),
)

LEVELS = {
    State.INACTIVE: DiagnosticStatus.OK,
    State.WAITING: DiagnosticStatus.WARN,
    State.COMMANDING: DiagnosticStatus.OK,
    State.HOLDING: DiagnosticStatus.ERROR,
    State.PAUSED: DiagnosticStatus.WARN,
    State.STOPPED: DiagnosticStatus.ERROR,
}
NOT_ACTIVE = Standing(State.INACTIVE, "", "", 0.0)


def status_message(name: str, supervisor: Supervisor | None, policy_id: str = "", still_s: float = 0.0) -> Any:
    """Return the status of a node of that name; without a supervisor it is not active.

    Call it under the lock that guards the supervisor. `since` is in s of the ROS clock; `largest deviation` is in ROS
    units. `still_s` is for how long the ROS clock has stood still, wall time: nothing is judged meanwhile.
    """
    standing = NOT_ACTIVE if supervisor is None else supervisor.standing
    largest = None if supervisor is None else supervisor.following.largest
    values = {
        "reason": standing.reason,
        "detail": standing.detail,
        "since": f"{standing.since:.3f}",
        "who commands": "nobody" if supervisor is None else supervisor.who_commands,
        "policy_id": policy_id,
        "largest deviation": "" if largest is None else f"{largest[1]:.4f}",
        "clock": f"has stood still for {still_s:.1f} s" if still_s > STILL_S else "",
        "joint of the largest deviation": "" if largest is None else largest[0],
    }
    level = DiagnosticStatus.ERROR if still_s > STILL_S else LEVELS[standing.state]
    message = DiagnosticStatus(level=level, name=f"{name}: status", message=standing.state.value)
    message.values = [KeyValue(key=key, value=value) for key, value in values.items()]
    return message
