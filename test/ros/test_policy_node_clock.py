"""With use_sim_time the node says that there is no clock, or that it stands still; the parameter can be set back."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.qos import DurabilityPolicy, QoSProfile
from rosgraph_msgs.msg import Clock

from test.ros.policy_node_stand import Stand, robot_parameters, running_policy_node
from test.ros.robot_stand_in import stamp
from test.ros.ros_helpers import wait_until

LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)


def test_no_clock_is_the_reason_until_there_is_one_or_none_is_wanted(tmp_path: Path) -> None:
    with running_policy_node(tmp_path, robot_parameters(use_sim_time=True)) as stand:
        status = stand.participant.collect(DiagnosticStatus, "/policy_node/status", LATCHED)
        wait_until(lambda: status and values_of(status[-1])["reason"] == "no clock", 20.0, "not in ~/status")
        assert "nobody publishes /clock" in values_of(status[-1])["detail"]
        assert "use_sim_time" in values_of(status[-1])["detail"]
        assert status[-1].level == DiagnosticStatus.ERROR
        diagnosis = stand.robot.wait_for_diagnosis("waiting: no clock (")
        assert diagnosis.level == DiagnosticStatus.ERROR
        assert values_of(diagnosis)["holding because"] == "no clock"
        stand.node.wait_for_line(r"waiting: no clock \(")

        result = stand.set_parameters(use_sim_time=False)
        assert result.successful, result.reason
        stand.robot.wait_for_command("arm", time.time())
        stand.robot.wait_for_diagnosis("commanding")

        with clock(stand):
            assert stand.set_parameters(use_sim_time=True).successful
            stand.start_afresh()  # on another clock nobody knows how long the hold lasted: it may be a pause by now
            stand.robot.wait_for_command("arm", time.time(), count=5)
        stand.robot.wait_for_diagnosis(": the clock stands still (")
        wait_until(lambda: values_of(status[-1])["reason"] == "the clock stands still", 20.0, "not in ~/status")
        assert "Traceback" not in stand.node.text


@contextmanager
def clock(stand: Stand) -> Iterator[None]:
    """Publish the wall time on /clock."""
    publisher = stand.participant.node.create_publisher(Clock, "/clock", 10)
    over = threading.Event()

    def run() -> None:
        while not over.wait(0.01):
            publisher.publish(Clock(clock=stamp(time.time())))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(5.0)


def values_of(status: Any) -> dict[str, str]:
    return {pair.key: pair.value for pair in status.values}
