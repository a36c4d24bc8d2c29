"""Bags whose evaluation is known beforehand: the policy's own output, unchanged or with one thing wrong."""

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from act_inference_ros.evaluation.bags.bag_evaluation import EvaluationOptions, evaluate_bags
from act_inference_ros.evaluation.report.summary import rows
from act_inference_ros.evaluation.results import COMPLETE, EvaluationResult
from act_inference_ros.evaluation.run_settings import RunSettings
from act_inference_ros.evaluation.statistics import SETPOINT_PERIOD_S, pooled
from act_inference_ros.inference.client import InferenceClient
from act_inference_ros.interfaces import MERGES
from act_inference_ros.robot.configuration import RobotConfiguration
from test.checkpoints import write_checkpoint
from test.evaluation import bags
from test.evaluation.bags import FPS, START_S, STORAGES, motion, motion_from_rest

FLOAT32 = 1e-6
PATIENT = {"max_plan_age": 3.0}
"""Every chunk is followed to its end: a plan that is cut short brakes before."""
TRAJECTORY = {"controller.arm.interface": "joint_trajectory", "controller.gripper.interface": "joint_trajectory"}


def evaluate(
    path: Path, configuration: RobotConfiguration | None = None, policy: bags.Motion = motion, **options: Any
) -> EvaluationResult:
    with bags.client(policy) as client:
        return evaluate_bags(
            [path], configuration or bags.configuration(), client, RunSettings("test", "test"),
            EvaluationOptions(**options),
        )  # fmt: skip


def trajectory_events(commands: bags.Motion = motion, states: bags.Motion = motion) -> Iterator[bags.Event]:
    """As `events`, but both controllers are commanded by trajectories of four points."""
    for time, topic, kind, message in bags.events(commands=commands, states=states):
        if topic not in ("/arm/joint_trajectory", "/gripper/commands"):
            yield time, topic, kind, message
            continue
        steps = np.arange(1, 5) / FPS
        rows = commands(time + steps)
        names, columns = (["lift", "pan"], [1, 0]) if topic.startswith("/arm") else (["grip"], [2])
        message = bags.trajectory(names, steps, rows[:, columns], time)
        yield time, topic, "trajectory_msgs/msg/JointTrajectory", message


@pytest.mark.parametrize("storage", STORAGES)
def test_the_policys_own_output_has_no_error(tmp_path: Path, storage: str) -> None:
    path = bags.write_bag(
        tmp_path / "bag", bags.events(2.0, commands=motion_from_rest, states=motion_from_rest), storage
    )
    result = evaluate(path, bags.configuration(**PATIENT), motion_from_rest, merges="all")
    assert result.status == COMPLETE
    assert result.episodes[0].truth == {"arm": "commands", "gripper": "commands"}
    assert pooled(result.total.chunk_error).count > 300
    assert bags.largest(result.total.chunk_error) < FLOAT32
    for merge in MERGES:
        assert bags.largest(result.total.by_merge[merge].executed) < FLOAT32
    assert result.total.findings == ()


def test_trajectories_are_followed_as_a_controller_would(tmp_path: Path) -> None:
    configuration = bags.configuration(**TRAJECTORY, **PATIENT)
    path = bags.write_bag(tmp_path / "bag", trajectory_events(motion_from_rest, motion_from_rest))
    result = evaluate(path, configuration, motion_from_rest)
    assert result.status == COMPLETE
    assert bags.largest(result.total.by_merge["blend"].executed) < FLOAT32
    assert pooled(result.total.chunk_error).mae_ros_units < FLOAT32


def test_without_commands_the_states_that_followed_are_the_truth(tmp_path: Path) -> None:
    path = bags.write_bag(tmp_path / "bag", bags.events(commands=None))
    result = evaluate(path)
    assert result.episodes[0].truth == {"arm": "state", "gripper": "state"}
    assert "compared with the measured positions" in result.episodes[0].notes[0]
    assert bags.largest(result.total.chunk_error) < FLOAT32
    assert pooled(evaluate(path, truth="commands").total.chunk_error).count == 0


def test_units_of_the_policy_are_converted(tmp_path: Path) -> None:
    configuration = bags.configuration(**{"joint.pan.unit": "deg", "joint.grip.scale": 100.0, "joint.grip.offset": 5.0})
    scale, offset = np.array([180.0 / np.pi, 1.0, 100.0]), np.array([0.0, 0.0, 5.0])
    result = evaluate(
        bags.write_bag(tmp_path / "bag", bags.events()), configuration, lambda t: motion(t) * scale + offset
    )
    assert bags.largest(result.total.chunk_error) < FLOAT32


def test_a_constant_offset_is_named(tmp_path: Path) -> None:
    commands = lambda t: motion(t) + np.array([0.0, 0.05, 0.0])  # noqa: E731
    result = evaluate(bags.write_bag(tmp_path / "bag", bags.events(commands=commands)))
    error = result.total.chunk_error
    assert error["lift"].bias_ros_units == pytest.approx(-0.05, abs=1e-6)
    assert error["lift"].mae_ros_units == pytest.approx(0.05, abs=1e-6)
    assert max(error["pan"].max_ros_units, error["grip"].max_ros_units) < FLOAT32
    (finding,) = result.total.findings
    assert (finding.kind, finding.joints) == ("offset", ("lift",))
    assert finding.value == pytest.approx(-0.05, abs=1e-6)
    assert finding.explained > 0.99


@pytest.mark.parametrize("steps", [-2, 3])
def test_a_shift_of_the_whole_recording_is_named(tmp_path: Path, steps: int) -> None:
    commands = lambda t: motion(np.asarray(t) - steps / FPS)  # noqa: E731
    result = evaluate(bags.write_bag(tmp_path / "bag", bags.events(6.0, commands=commands)))
    (finding,) = result.total.findings
    assert (finding.kind, finding.joints, finding.value) == ("shift", bags.JOINTS, steps)
    assert f"recorded {abs(steps)} frames {'late' if steps > 0 else 'early'}" in finding.text
    assert result.total.shift.steps == steps
    assert bags.largest(result.total.shift.shifted) < FLOAT32
    unshifted = result.total.shift.unshifted["pan"].mae_ros_units
    assert unshifted == pytest.approx(result.total.chunk_error["pan"].mae_ros_units, rel=0.2)


def test_delays_of_single_joints_are_no_shift(tmp_path: Path) -> None:
    def commands(times: npt.ArrayLike) -> npt.NDArray[np.float64]:
        late, early = motion(np.asarray(times) - 3 / FPS), motion(np.asarray(times) + 2 / FPS)
        return np.stack([late[:, 0], early[:, 1], motion(times)[:, 2]], axis=1)

    result = evaluate(bags.write_bag(tmp_path / "bag", bags.events(6.0, commands=commands)))
    found = {finding.joints: (finding.kind, finding.value) for finding in result.total.findings}
    assert found == {("pan",): ("delay", 3.0), ("lift",): ("delay", -2.0)}


def test_commands_sent_just_after_their_frame_are_a_shift_of_one(tmp_path: Path) -> None:
    """LeRobot's frames: the policy learned to answer a frame with the command that came 8 ms after it."""
    events = [
        (time + 0.008, topic, kind, replace(message, header=bags.header(time + 0.008)))
        if topic == "/arm/joint_trajectory"
        else (time + 0.008 * (topic == "/gripper/commands"), topic, kind, message)
        for time, topic, kind, message in bags.events(6.0)
    ]
    total = evaluate(bags.write_bag(tmp_path / "bag", events)).total
    assert total.chunk_error["pan"].max_ros_units > 0.03  # against the command in force, which is one step older
    assert total.shift.steps == 1
    assert bags.largest(total.shift.shifted) < FLOAT32
    (finding,) = total.findings
    assert (finding.kind, finding.value) == ("shift", 1)
    assert "recorded one frame late: usual with LeRobot" in finding.text
    assert dict(rows([EvaluationResult(RunSettings("", ""), total=total)]))["Error at best shift"][0].value == "0"


def test_swapped_joints_are_named(tmp_path: Path) -> None:
    commands = lambda t: motion(t)[:, [1, 0, 2]]  # noqa: E731
    result = evaluate(bags.write_bag(tmp_path / "bag", bags.events(commands=commands)))
    (finding,) = result.total.findings
    assert (finding.kind, finding.joints) == ("swapped", ("pan", "lift"))
    assert result.total.chunk_error["grip"].max_ros_units < FLOAT32


def still_lift(times: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """`motion`, but lift stands still with a jitter of 1 mrad, as a real arm does."""
    rows = motion(times)
    rows[:, 1] = 0.2 + 1e-3 * np.sin(97.0 * np.atleast_1d(np.asarray(times)))
    return rows


def test_no_joint_is_said_to_follow_a_joint_that_stands_still(tmp_path: Path) -> None:
    """What is predicted for grip is always near lift's truth, and the other way round; neither follows the other."""
    wrong = lambda t: still_lift(t) * [1.0, 0.0, 0.0] + [0.0, 0.02, 0.2] + 0.002 * motion(t)[:, :1]  # noqa: E731
    path = bags.write_bag(tmp_path / "bag", bags.events(commands=still_lift))
    kinds = {finding.kind for finding in evaluate(path, policy=wrong).total.findings}
    assert not kinds & {"swapped", "follows", "delay", "scale"}


@pytest.mark.parametrize(("offset", "named"), [(0.001, False), (0.008, False), (0.02, True)])
def test_small_offsets_of_joints_that_stand_still_are_not_named(tmp_path: Path, offset: float, named: bool) -> None:
    path = bags.write_bag(tmp_path / "bag", bags.events(commands=still_lift))
    result = evaluate(path, policy=lambda t: still_lift(t) + np.array([0.0, offset, 0.0]))
    assert [finding.kind for finding in result.total.findings] == ["offset"] * named


@pytest.mark.parametrize("reaction", [0.0, 0.1])
def test_a_policy_that_hardly_reacts_is_named_and_nothing_else(tmp_path: Path, reaction: float) -> None:
    """It plays nearly the same motion from every observation."""
    canned = motion(START_S + np.arange(bags.CHUNK_SIZE) / FPS)
    policy = lambda t: (1.0 - reaction) * canned + reaction * motion(t) + 0.03  # noqa: E731
    result = evaluate(bags.write_bag(tmp_path / "bag", bags.events(8.0)), policy=policy)
    (finding,) = result.total.findings
    assert (finding.kind, finding.joints) == ("unresponsive", bags.JOINTS)
    assert finding.value == pytest.approx(reaction, abs=1e-6)
    assert finding.text.startswith("the policy hardly reacts to its input: ")
    assert EvaluationResult.from_json(result.to_json()).to_json() == result.to_json()


def test_a_joint_that_the_policy_leaves_alone_is_named(tmp_path: Path) -> None:
    policy = lambda t: motion(t) * [1.0, 0.0, 1.0] + [0.0, 0.2, 0.0]  # noqa: E731
    (finding,) = evaluate(bags.write_bag(tmp_path / "bag", bags.events(8.0)), policy=policy).total.findings
    assert (finding.kind, finding.joints) == ("unresponsive", ("lift",))
    assert "hardly reacts to its input for lift" in finding.text


@pytest.mark.parametrize(
    ("factor", "words"), [(180 / np.pi, "degrees instead of rad"), (np.pi / 180, "rad taken for degrees"), (-1, "sign")]
)
def test_another_unit_is_named(tmp_path: Path, factor: float, words: str) -> None:
    result = evaluate(bags.write_bag(tmp_path / "bag", bags.events()), policy=lambda t: motion(t) * [1.0, factor, 1.0])
    (finding,) = result.total.findings
    assert (finding.kind, finding.joints) == ("scale", ("lift",))
    assert finding.value == pytest.approx(factor, rel=1e-3)
    assert words in finding.text


def test_noise_gets_no_explanation(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    size = np.array([0.2, 0.2, 0.01])
    commands = lambda t: motion(t) + size * random.normal(size=(len(np.atleast_1d(t)), 3))  # noqa: E731
    result = evaluate(bags.write_bag(tmp_path / "bag", bags.events(6.0, commands=commands)))
    for joint, noise in zip(bags.JOINTS, size.tolist(), strict=True):
        assert result.total.chunk_error[joint].rmse_ros_units == pytest.approx(noise, rel=0.2)
    assert result.total.findings == ()


def test_error_grows_over_the_horizon_where_the_policys_does(tmp_path: Path) -> None:
    drifting = lambda t: motion(t) + 0.01 * np.arange(len(t))[:, None]  # noqa: E731
    horizon = evaluate(bags.write_bag(tmp_path / "bag", bags.events()), policy=drifting).total.horizon_error["pan"]
    np.testing.assert_allclose(horizon.mae_ros_units, 0.01 * np.arange(bags.CHUNK_SIZE), atol=1e-6)
    assert horizon.count[0] > horizon.count[-1] > 0  # what lies beyond the bag's end is not counted


def test_chunks_that_disagree_are_joined_without_a_jump(tmp_path: Path) -> None:
    """Every second chunk is 0.1 further. The arm moves to it within its acceleration, however chunks are merged."""
    calls = iter(range(10**6))
    wavering = lambda t: motion(t) + 0.1 * (next(calls) % 2)  # noqa: E731
    configuration = bags.configuration(**{"joint.pan.max_acceleration": 20.0}, **PATIENT)
    total = evaluate(bags.write_bag(tmp_path / "bag", bags.events()), configuration, wavering, merges="all").total
    pan = {merge: total.by_merge[merge].smoothness["pan"] for merge in MERGES}
    for figures in pan.values():
        assert figures.seams == total.chunks - 1
        assert figures.seam_jump_ros_units <= figures.largest_step_ros_units < 2.0 * SETPOINT_PERIOD_S
        assert figures.peak_acceleration_ros_units_per_s2 < 20.0 * 1.01
        assert np.isfinite(figures.boundary_minus_interior_jerk_ros_units_per_s3)
        assert figures.mean_jerk_ros_units_per_s3 > 10.0 * total.demonstration["pan"].mean_jerk_ros_units_per_s3


def test_the_plan_is_executed_as_configured_and_otherwise_only_where_that_is_asked_for(tmp_path: Path) -> None:
    path = bags.write_bag(tmp_path / "bag", bags.events(2.0))
    configuration = bags.configuration(merge="latest")
    alone, among = evaluate(path, configuration).total, evaluate(path, configuration, merges="all").total
    assert list(alone.by_merge) == ["latest"]
    assert list(among.by_merge) == list(MERGES)
    assert repr(alone.by_merge["latest"]) == repr(among.by_merge["latest"])  # nan is not equal to itself


def test_the_demonstration_has_the_figures_of_its_motion(tmp_path: Path) -> None:
    demonstration = evaluate(bags.write_bag(tmp_path / "bag", bags.events(6.0))).total.demonstration
    pan = demonstration["pan"]  # 0.6 sin(1.3 t), as samples at 20 Hz
    assert pan.largest_step_ros_units == pytest.approx(0.6 * 1.3 * SETPOINT_PERIOD_S, rel=0.01)
    assert pan.peak_acceleration_ros_units_per_s2 == pytest.approx(0.6 * 1.3**2, rel=0.02)
    assert pan.rms_jerk_ros_units_per_s3 == pytest.approx(0.6 * 1.3**3 / np.sqrt(2.0), rel=0.05)
    assert math.isnan(pan.seam_jump_ros_units)
    assert pan.seams == 0
    assert demonstration["grip"].peak_acceleration_ros_units_per_s2 == pytest.approx(0.01 * 2.1**2, rel=0.02)


def test_a_plan_that_is_the_demonstration_is_as_smooth(tmp_path: Path) -> None:
    path = bags.write_bag(tmp_path / "bag", bags.events(6.0, commands=motion_from_rest, states=motion_from_rest))
    total = evaluate(path, bags.configuration(**PATIENT), motion_from_rest, merges="all").total
    for merge in MERGES:
        for joint, figures in total.by_merge[merge].smoothness.items():
            theirs = total.demonstration[joint]
            assert figures.peak_acceleration_ros_units_per_s2 < 1.5 * theirs.peak_acceleration_ros_units_per_s2
            assert figures.sparc == pytest.approx(theirs.sparc, abs=0.05)
            assert abs(figures.boundary_minus_interior_jerk_ros_units_per_s3) < figures.rms_jerk_ros_units_per_s3


def test_limits_are_those_of_the_node_and_counted_per_joint(tmp_path: Path) -> None:
    configuration = bags.configuration(**{"joint.pan.max": 0.3, "joint.lift.max_velocity": 0.1}, **PATIENT)
    total = evaluate(bags.write_bag(tmp_path / "bag", bags.events()), configuration).total
    limits, executed = total.by_merge["blend"].limits, total.by_merge["blend"].executed
    assert limits["pan"].clamped > 10
    assert limits["lift"].clamped == limits["grip"].clamped == 0
    assert limits["lift"].commands == total.chunks
    assert limits["lift"].smoothed > 10
    assert executed["pan"].max_ros_units == pytest.approx(0.3, abs=0.01)
    assert total.by_merge["blend"].smoothness["lift"].largest_step_ros_units < 0.1001 * SETPOINT_PERIOD_S
    assert bags.largest(total.chunk_error) < FLOAT32  # raw chunks know no limits


def test_latency_shows_in_age_and_is_compensated(tmp_path: Path) -> None:
    path = bags.write_bag(tmp_path / "bag", bags.events(commands=motion_from_rest, states=motion_from_rest))
    total = evaluate(path, bags.configuration(**PATIENT), motion_from_rest, latency_s=0.08).total
    assert 0.079 < total.observation_age.p50_s < 0.14
    assert bags.largest(total.by_merge["blend"].executed) < FLOAT32


def test_stride_and_limit_evaluate_less(tmp_path: Path) -> None:
    path = bags.write_bag(tmp_path / "bag", bags.events())
    everything, some = evaluate(path), evaluate(path, stride=2, limit_s=2.0)
    assert some.total.chunks == pytest.approx(everything.total.chunks / 4, abs=1)
    assert "only the first 2 s" in some.episodes[0].notes[0]


def test_several_bags_are_several_episodes_and_add_up(tmp_path: Path) -> None:
    for name, seconds in (("a", 2.0), ("b", 3.0)):
        bags.write_bag(tmp_path / name, bags.events(seconds, commands=lambda t: motion(t) + 0.01))
    result = evaluate(tmp_path)
    assert [episode.name for episode in result.episodes] == ["a", "b"]
    counts = [episode.metrics.chunk_error["pan"].count for episode in result.episodes]
    assert result.total.chunk_error["pan"].count == sum(counts)
    assert result.total.chunk_error["pan"].mae_ros_units == pytest.approx(0.01, abs=1e-6)
    assert EvaluationResult.from_json(result.to_json()).to_json() == result.to_json()


def test_series_are_bounded_and_show_plan_truth_and_the_worst_image(tmp_path: Path) -> None:
    wrong_once = lambda t: motion(t) + (0.3 if 2.0 <= t[0] - START_S < 2.3 else 0.0)  # noqa: E731
    series = evaluate(bags.write_bag(tmp_path / "bag", bags.events()), policy=wrong_once).episodes[0].series
    assert len(series.plan_times_s) == len(series.plan) == len(series.truth)
    assert len(series.chunks[0].rows) == bags.CHUNK_SIZE
    assert series.thumbnails[0].t_s == pytest.approx(2.15, abs=0.15)
    assert series.thumbnails[0].error_ros_units == pytest.approx(0.3, abs=1e-6)
    assert series.thumbnails[0].png.startswith(b"\x89PNG")


def test_a_real_checkpoint_that_is_obeyed_has_no_error(tmp_path: Path) -> None:
    """The operator executes the policy's chunks, each until the next; the bag says so, and the evaluation agrees."""
    names = [f"joint{i}" for i in range(4)]
    inputs = {
        "observation.state": {"type": "STATE", "shape": [4]},
        "observation.images.top": {"type": "VISUAL", "shape": [3, 64, 96]},
    }
    (tmp_path / "checkpoint").mkdir()
    write_checkpoint(tmp_path / "checkpoint", inputs=inputs)
    configuration = bags.configuration(
        **{
            "state.joints": names, "controllers": ["arm"], "controller.arm.joints": names, "merge": "latest",
            "controller.gripper.topic": None, "controller.gripper.joints": None, "controller.gripper.interface": None,
            **{f"joint.{name}.max_velocity": 1000.0 for name in names},
        }
    )  # fmt: skip
    random = np.random.default_rng(3)
    with InferenceClient.create("local", checkpoint=tmp_path / "checkpoint", device="cpu", threads=1) as client:
        messages, state = [], None
        for step in range(40):
            now = START_S + step / FPS
            state = random.normal(size=4) if step % 4 == 0 else state
            measured = bags.joint_state(names, state, now)
            messages.append((now, "/joint_states", "sensor_msgs/msg/JointState", measured))
            if step % 4 == 0:
                pixels = random.integers(0, 256, (64, 96, 3), dtype=np.uint8)
                observation: dict[str, Any] = {
                    "observation.state": state.astype(np.float32),
                    "observation.images.top": pixels,
                }
                chunk = client.predict(observation)
                image = bags.image(0, now, 64, 96)
                image.data[:] = pixels.reshape(-1)
                messages.append((now, "/top/image_raw", "sensor_msgs/msg/Image", image))
            command = bags.joint_state(names, chunk[step % 4], now)
            messages.append((now, "/arm/joint_trajectory", "sensor_msgs/msg/JointState", command))
        path = bags.write_bag(tmp_path / "bag", messages)
        result = evaluate_bags([path], configuration, client, RunSettings("local", ""))
    assert result.total.chunks == 10
    for error in result.total.horizon_error.values():
        assert error.count[:4] == (10, 10, 10, 10)
        assert max(error.max_ros_units[:4]) < 1e-4  # of the rows that were obeyed
