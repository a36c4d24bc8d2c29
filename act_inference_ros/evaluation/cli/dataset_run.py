"""One run of eval_policy on a LeRobot data set, in one mode."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from act_inference_ros.errors import ConfigurationError
from act_inference_ros.evaluation.bags.bag import METADATA, STORAGE_SUFFIXES, storage_files
from act_inference_ros.evaluation.cli.bag_progress import shown
from act_inference_ros.evaluation.cli.runners import (
    Say,
    client_arguments,
    evaluation_options,
    opened,
    policy_name,
    run_settings,
    watched,
)
from act_inference_ros.evaluation.datasets.dataset_evaluation import evaluate_dataset
from act_inference_ros.evaluation.datasets.description import is_dataset, read_info
from act_inference_ros.evaluation.datasets.index import read_episodes
from act_inference_ros.evaluation.datasets.stand_in import stand_in_robot
from act_inference_ros.evaluation.runs import Run
from act_inference_ros.inference.client import InferenceClient
from act_inference_ros.program.progress import progress_bar
from act_inference_ros.robot.configuration import RobotConfiguration


def run_dataset(
    mode: str,
    options: argparse.Namespace,
    configuration: RobotConfiguration,
    files: Sequence[Path],
    stopped: Callable[[], bool],
    say: Say,
) -> Run:
    """Evaluate episodes of a data set.

    `configuration` gives the client's default options; it describes the robot only if `--params` was given.
    Raises ActInferenceError.
    """
    how = evaluation_options(options)
    refuse_bag(options.dataset)
    info = read_info(options.dataset)
    entries = read_episodes(info, options.episodes_of or ())
    arguments = client_arguments(mode, options, configuration)
    with InferenceClient.create(**arguments) as client, progress_bar(mode, "episodes", say) as progress:
        given = configuration if options.params else None
        robot = stand_in_robot(info, client.spec, given)
        named = files if options.params else ()
        settings = run_settings(mode, policy_name(mode, arguments), robot, named, client.spec, **opened(client, say))
        if given is None:  # without --params there are no limits
            settings = replace(settings, max_velocity={}, max_acceleration={}, max_deviation={})
        watch = watched(mode, options, client.spec, robot)
        result = evaluate_dataset(info, entries, client, settings, how, shown(progress), stopped, watch, given)
    return Run(mode, result)


def refuse_bag(path: Path) -> None:
    """Raise ConfigurationError for a bag, and for a directory of bags that is no data set."""
    if is_dataset(path):
        return
    directories = [path, *sorted(path.iterdir())] if path.is_dir() else []
    in_directory = any((each / METADATA).is_file() or storage_files(each) for each in directories if each.is_dir())
    if in_directory or (path.is_file() and path.name.endswith(STORAGE_SUFFIXES)):
        raise ConfigurationError(f"{path}: this is a bag (rosbag2), not a LeRobot data set: use --bag")


def refuse_dataset(paths: Sequence[Path]) -> None:
    """Raise ConfigurationError if one of the directories is a data set and no bag."""
    for path in paths:
        if is_dataset(path):
            raise ConfigurationError(f"{path}: this is a LeRobot data set, not a bag: use --dataset")
