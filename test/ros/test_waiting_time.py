"""How old what has no stamp is: as old as its arrival, however long the executor was busy meanwhile."""

import time
from collections.abc import Iterator
from typing import Any

import pytest
import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from std_msgs.msg import Bool

from act_inference_ros.ros.policy import waiting_time
from act_inference_ros.ros.policy.waiting_time import with_waiting_time
from test.ros.ros_helpers import Participant, wait_until

TOPIC = "/word"
BUSY_S = 0.3


class Listener:
    """A node whose executor runs only in `look`, and how long the messages had waited by then, s."""

    def __init__(self, domain: int, simulated_time: bool = False) -> None:
        self._context = rclpy.Context()
        rclpy.init(context=self._context, domain_id=domain)
        overrides = [Parameter("use_sim_time", value=simulated_time)]
        self._node = Node("listener", context=self._context, parameter_overrides=overrides)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self._node)
        self.waited: list[float] = []
        self._node.create_subscription(Bool, TOPIC, with_waiting_time(self._node, self._note), 10)

    def _note(self, _message: Any, waited_s: float) -> None:
        self.waited.append(waited_s)

    def look(self) -> list[float]:
        """Let the executor do what is due; returns all that was noted."""
        self._executor.spin_once(timeout_sec=0.01)
        return self.waited

    def close(self) -> None:
        self._executor.shutdown(timeout_sec=5.0)
        self._node.destroy_node()
        rclpy.shutdown(context=self._context)


@pytest.fixture(params=[False, True], ids=["wall", "simulated"])
def listener(request: pytest.FixtureRequest, domain: int) -> Iterator[Listener]:
    made = Listener(domain, request.param)
    yield made
    made.close()


def test_a_message_that_waited_for_its_callback_is_as_old_as_its_arrival(
    listener: Listener, participant: Participant, request: pytest.FixtureRequest
) -> None:
    publisher = participant.node.create_publisher(Bool, TOPIC, 10)
    wait_until(lambda: publisher.get_subscription_count() == 1, 20.0)
    publisher.publish(Bool())
    wait_until(listener.look, 20.0)
    publisher.publish(Bool())
    time.sleep(BUSY_S)  # the executor is busy with something else
    wait_until(lambda: len(listener.look()) == 2, 20.0)
    if "simulated" in request.node.callspec.id:
        assert listener.waited == [0.0, 0.0]
    else:
        assert BUSY_S * 0.8 < listener.waited[1] < 20.0


def test_where_nobody_notes_when_a_message_came_it_has_not_waited(
    participant: Participant, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[float] = []

    def note(_message: Any, waited_s: float) -> None:
        waited.append(waited_s)

    with_waiting_time(participant.node, note)(Bool(), {"received_timestamp": 0})
    monkeypatch.setattr(waiting_time, "_IS_TOLD", False)  # as with Humble's rclpy
    with_waiting_time(participant.node, note)(Bool())
    assert waited == [0.0, 0.0]
