"""~/status: the supervisor's state, for the robot's manager; latched, and repeated so that silence means a fault."""

from __future__ import annotations

import socket
from typing import Any

from diagnostic_msgs.msg import DiagnosticStatus, KeyValue
from rclpy.duration import Duration
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy

from act_inference_ros.execution.reasons import CLOCK_STILL, NO_CLOCK
from act_inference_ros.execution.states import SHADOW, SINCE, WHO_COMMANDS, Standing, State
from act_inference_ros.execution.supervisor import NOBODY, POLICY, Supervisor

PERIOD_S = 0.5
"""Period of the repetition, in wall time."""
DEADLINE_S = 1.0
"""The offered deadline: a subscriber that requests it is told when the node has died."""

CLOCKS = (NO_CLOCK, CLOCK_STILL)
"""Reasons that are an error in every state, because nothing is judged meanwhile."""

HARDWARE_ID = socket.gethostname()
"""The hardware id of a status: the machine that the node runs on."""

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


def status_name(full_name: str, what: str) -> str:
    """Name a status as diagnostic_updater does, `policy_node: policy`, for aggregators; `full_name`: `/policy_node`.

    Unlike there, the namespace stands before the node's name, so that two robots can be told apart.
    """
    return f"{full_name.lstrip('/')}: {what}"


def status_message(
    name: str,
    standing: Standing,
    supervisor: Supervisor | None,
    policy_id: str = "",
    still_s: float = 0.0,
    shadow: bool = False,
) -> Any:
    """Return the status of the node with that name; without a supervisor it is not active.

    Call it under the lock that guards the supervisor. `since` is in s of the ROS clock; `largest deviation` is in ROS
    units. `still_s` is for how long the ROS clock has stood still, wall time; nothing is judged meanwhile. With
    `shadow` no controller gets the commands: all recorded commands are then the operator's.
    """
    largest = None if supervisor is None else supervisor.following.largest
    who = NOBODY
    if supervisor is not None:
        # A motion that has ended before anybody told of it was the policy's: the start pose is told of at once.
        has_ended = standing.state is State.COMMANDING and supervisor.state is not State.COMMANDING
        who = POLICY if has_ended else supervisor.who_commands
    values = {
        "reason": standing.reason,
        "detail": standing.detail,
        SINCE: f"{standing.since:.3f}",
        WHO_COMMANDS: who,
        SHADOW: "yes: commands go to no controller" if shadow else "",
        "policy_id": policy_id,
        "largest deviation": "" if largest is None else f"{largest[1]:.4f}",
        "clock": f"has stood still for {still_s:.1f} s" if still_s else "",
        "joint of the largest deviation": "" if largest is None else largest[0],
    }
    level = DiagnosticStatus.ERROR if standing.reason in CLOCKS else LEVELS[standing.state]
    message = DiagnosticStatus(level=level, name=status_name(name, "status"), message=standing.state.value)
    message.hardware_id = HARDWARE_ID
    message.values = [KeyValue(key=key, value=value) for key, value in values.items()]
    return message
