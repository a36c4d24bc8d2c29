"""One run of eval_policy, in one mode: the client, the reported settings, the evaluation itself."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from act_inference_ros.errors import ConfigurationError
from act_inference_ros.evaluation.bags.bag_evaluation import EvaluationOptions, evaluate_bags
from act_inference_ros.evaluation.cli.arguments import MEASURED
from act_inference_ros.evaluation.cli.bag_progress import shown
from act_inference_ros.evaluation.episodes import demo_policy
from act_inference_ros.evaluation.episodes.bag_recorder import BagRecorder
from act_inference_ros.evaluation.episodes.closed_loop import (
    DEFAULT_LATENCY_S,
    DEFAULT_LIMIT_S,
    Episode,
    Policy,
    check_configuration,
    make_arm,
    run_episode,
)
from act_inference_ros.evaluation.episodes.expert_policy import EXPERT_SPEC, expert_policy
from act_inference_ros.evaluation.episodes.film import film
from act_inference_ros.evaluation.export.directory import EpisodeFiles
from act_inference_ros.evaluation.report.report_data import failures_first, outcome
from act_inference_ros.evaluation.run_settings import RunSettings
from act_inference_ros.evaluation.runs import Film, Run, simulation_result
from act_inference_ros.evaluation.watch import WatchEpisode, nobody
from act_inference_ros.inference.backend import DEVICE, ENGINE, PRECISION, PRECISION_ERROR, PROVIDERS
from act_inference_ros.inference.client import InferenceClient
from act_inference_ros.inference.triton.options import DEFAULT_MODEL, DEFAULT_SERVER
from act_inference_ros.interfaces import THREAD
from act_inference_ros.program.progress import progress_bar
from act_inference_ros.program.version import package_version
from act_inference_ros.robot.configuration import RobotConfiguration
from act_inference_ros.robot.parameter_file import read_parameters, unit_texts
from act_inference_ros.spec import PolicySpec

Say = Callable[[str], None]
EXPERT = "expert"
FPS = "fps"
"""The parameter that all predictions depend on, and that no bag contains."""
_OF_THE_POLICY = ("checkpoint", "engine", "providers", "precision", "device", "server", "model")
"""Options that replace values of the parameter file."""


def run_episodes(
    mode: str,
    options: argparse.Namespace,
    configuration: RobotConfiguration,
    files: Sequence[Path],
    stopped: Callable[[], bool],
    say: Say,
) -> Run:
    """Run simulated episodes. Raises ActInferenceError."""
    if options.latency_s == MEASURED:
        raise ConfigurationError("--latency-s measured is for bags: an episode would depend on the machine's speed")
    latency_s = DEFAULT_LATENCY_S if options.latency_s is None else options.latency_s
    limit_s = options.limit_s or DEFAULT_LIMIT_S
    facts: Mapping[str, str] = {}
    with ExitStack() as stack:
        if options.expert:
            check_configuration(configuration, EXPERT_SPEC)
            arm = make_arm(EXPERT_SPEC)
            policy, name, mode = expert_policy(arm), "the scripted expert", EXPERT
        else:
            arguments = client_arguments(mode, options, configuration, train=say)
            client = stack.enter_context(InferenceClient.create(**arguments))
            policy, name = Policy(client.spec, client.predict), policy_name(mode, arguments)
            facts = opened(client, say)
            check_configuration(configuration, client.spec)
            arm = make_arm(client.spec)
        stack.callback(arm.close)
        watch = watched(mode, options, policy.spec, configuration)
        episodes: list[Episode] = []
        with progress_bar(f"{mode}: episodes", "episodes", say) as progress:
            for index in range(options.episodes):
                with ExitStack() as recording:
                    publish, name_of_it = None, f"seed{options.seed + index}"
                    if options.record:
                        directory = options.record / f"{name_of_it}_{mode}"
                        publish = recording.enter_context(BagRecorder(directory)).write
                    watching = recording.enter_context(watch(name_of_it))
                    episode = run_episode(
                        arm, policy, configuration, index, options.seed, limit_s, latency_s, publish, stopped, watching
                    )
                episodes.append(episode)
                if episode.interrupted:
                    break
                say(episode.line(options.episodes))
                progress(index + 1, options.episodes)
    settings = run_settings(mode, name, configuration, files, policy.spec, latency=f"{latency_s:g}", **facts)
    finished = tuple(episode for episode in episodes if not episode.interrupted)
    result = simulation_result(settings, finished, options.episodes)
    return Run(mode, result, finished, tuple(_films(finished)))


def run_bags(
    mode: str,
    options: argparse.Namespace,
    configuration: RobotConfiguration,
    files: Sequence[Path],
    stopped: Callable[[], bool],
    say: Say,
) -> Run:
    """Evaluate recorded bags. Raises ActInferenceError."""
    how = evaluation_options(options)
    if FPS not in read_parameters(*files):
        say(f"{FPS}: {configuration.fps:g} is taken, the default: the parameter file does not give the training data's")
    arguments = client_arguments(mode, options, configuration)
    with InferenceClient.create(**arguments) as client, progress_bar(mode, "bags", say) as progress:
        configuration.check_fits(client.spec)
        name, facts = policy_name(mode, arguments), opened(client, say)
        settings = run_settings(mode, name, configuration, files, client.spec, **facts)
        watch = watched(mode, options, client.spec, configuration)
        result = evaluate_bags(options.bag, configuration, client, settings, how, shown(progress), stopped, watch)
    return Run(mode, result)


def evaluation_options(options: argparse.Namespace) -> EvaluationOptions:
    """Return the command line's options for evaluating bags and data sets. Raises ConfigurationError."""
    return EvaluationOptions(
        truth=options.truth,
        latency_s=None if options.latency_s == MEASURED else options.latency_s or 0.0,
        stride=options.stride,
        limit_s=options.limit_s,
        commanded_by=options.commanded_by,
        status_topic=options.status_topic,
        unmarked=options.unmarked,
        merges=options.merges,
    )


def watched(
    mode: str, options: argparse.Namespace, spec: PolicySpec, configuration: RobotConfiguration
) -> WatchEpisode:
    """Return the watch that exports the episodes, if that is requested. Raises ConfigurationError."""
    return EpisodeFiles(options.mcap, mode, spec, configuration) if options.mcap else nobody


def client_arguments(
    mode: str, options: argparse.Namespace, configuration: RobotConfiguration, train: Say | None = None
) -> dict[str, Any]:
    """Return arguments for `InferenceClient.create`: the node's, changed by the command line.

    With the demo robot's parameters and without a policy, it is the demo's policy; `train` gets the progress of
    its training, if that is necessary. Raises ConfigurationError if no policy is named.
    """
    given = {name: getattr(options, name) for name in _OF_THE_POLICY}
    arguments = {**configuration.client_arguments, "mode": mode, **{k: v for k, v in given.items() if v}}
    arguments["isolation"] = THREAD  # no arm waits here, and a failure must end the evaluation
    if mode == "local" and not (arguments["checkpoint"] or os.environ.get("CHECKPOINT_DIR")):
        if options.params or options.dataset or (train is None and not demo_policy.is_trained()):
            raise ConfigurationError("name the policy: --checkpoint DIR, or CHECKPOINT_DIR in the environment")
        arguments["checkpoint"] = str(demo_policy.checkpoint(train or (lambda _: None)))
    return arguments


def opened(client: InferenceClient, say: Say) -> Mapping[str, str]:
    """Print the client's notices once, and return what computes the policy, as fields of the settings."""
    for note in client.notes:
        say(note)
    names = (ENGINE, PRECISION, DEVICE, PROVIDERS, PRECISION_ERROR)
    return {name.replace(" ", "_"): client.facts[name] for name in names if name in client.facts}


def policy_name(mode: str, arguments: dict[str, Any]) -> str:
    """Return the policy's name in the report: the checkpoint, or model@server."""
    if mode == "local":
        return str(arguments["checkpoint"] or os.environ.get("CHECKPOINT_DIR", ""))
    server = arguments["server"] or os.environ.get("TRITON_URL") or DEFAULT_SERVER
    return f"{arguments['model'] or os.environ.get('MODEL_NAME') or DEFAULT_MODEL}@{server}"


def run_settings(
    mode: str,
    name: str,
    configuration: RobotConfiguration,
    files: Sequence[Path],
    spec: PolicySpec,
    **more: Any,
) -> RunSettings:
    """Return the settings that the result reports."""
    return RunSettings(
        mode=mode,
        policy=name,
        policy_id=spec.policy_id,
        parameter_files=tuple(str(file) for file in files),
        fps=configuration.fps,
        inference_rate=configuration.inference_rate,
        merge=configuration.merge,
        blend_time_s=configuration.blend_time,
        ensemble_coeff=configuration.ensemble_coeff,
        max_age_s=configuration.max_age,
        max_skew_s=configuration.max_skew,
        stamps=configuration.stamps,
        resize=configuration.resize,
        chunk_size=spec.chunk_size,
        joints=tuple(configuration.action.names),
        units=unit_texts(configuration),
        cameras=tuple(camera.name for camera in configuration.cameras),
        max_plan_age_s=configuration.max_plan_age,
        coast_time_s=configuration.coast_time,
        following_lag_s=configuration.following_lag,
        max_velocity={joint.name: joint.max_velocity for joint in configuration.action.joints},
        max_acceleration={joint.name: joint.max_acceleration for joint in configuration.action.joints},
        max_deviation={joint.name: joint.max_deviation for joint in configuration.action.joints},
        package_version=package_version(),
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        **more,
    )


def _films(episodes: Sequence[Episode]) -> list[Film]:
    ranked = failures_first(episodes)
    chosen = {"worst": ranked[:1], "best": ranked[-1:] if len(ranked) > 1 else []}
    return [
        Film(f"{which}: episode {episode.index + 1}, {outcome(episode)}", film(episode))
        for which, found in chosen.items()
        for episode in found
    ]
