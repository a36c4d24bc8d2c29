"""Simulated episodes in process: they lift cubes, repeat themselves exactly, keep limits, and are recorded as bags."""

import io
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image, ImageSequence
from rosbags.highlevel import AnyReader

from act_inference_ros.errors import ConfigurationError
from act_inference_ros.evaluation.bags.bag import Bag
from act_inference_ros.evaluation.episodes.bag_recorder import BagRecorder
from act_inference_ros.evaluation.episodes.closed_loop import (
    CONTROL_RATE,
    Policy,
    check_configuration,
    make_arm,
    run_episode,
)
from act_inference_ros.evaluation.episodes.expert_policy import EXPERT_SPEC, expert_policy
from act_inference_ros.evaluation.episodes.film import FRAME_RATE, film
from act_inference_ros.evaluation.results import EvaluationResult
from act_inference_ros.evaluation.run_settings import RunSettings
from act_inference_ros.evaluation.runs import simulation_result
from act_inference_ros.evaluation.statistics import SETPOINT_PERIOD_S
from act_inference_ros.interfaces import command_interface, seconds
from act_inference_ros.joints import JointBinding
from act_inference_ros.simulation.scene import DemoArm
from act_inference_ros.simulation.success import LIFT_HOLD_S
from act_inference_ros.spec import ImageSpec
from test.evaluation.demo_runs import configuration, expert_episode


@pytest.fixture(scope="module")
def arm() -> Iterator[DemoArm]:
    arm = make_arm(EXPERT_SPEC)
    yield arm
    arm.close()


def constant_policy(target: npt.ArrayLike) -> Policy:
    rows = np.tile(np.array(target, dtype=np.float32), (EXPERT_SPEC.chunk_size, 1))
    return Policy(EXPERT_SPEC, lambda _: rows)


@pytest.mark.parametrize("interface", ["joint_trajectory", "position_stream", "joint_state"])
def test_the_expert_lifts_the_cube_through_every_interface(arm: DemoArm, interface: str) -> None:
    parameters = configuration()
    controllers = tuple(
        replace(controller, interface=command_interface(interface)) for controller in parameters.controllers
    )
    episode = run_episode(arm, expert_policy(arm), replace(parameters, controllers=controllers), 0, seed=3)
    assert episode.success
    assert not episode.refused
    assert min(episode.cube_height_m[-round(LIFT_HOLD_S * CONTROL_RATE) :]) > 0.035


def test_the_same_seed_is_the_same_episode_and_another_is_not(arm: DemoArm) -> None:
    first, again, other = (run_episode(arm, expert_policy(arm), configuration(), 0, seed) for seed in (5, 5, 6))
    assert np.array_equal(first.measured, again.measured)
    assert np.array_equal(first.arm_targets, again.arm_targets)
    length = min(len(first.times), len(other.times))
    assert not np.allclose(first.measured[:length], other.measured[:length])


def test_an_episode_can_be_repeated_alone(arm: DemoArm) -> None:
    third = run_episode(arm, expert_policy(arm), configuration(), 2, seed=5, limit_s=0.5)
    alone = run_episode(arm, expert_policy(arm), configuration(), 0, seed=7, limit_s=0.5)
    assert np.array_equal(third.measured, alone.measured)


def test_an_arm_that_stays_where_it_is_fails_when_the_time_is_over(arm: DemoArm) -> None:
    episode = run_episode(arm, constant_policy(DemoArm.HOME), configuration(), 0, 0, limit_s=1.5)
    assert not episode.success
    assert episode.duration_s == 1.5
    assert len(episode.chunks) == 6  # 4 a second, the first at the beginning


def test_whatever_the_policy_says_the_commands_keep_the_limits(arm: DemoArm) -> None:
    parameters, commands = configuration(), []
    # The table is in the way of what this policy wants; without this the arm would be stopped there.
    joints = [replace(joint, max_deviation=np.inf) for joint in parameters.action.joints]
    parameters = replace(parameters, action=JointBinding(joints))
    episode = run_episode(
        arm, constant_policy([9.0] * 6), parameters, 0, 0, limit_s=1.0, publish=lambda *each: commands.append(each)
    )
    limits = {joint.name: joint for joint in parameters.action.joints}
    topics = {controller.topic for controller in parameters.controllers}
    trajectories = [message for topic, message, _ in commands if topic in topics]
    assert len(trajectories) == 2 * len(episode.chunks)
    for message in trajectories:
        positions = np.array([point.positions for point in message.points])
        times = np.array([seconds(point.time_from_start) for point in message.points])
        speed = np.abs(np.diff(positions, axis=0)) / np.diff(times)[:, None]
        for column, name in enumerate(message.joint_names):
            assert positions[:, column].max() <= limits[name].maximum + 1e-9
            assert speed[:, column].max() <= limits[name].max_velocity * (1.0 + 1e-5)
    # Nobody pushes against the table: the motion starts anew from where the arm is measured.
    assert episode.targets[-1][-1] == pytest.approx(limits["grip"].maximum)
    assert episode.clamped > 0


def test_latency_delays_the_first_command(arm: DemoArm) -> None:
    late, soon = (
        run_episode(arm, constant_policy([1.0] * 6), configuration(), 0, 0, limit_s=0.6, latency_s=latency_s)
        for latency_s in (0.2, 0.0)
    )
    first_motion = [
        np.flatnonzero(np.abs(np.diff(np.array(episode.targets)[:, 0])) > 1e-9)[0] for episode in (late, soon)
    ]
    assert first_motion[0] - first_motion[1] == pytest.approx(0.2 * CONTROL_RATE, abs=1)


def test_stopping_marks_the_episode(arm: DemoArm) -> None:
    calls = iter([False] * 20 + [True])
    episode = run_episode(arm, constant_policy([0.0] * 6), configuration(), 0, 0, stopped=lambda: next(calls))
    assert episode.interrupted
    assert len(episode.times) == 20


def test_a_policy_for_another_robot_is_refused() -> None:
    spec = replace(EXPERT_SPEC, images=(ImageSpec("observation.images.top", 96, 96),))
    with pytest.raises(ConfigurationError, match="top"):
        check_configuration(configuration(), spec)


def test_a_recording_is_what_the_node_would_subscribe_to(tmp_path: Path) -> None:
    parameters = configuration()
    episode = expert_episode(seed=1, limit_s=1.0, record=tmp_path / "bag")
    with AnyReader([tmp_path / "bag"]) as bag:
        types = {connection.topic: connection.msgtype for connection in bag.connections}
        messages: dict[str, list[Any]] = {topic: [] for topic in types}
        for connection, time_ns, raw in bag.messages():
            messages[connection.topic].append((time_ns, bag.deserialize(raw, connection.msgtype)))
    assert types[parameters.cameras[0].topic] == "sensor_msgs/msg/Image"
    assert types[parameters.state_topics[0]] == "sensor_msgs/msg/JointState"
    assert {types[controller.topic] for controller in parameters.controllers} == {"trajectory_msgs/msg/JointTrajectory"}
    states = messages[parameters.state_topics[0]]
    assert list(states[0][1].name) != list(parameters.state.names)
    first = parameters.state.to_policy(states[0][1])
    assert first == pytest.approx(episode.measured[0], abs=0.01)
    image = messages[parameters.cameras[0].topic][0][1]
    assert (image.height, image.width, image.encoding, image.data.size) == (96, 96, "rgb8", 96 * 96 * 3)
    assert image.header.stamp.sec > 0
    assert "/policy_node/action_chunk" not in messages  # the expert plays the operator: no policy ran


def test_the_recording_of_a_policy_says_that_it_was_one(tmp_path: Path, arm: DemoArm) -> None:
    expert = expert_policy(arm)
    with BagRecorder(tmp_path / "bag") as recorder:
        episode = run_episode(
            arm, Policy(expert.spec, expert.predict), configuration(), 0, 1, 1.5, publish=recorder.write
        )
    with Bag(tmp_path / "bag") as bag:
        chunks = list(bag.messages(["/policy_node/action_chunk"]))
        statuses = [message for _, _, message in bag.messages(["/policy_node/status"])]
    assert len(chunks) == len(episode.chunks)
    values = [{each.key: each.value for each in message.values} for message in statuses]
    assert [message.message for message in statuses[:2]] == ["waiting", "commanding"]
    assert {each["who commands"] for each in values} == {"nobody", "policy"}
    assert float(values[1]["since"]) == pytest.approx(1.05, abs=0.2)


def test_a_recording_never_overwrites(tmp_path: Path) -> None:
    (tmp_path / "bag").mkdir()
    with pytest.raises(ConfigurationError, match="exists"):
        BagRecorder(tmp_path / "bag")


def test_a_film_shows_the_whole_episode(arm: DemoArm) -> None:
    episode = run_episode(arm, expert_policy(arm), configuration(), 0, seed=0, limit_s=2.0)
    with Image.open(io.BytesIO(film(episode, size=120))) as gif:
        assert gif.size == (120, 120)
        shown_ms = 0
        frames = []
        for frame in ImageSequence.Iterator(gif):
            shown_ms += frame.info["duration"]
            frames.append(np.asarray(frame.convert("RGB"), dtype=float))
    # Equal frames may have been merged; the time they are shown remains. The last one stands for a second.
    assert shown_ms == pytest.approx(1e3 * (episode.duration_s + 1.0), abs=1e3 / FRAME_RATE)
    assert np.abs(frames[0] - frames[-1]).max() > 50


def test_an_episode_says_who_commanded_and_how_far_the_arm_was_from_what_it_was_told(arm: DemoArm) -> None:
    episode = run_episode(arm, expert_policy(arm), configuration(), 0, seed=3)
    assert 0.8 < episode.commanded_steps / len(episode.times) <= 1.0
    assert not episode.holds
    assert set(episode.largest_deviation) == set(configuration().action.names)
    assert 0.0 <= episode.largest_deviation["shoulder"] < 0.15
    result = simulation_result(RunSettings("local", "the expert"), [episode], 1)
    read = EvaluationResult.from_json(result.to_json())
    assert read.simulation.episodes[0].largest_deviation == pytest.approx(episode.largest_deviation)


def test_an_episode_says_how_smooth_the_setpoints_of_its_controllers_were(arm: DemoArm) -> None:
    episode = run_episode(arm, expert_policy(arm), configuration(), 0, seed=3)
    result = simulation_result(RunSettings("local", "the expert"), [episode, episode], 2)
    joints = result.simulation.episodes[0].smoothness
    assert set(joints) == set(configuration().action.names)
    fastest = np.abs(np.diff(np.array(episode.targets), axis=0)).max(axis=0) * CONTROL_RATE
    for joint, speed in zip(episode.joints, fastest, strict=True):
        assert joints[joint].largest_step_ros_units >= 0.9 * speed * SETPOINT_PERIOD_S
        assert joints[joint].seam_jump_ros_units <= joints[joint].largest_step_ros_units
        assert joints[joint].rms_jerk_ros_units_per_s3 > 0.0
        assert joints[joint].sparc < -1.0
    assert joints["pan"].seams == 2 * (len(episode.chunks) - 1)  # where a message comes, and where it takes over
    both, one = result.simulation.smoothness["pan"], joints["pan"]
    assert both.seams == 2 * one.seams
    assert both.rms_jerk_ros_units_per_s3 == pytest.approx(one.rms_jerk_ros_units_per_s3)
    assert episode.splice.joint in episode.joints
    assert EvaluationResult.from_json(result.to_json()).simulation.smoothness == result.simulation.smoothness


def test_a_controller_that_starts_from_the_measured_state_shows_a_splice_and_overlap_removes_it(arm: DemoArm) -> None:
    """Without overlap a trajectory controller throws its setpoint back by lag x speed with each message."""
    parameters = configuration()
    without = replace(parameters, controllers=tuple(replace(each, overlap="off") for each in parameters.controllers))
    thrown, smooth = (run_episode(arm, expert_policy(arm), each, 0, seed=3) for each in (without, parameters))
    figures, wanted = (
        simulation_result(RunSettings("", ""), [each], 1).simulation.smoothness["shoulder"] for each in (thrown, smooth)
    )
    assert figures.seam_jump_ros_units > 0.03
    assert figures.boundary_minus_interior_jerk_ros_units_per_s3 > 1e5
    shown = np.array(thrown.splice.setpoints)[:, thrown.joints.index(thrown.splice.joint)]
    assert np.abs(np.diff(shown)).max() == pytest.approx(figures.seam_jump_ros_units, rel=0.5)
    assert wanted.seam_jump_ros_units < 4.0 * SETPOINT_PERIOD_S  # what its limit of velocity allows
    assert wanted.peak_acceleration_ros_units_per_s2 < 0.01 * figures.peak_acceleration_ros_units_per_s2
