"""policy_node and sim_robot, watched by an Overseer, which knows only ~/status, the services and the topics."""

import contextlib
import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from std_srvs.srv import Trigger

from act_inference_ros.simulation.command_inputs import ARM_JOINTS, DEMO_CONTROLLERS, demo_topic
from test.ros.overseer import CLOCK_RESOLUTION_S, PAUSE_S, Overseer, first_target, largest_excess
from test.ros.policy_node_stand import STAND_IN
from test.ros.policy_stand_in import Options
from test.ros.ros_helpers import PROJECT, NodeProcess, Participant, wait_until

FASTEST = 1.0
"""max_velocity of every joint, rad/s."""
SPEED = -2.0
"""The velocity of every joint in the policy's chunks, rad/s: more than FASTEST, in a direction without obstacles."""
COMMAND_RATE = 50.0
LEAD_S = 0.02
NEAR = 0.15
"""How far from a measured position a motion may begin, rad: the node's own 0.1, and the way between two joint states,
because the node may have used another joint state than this test."""
PATIENT = 0.6
"""max_deviation, rad: large, because on a busy machine commands come late, and nothing blocks the arm here."""
ON_THE_WAY_S = 90.0
"""Deadline for the way to the start pose, s: it takes several seconds of simulated time, which passes slowly on a busy
machine."""
EPISODES_S = 150.0
"""Deadline for ten short episodes, s, for the same reason."""
SIM_ROBOT = "act_inference_ros.ros.sim.sim_robot"


def ros_arguments(**parameters: Any) -> list[str]:
    """`__` in a name stands for a dot."""
    return [
        part for name, value in parameters.items() for part in ("-p", f"{name.replace('__', '.')}:={json.dumps(value)}")
    ]


def sim_robot(directory: Path, environment: dict[str, str], **parameters: Any) -> NodeProcess:
    """The robot on simulated time, with images as the stand-in wants them."""
    parameters = {"publish_clock": True, "image_width": 128, "clear_stops": True} | parameters
    arguments = ["--ros-args", *ros_arguments(**parameters)]
    return NodeProcess.module(SIM_ROBOT, *arguments, environment=environment, output=directory / "sim_robot.txt")


@contextlib.contextmanager
def policy_node(
    directory: Path, environment: dict[str, str], interface: str, **parameters: Any
) -> Iterator[NodeProcess]:
    """The policy node with the demo robot's parameters and a stand-in's policy."""
    given: dict[str, Any] = {f"joint.{joint}.max_velocity": FASTEST for joint in (*ARM_JOINTS, "grip")}
    given |= {f"joint.{joint}.max_deviation": PATIENT for joint in ARM_JOINTS}
    given |= {
        "use_sim_time": True,
        "command_rate": COMMAND_RATE,
        "inference_rate": 10.0,
        "max_age": 1.0,  # simulated time goes on while a busy machine keeps a message waiting
    }
    for controller in DEMO_CONTROLLERS:
        prefix = f"controller.{controller.removesuffix('_controller')}"
        given |= {f"{prefix}.interface": interface, f"{prefix}.topic": demo_topic(interface, controller)}
    parameter_file = PROJECT / "config" / "sim_arm.yaml"
    command = [sys.executable, str(STAND_IN), "--ros-args", "--params-file", str(parameter_file)]
    command += ros_arguments(**(given | parameters))
    environment = environment | {"POLICY_STAND_IN": json.dumps(asdict(Options(speed=SPEED)))}
    with NodeProcess(command, environment, directory / "policy_node.txt") as node:
        node.wait_for_line("active: waiting for")
        yield node


@pytest.mark.parametrize("interface", ["joint_trajectory", "position_stream"])
def test_an_operator_takes_over_and_gives_back_without_a_step_and_nothing_is_said_meanwhile(
    tmp_path: Path, environment: dict[str, str], participant: Participant, interface: str
) -> None:
    overseer = Overseer(participant, interface, LEAD_S)
    with policy_node(tmp_path, environment, interface):
        with sim_robot(tmp_path, environment, interface=interface):
            overseer.wait_for("commanding", 30.0)
            overseer.watch(0.5)
            take_over_and_give_back(overseer)
            stop_and_clear(overseer)
            go_to_start(overseer)
            assert overseer.ask("pause").success
            overseer.watch(PAUSE_S)
        with sim_robot(tmp_path, environment, interface=interface, episodes=10, episode_time_s=0.6) as robot:
            overseer.watch(PAUSE_S)
            assert overseer.state == "paused"
            assert overseer.ask("resume").success
            robot.wait_for_line("^success: 0/10 ", EPISODES_S)
            assert robot.wait(10.0) == 0
        assert "stopped" not in robot.text
    assert overseer.commands_while() == []
    assert [state for state, *_ in overseer.changes].count("commanding") >= 7
    for controller in DEMO_CONTROLLERS:
        motions = overseer.motions(controller)
        assert len(motions) >= 7
        assert sum(map(len, motions)) >= 2 * len(motions), "hardly a command goes on from the one before"
        for motion in motions:
            assert largest_excess(motion, FASTEST, 1.0 / COMMAND_RATE) <= 1e-9 + CLOCK_RESOLUTION_S * FASTEST
    begun = [motion[0] for motion in overseer.motions("arm_controller")]
    known = [(first, measured) for first in begun if (measured := overseer.measured_before(first))]
    # The first motion with each of the two robots may begin before this process hears where the arm is.
    assert len(known) >= len(begun) - 2
    for first, measured in known:
        here = np.array([[positions[joint] for joint in ARM_JOINTS] for positions in measured])
        assert np.abs(first_target(first) - here).max(axis=1).min() < NEAR


def take_over_and_give_back(overseer: Overseer) -> None:
    """Pause; the arm is moved; nobody but the operator lets the node go on."""
    assert overseer.ask("pause").success
    overseer.wait_for("paused")
    assert overseer.participant.call(Trigger, "/sim_robot/reset").success
    overseer.watch(PAUSE_S)
    assert overseer.state == "paused", "somebody else let it go on"
    assert overseer.ask("resume").success
    overseer.wait_for("commanding")
    overseer.watch(0.3)


def stop_and_clear(overseer: Overseer) -> None:
    assert overseer.ask("stop").success
    overseer.wait_for("stopped")
    assert not overseer.ask("resume").success
    overseer.watch(PAUSE_S)
    assert overseer.state == "stopped", "only a person ends a person's stop"
    assert overseer.ask("clear_stop").success
    overseer.wait_for("paused")
    overseer.watch(PAUSE_S)
    assert overseer.ask("resume").success
    overseer.wait_for("commanding")
    overseer.watch(0.3)


def go_to_start(overseer: Overseer) -> None:
    assert overseer.ask("pause").success
    overseer.wait_for("paused")
    overseer.watch(PAUSE_S)
    assert overseer.ask("go_to_start").success
    overseer.wait_for("commanding")
    overseer.wait_for("paused", ON_THE_WAY_S)
    assert overseer.changes[-1][2] == "at the start pose"
    overseer.watch(PAUSE_S)
    assert overseer.ask("resume").success
    overseer.wait_for("commanding")
    overseer.watch(0.3)


def test_a_blocked_arm_stops_the_node_and_goes_on_when_it_is_free(
    tmp_path: Path, environment: dict[str, str], participant: Participant
) -> None:
    overseer = Overseer(participant, "joint_trajectory", LEAD_S)
    block = {"episodes": 1, "episode_time_s": 4.0, "block_after_s": 0.3, "block_for_s": 1.5}
    with (
        policy_node(tmp_path, environment, "joint_trajectory", inference_rate=1.0, blend_time=0.0),
        sim_robot(tmp_path, environment, interface="joint_trajectory", **block) as robot,
    ):
        robot.wait_for_line("^/policy_node stopped: does not follow")
        robot.wait_for_line("^the arm is free: the stop is cleared")
        # The node may have gone on by the time that the robot's line is read.
        stopped = max(since for state, since, _ in overseer.changes if state == "stopped")
        commanding = wait_until(lambda: overseer.since_when("commanding", stopped), 20.0, "it does not go on")
        robot.wait_for_line(r"^episode 1/1: not lifted in 4\.\d s, the policy stopped once$")
        robot.wait_for_line("^success: 0/1 ")
    assert commanding - stopped > 0.3, "it went on while the arm was blocked"
    assert any(command.time > commanding + 0.5 for command in overseer.commands["arm_controller"])
    assert overseer.commands_while() == []
