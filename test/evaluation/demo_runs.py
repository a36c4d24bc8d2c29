"""Helpers for tests of the evaluator's command line: a checkpoint for the demo arm, episodes, recorded bags."""

from pathlib import Path

from act_inference_ros.evaluation.episodes import demo_policy
from act_inference_ros.evaluation.episodes.bag_recorder import BagRecorder
from act_inference_ros.evaluation.episodes.closed_loop import Episode, make_arm, run_episode
from act_inference_ros.evaluation.episodes.expert_policy import EXPERT_SPEC, expert_policy
from act_inference_ros.robot.configuration import RobotConfiguration
from act_inference_ros.robot.parameter_file import read_configuration
from test.checkpoints import write_checkpoint

CHUNK_SIZE = 20
INPUTS = {
    "observation.state": {"type": "STATE", "shape": [6]},
    "observation.images.front": {"type": "VISUAL", "shape": [3, 96, 96]},
}
OUTPUTS = {"action": {"type": "ACTION", "shape": [6]}}


def configuration() -> RobotConfiguration:
    return read_configuration(demo_policy.parameter_file())


def write_demo_checkpoint(directory: Path) -> Path:
    """An untrained policy for the demo arm: quick, deterministic, and its chunks depend on image and state."""
    directory.mkdir(parents=True, exist_ok=True)
    write_checkpoint(directory, inputs=INPUTS, outputs=OUTPUTS, chunk_size=CHUNK_SIZE, n_action_steps=CHUNK_SIZE)
    return directory


def expert_episode(
    seed: int = 0, limit_s: float = 8.0, record: Path | None = None, parameters: RobotConfiguration | None = None
) -> Episode:
    """An episode of the scripted expert, recorded as a bag if `record` says where."""
    arm = make_arm(EXPERT_SPEC)
    try:
        arguments = (arm, expert_policy(arm), parameters or configuration(), 0, seed, limit_s)
        if record is None:
            return run_episode(*arguments)
        with BagRecorder(record) as recorder:
            return run_episode(*arguments, publish=recorder.write)
    finally:
        arm.close()
