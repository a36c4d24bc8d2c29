"""Goals are sent without waiting, the newest replaces the others, none pile up, and the last result can be read."""

import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy")

from builtin_interfaces.msg import Time
from rclpy.action import ActionClient
from rclpy.action.client import ClientGoalHandle
from rclpy.task import Future
from sensor_msgs.msg import JointState

from act_inference_ros.errors import MissingDependencyError
from act_inference_ros.inference.client import InferenceClient
from act_inference_ros.interfaces import ACTIONS, Command, command_interface
from act_inference_ros.robot.configuration import RobotConfiguration
from act_inference_ros.ros.messages import message_class
from act_inference_ros.ros.policy import outgoing as outgoing_module
from act_inference_ros.ros.policy import outlets as outlets_module
from act_inference_ros.ros.policy import session as session_module
from act_inference_ros.ros.policy import worker as worker_module
from act_inference_ros.ros.policy.command_graph import CommandGraph
from act_inference_ros.ros.policy.commands import CommandOutlet
from act_inference_ros.ros.policy.diagnostics import DiagnosticReport
from act_inference_ros.ros.policy.gripper_goals import PATIENCE_S, GoalOutlet
from act_inference_ros.ros.policy.outlets import make_outlet
from test.control_msgs_look_alikes import GripperCommand, ParallelGripperCommand, control_msgs_installed
from test.execution import parity

pytestmark = pytest.mark.filterwarnings("error")  # rclpy's futures make one of what a callback raises

NAME = "/hand/gripper_cmd"
GOALS = {"gripper_action": GripperCommand.Goal, "parallel_gripper_action": ParallelGripperCommand.Goal}
SUCCEEDED, CANCELED, ABORTED = 4, 5, 6


class Handle:
    """A goal that the server has accepted, or not."""

    def __init__(self, accepted: bool) -> None:
        self.accepted = accepted
        self.result: Any = None

    def get_result_async(self) -> Future:
        assert self.result is None, "asked twice"
        self.result = Future()
        return self.result

    def end(self, result: Any, status: int = SUCCEEDED) -> None:
        self.result.set_result(Ended(result, status))


class Ended:
    def __init__(self, result: Any, status: int) -> None:
        self.result, self.status = result, status


class Server:
    """Stands in for rclpy's ActionClient and the server behind it: `goals` that came, and their unanswered futures."""

    def __init__(self, *_: Any) -> None:
        self.there = True
        self.at_once = False
        self.destroyed = False
        self.goals: list[Any] = []
        self.answers: list[Future] = []
        self.handles: list[Handle] = []

    def server_is_ready(self) -> bool:
        return self.there

    def send_goal_async(self, goal: Any) -> Future:
        assert self.there
        self.goals.append(goal)
        self.answers.append(Future())
        if self.at_once:
            self.answer()
        return self.answers[-1]

    def answer(self, place: int = -1, accepted: bool = True) -> Handle:
        self.handles.append(Handle(accepted))
        self.answers[place].set_result(self.handles[-1])
        return self.handles[-1]

    def destroy(self) -> None:
        self.destroyed = True

    @property
    def positions(self) -> list[float]:
        return [goal.command.position for goal in self.goals]

    @property
    def open_requests(self) -> int:
        """The requests that rclpy remembers: goals without an answer, and results that have not come."""
        futures = [*self.answers, *(handle.result for handle in self.handles if handle.result is not None)]
        return sum(not future.done() and not future.cancelled() for future in futures)


class Hand:
    """An outlet, its server, and a clock that is moved by hand."""

    def __init__(self, interface: str = "gripper_action") -> None:
        controller = configured(interface).controllers[1]
        self.now = 0.0
        self.server = Server()
        goal = GOALS[interface]
        self.outlet = GoalOutlet(controller, controller.interface.action, self.server, goal, lambda: self.now)

    def command(self, position: float) -> None:
        self.outlet.send(Command(self.now, np.zeros(1), np.array([[position]]), max_effort=2.0))
        self.outlet.flush()


def configured(interface: str) -> RobotConfiguration:
    return RobotConfiguration.from_parameters(
        {
            "state.topic": "/s", "state.joints": ["a", "grip"], "joint.grip.smooth": False,
            "controllers": ["arm", "hand"], "controller.arm.topic": "/a", "controller.arm.joints": ["a"],
            "controller.hand.topic": NAME, "controller.hand.joints": ["grip"], "controller.hand.interface": interface,
        }
    )  # fmt: skip


@pytest.fixture(autouse=True)
def _control_msgs() -> Iterator[None]:
    with control_msgs_installed():
        yield


@pytest.fixture
def hand() -> Hand:
    return Hand()


def test_rclpys_client_has_what_the_outlet_asks_for() -> None:
    assert all(hasattr(ActionClient, name) for name in ("server_is_ready", "send_goal_async", "destroy"))
    assert all(hasattr(ClientGoalHandle, name) for name in ("accepted", "get_result_async"))
    cancelled = Future()
    called: list[Future] = []
    cancelled.add_done_callback(called.append)
    cancelled.cancel()
    assert called == [cancelled]  # with this ActionClient forgets what it asked for


def test_while_a_goal_is_not_answered_only_the_newest_command_is_kept(hand: Hand) -> None:
    for position in (0.01, 0.02, 0.03, 0.04):
        hand.command(position)
    assert hand.server.positions == [0.01]
    hand.server.answer()
    hand.outlet.flush()
    hand.outlet.flush()
    assert hand.server.positions == [0.01, 0.04]


def test_a_goal_is_sent_with_its_effort(hand: Hand) -> None:
    hand.command(0.01)
    assert hand.server.goals[0].command.max_effort == 2.0


@pytest.mark.parametrize("deaf", ["to goals", "to results"])
def test_nothing_piles_up_whatever_the_server_leaves_unanswered(hand: Hand, deaf: str) -> None:
    hand.server.at_once = deaf == "to results"
    for step in range(1000):
        hand.now += 0.1
        hand.command(0.001 * step)
        assert hand.server.open_requests <= 2
    assert len(hand.server.goals) > 50


def test_a_server_that_does_not_answer_is_asked_again_with_the_newest(hand: Hand) -> None:
    hand.command(0.01)
    hand.command(0.02)
    hand.now += PATIENCE_S / 2
    hand.outlet.flush()
    assert hand.server.positions == [0.01]
    hand.now += PATIENCE_S
    assert "no answer for 1.5 s" in hand.outlet.outcome
    hand.outlet.flush()
    assert hand.server.positions == [0.01, 0.02]
    assert hand.server.answers[0].cancelled()


def test_a_late_answer_to_a_goal_that_was_given_up_changes_nothing(hand: Hand) -> None:
    hand.command(0.01)
    hand.now += 2 * PATIENCE_S
    hand.command(0.02)
    hand.server.answer(0, accepted=False)
    assert hand.outlet.outcome == "goal 0.02, not answered yet"
    hand.server.answer(1)
    assert hand.outlet.outcome == "goal 0.02, under way"


def test_a_command_for_a_server_that_is_not_there_is_dropped_and_not_sent_later(hand: Hand) -> None:
    hand.server.there = False
    hand.command(0.01)
    assert hand.outlet.listeners == 0
    assert hand.outlet.outcome == f"no action server on {NAME}; no goal yet"
    hand.server.there = True
    hand.outlet.flush()
    assert hand.server.goals == []
    assert hand.outlet.listeners == 1


@pytest.mark.parametrize(
    ("result", "status", "text"),
    [
        (GripperCommand.Result(0.0101, 0.5, False, True), SUCCEEDED, "goal 0.01, reached: position 0.0101, effort 0.5"),
        (GripperCommand.Result(0.031, 12.0, True, False), SUCCEEDED, "goal 0.01, stalled: position 0.031, effort 12"),
        (GripperCommand.Result(0.031, 12.0), ABORTED, "goal 0.01, aborted: position 0.031, effort 12"),
        (GripperCommand.Result(0.031, 12.0), CANCELED, "goal 0.01, canceled: position 0.031, effort 12"),
    ],
)
def test_what_came_of_a_goal_is_told(hand: Hand, result: Any, status: int, text: str) -> None:
    assert hand.outlet.outcome == "no goal yet"
    hand.command(0.01)
    assert hand.outlet.outcome == "goal 0.01, not answered yet"
    handle = hand.server.answer()
    assert hand.outlet.outcome == "goal 0.01, under way"
    handle.end(result, status)
    assert hand.outlet.outcome == text


def test_a_parallel_gripper_that_says_nothing_of_its_state_has_no_numbers() -> None:
    hand = Hand("parallel_gripper_action")
    hand.command(0.01)
    hand.server.answer().end(ParallelGripperCommand.Result(JointState(), stalled=True))
    assert hand.outlet.outcome == "goal 0.01, stalled"


def test_a_rejected_goal_is_told_and_the_next_one_goes_out(hand: Hand) -> None:
    hand.command(0.01)
    hand.command(0.02)
    hand.server.answer(accepted=False)
    assert hand.outlet.outcome == "goal 0.01, rejected by the server"
    hand.outlet.flush()
    assert hand.server.positions == [0.01, 0.02]


def test_the_result_of_a_goal_that_was_replaced_is_not_taken_for_the_newest(hand: Hand) -> None:
    hand.command(0.01)
    first = hand.server.answer()
    hand.command(0.02)
    second = hand.server.answer()
    hand.now += PATIENCE_S / 2
    hand.outlet.flush()
    assert not first.result.cancelled()
    first.end(GripperCommand.Result(0.05, 0.0), ABORTED)
    assert hand.outlet.outcome == "goal 0.02, under way"
    second.end(GripperCommand.Result(0.02, 0.0, False, True))
    assert hand.outlet.outcome == "goal 0.02, reached: position 0.02, effort 0"


def test_a_replaced_goal_whose_result_never_comes_is_given_up(hand: Hand) -> None:
    hand.command(0.01)
    first = hand.server.answer()
    hand.command(0.02)
    second = hand.server.answer()
    hand.now += 2 * PATIENCE_S
    hand.outlet.flush()
    assert first.result.cancelled()
    second.end(GripperCommand.Result(0.02, 0.0, False, True))
    assert "reached" in hand.outlet.outcome


def test_a_server_that_answers_at_once_does_not_block(hand: Hand) -> None:
    hand.server.at_once = True
    hand.command(0.01)
    assert hand.outlet.outcome == "goal 0.01, under way"


def test_at_the_end_the_newest_goal_goes_out_although_the_one_before_is_not_answered(hand: Hand) -> None:
    hand.command(0.01)
    hand.command(0.02)
    hand.outlet.settle(0.1)
    assert hand.server.positions == [0.01, 0.02]
    hand.outlet.settle(0.1)
    assert len(hand.server.goals) == 2
    hand.outlet.destroy(None)
    assert hand.server.destroyed


def test_each_interface_gets_its_kind_of_outlet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outlets_module, "ActionClient", Server)
    node = parity.FakeNode()
    controllers = configured("gripper_action").controllers
    arm, hand = (make_outlet(node, each, False, time.time) for each in controllers)
    assert isinstance(arm, CommandOutlet)
    assert isinstance(hand, GoalOutlet)
    rehearsed = make_outlet(node, controllers[1], True, time.time)
    assert rehearsed.topic_name == "~/shadow/hand"
    rehearsed.send(Command(0.0, np.zeros(1), np.array([[0.02]])))
    rehearsed.flush()
    assert node.publishers["~/shadow/hand"].sent[0][1].position == 0.02


def test_the_graph_has_a_listener_where_the_server_is_and_nobody_else_who_publishes(hand: Hand) -> None:
    graph = CommandGraph(parity.FakeNode(), {"hand": hand.outlet})
    assert list(graph.look()) == [("hand", 1, ())]
    hand.server.there = False
    assert list(graph.look()) == [("hand", 0, ())]


class Node(parity.FakeNode):
    """A node that remembers what was destroyed."""

    def __init__(self) -> None:
        super().__init__()
        self.destroyed: list[str] = []

    def destroy_publisher(self, publisher: Any) -> None:
        self.destroyed.append(publisher.topic_name)


def session_of(schedule: parity.Schedule, node: Node) -> session_module.PolicySession:
    client = InferenceClient(parity.Backend(schedule, lambda _: None))
    return session_module.PolicySession(node, schedule.configuration, client, lambda _: None, lambda: None)


def with_gripper_goals(schedule: parity.Schedule, interface: str = "gripper_action", **changes: Any) -> parity.Schedule:
    arm, gripper = schedule.configuration.controllers
    gripper = replace(gripper, interface=command_interface(interface), deadband=0.05, max_effort=3.0)
    return replace(schedule, configuration=replace(schedule.configuration, controllers=(arm, gripper), **changes))


def test_a_session_commands_a_gripper_by_goals_and_tells_what_came_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    watch = parity.Stopwatch()
    monkeypatch.setattr(worker_module, "time", watch)
    monkeypatch.setattr(worker_module.InferenceWorker, "start", lambda _: None)
    monkeypatch.setattr(session_module.PolicySession, "_now", lambda session: session._node.now)
    monkeypatch.setattr(outlets_module, "ActionClient", Server)
    # A rehearsal, so that no controller need be there, but the gripper's goals go out.
    monkeypatch.setattr(
        outgoing_module, "make_outlet", lambda node, each, _, now: make_outlet(node, each, each.name != "gripper", now)
    )
    world = parity.NodeWorld(with_gripper_goals(parity.draw(4)), watch)
    outlet = world.session._outgoing.outlets["gripper"]
    assert isinstance(outlet, GoalOutlet)
    server = outlet._client
    assert isinstance(server, Server)
    server.at_once = True
    world.run()
    arm = world.node.publishers["~/shadow/arm"].sent
    ticks = round((world.node.now - arm[0][0]) / world.node.period_s)
    assert 5 < len(server.goals) < ticks / 2
    assert {goal.command.max_effort for goal in server.goals} == {3.0}
    assert server.open_requests <= 2
    report = world.session.diagnose(DiagnosticReport("node"), Time())
    values = {each.key: each.value for each in report.status[0].values}
    assert values["goal of gripper"] == f"goal {server.positions[-1]:.4g}, under way"
    assert "goal of arm" not in values


@pytest.mark.parametrize("interface", ACTIONS)
def test_without_control_msgs_configure_says_what_to_install_and_leaves_nothing_behind(
    monkeypatch: pytest.MonkeyPatch, interface: str
) -> None:
    for name in ("control_msgs", "control_msgs.msg", "control_msgs.action"):
        monkeypatch.setitem(sys.modules, name, None)
    message_class.cache_clear()
    schedule = with_gripper_goals(parity.draw(4), interface, shadow=False)
    node = Node()
    with pytest.raises(MissingDependencyError) as refusal:
        session_of(schedule, node)
    assert str(refusal.value).startswith("control_msgs/")
    assert str(refusal.value).endswith(" is not installed; install ros-$ROS_DISTRO-control-msgs")
    assert sorted(node.destroyed) == sorted(node.publishers)
