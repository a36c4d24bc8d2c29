"""The demo: a policy is trained on the spot, and policy_node picks cubes with sim_robot over real topics.

    python -m act_inference_ros.demo --episodes 20

Both nodes run as processes of their own, in a ROS domain of their own, on simulated time: the robot's clock slows down
with a busy machine, so that the result does not depend on how fast the machine is. What passes on the topics is
recorded, and shown on a page afterwards.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from act_inference_ros.demo import showing
from act_inference_ros.demo.domain import isolated
from act_inference_ros.demo.server import demo_server
from act_inference_ros.errors import ActInferenceError, CheckpointError
from act_inference_ros.evaluation.episodes.closed_loop import CONTROL_RATE
from act_inference_ros.inference.local.exported_policy import is_exported_repository
from act_inference_ros.interfaces import DEFAULT_MODE, ENGINES, MODES, TORCH
from act_inference_ros.policy import checkpoint_files
from act_inference_ros.program import exit_status, shared_memory
from act_inference_ros.program.installed_files import share_directory
from act_inference_ros.program.processes import ManagedProcess
from act_inference_ros.program.signals import STOP_SIGNALS, StoppedBySignal, StopSignals
from act_inference_ros.simulation.command_inputs import DEMO_CONTROLLERS, DEMO_INTERFACES, demo_topic

TRAINER = "act_inference_ros.simulation.trainer"
POLICY_NODE = "act_inference_ros.ros.policy.policy_node"
SIM_ROBOT = "act_inference_ros.ros.sim.sim_robot"
PARAMETER_FILE = "config/sim_arm.yaml"

FIRST_COMMAND_TIMEOUT_S = 120.0
"""Loading a policy takes seconds, and some tens of them where it is compiled or the machine is busy."""

BLOCK_AFTER_S = 0.4
"""Of `--block-arm`: the arm is on its way to the cube then."""

TIMEOUT_PER_EPISODE_S = 60.0
"""Of wall time: simulated seconds may take several."""

SLOWEST = 0.05
"""Least real-time factor, that of sim_robot."""

EXIT_TIMEOUT_S = 10.0
"""For the robot to exit after its last line."""

_POLL_S = 0.05
_SUCCESS = re.compile(r"^success: (\d+)/\d+ ")


def main(args: list[str] | None = None) -> int:
    """Run the demo; returns the exit status."""
    options = _parser().parse_args(args)
    try:
        # SIGHUP: a terminal that is closed must not leave the demo's programs behind.
        return run(options, StopSignals((*STOP_SIGNALS, signal.SIGHUP)))
    except StoppedBySignal as stopped:
        print(f"demo: {stopped}", file=sys.stderr)
        return stopped.exit_status
    except ActInferenceError as error:
        print(f"demo: {error}", file=sys.stderr)
        return exit_status.of_error(error)


def run(options: argparse.Namespace, signals: StopSignals) -> int:
    """Train if need be, run the episodes, print the success line last. Raises ActInferenceError if that fails."""
    share = share_directory()
    # A demo that was killed has left 17 MB for each of its nodes.
    shared_memory.remove_abandoned()
    checkpoint = _checkpoint(options, signals)
    with _ros_environment(share) as environment, _log_directory(options.out, options.keep_logs) as logs:
        environment["ROS_LOG_DIR"] = str(logs / "ros")
        about = f"{options.episodes} episodes, {options.mode} mode, {options.interface}"
        say(about)
        say(showing.live_line(environment, share))
        with (
            _recorder(options, logs, environment, signals) as recorder,
            _server(options, checkpoint, logs, environment, signals) as server,
            ManagedProcess.module(SIM_ROBOT, _robot_arguments(options), environment, logs / "sim_robot.log") as robot,
        ):
            if recorder is not None:
                recorder.wait()
            with ManagedProcess.module(
                POLICY_NODE,
                _policy_arguments(options, share, checkpoint, server),
                environment,
                logs / "policy_node.log",
            ) as policy:
                timeout_s = FIRST_COMMAND_TIMEOUT_S + options.episodes * TIMEOUT_PER_EPISODE_S
                success_line = _watch(policy, robot, signals, timeout_s)
        if recorder is not None and recorder.bag is not None:
            page = showing.Showing(options.out, about, checkpoint, share / PARAMETER_FILE, may_open=not options.no_open)
            page.make(recorder.bag, signals.check, say)
    print(success_line, flush=True)
    match = _SUCCESS.match(success_line)
    successes = int(match.group(1)) if match else 0
    return exit_status.OK if successes >= options.min_success else exit_status.NOT_MET


def say(text: str) -> None:
    """Progress, for people."""
    print(f"[demo] {text}", flush=True)


def _checkpoint(options: argparse.Namespace, signals: StopSignals) -> Path:
    """The directory of a trained policy: the one given, or the demo's own, trained if it isn't there."""
    if options.checkpoint is not None:
        exported = options.mode == "local" and options.engine != TORCH
        return _existing(options.checkpoint, or_exported=exported)
    checkpoint: Path = options.out.resolve() / "checkpoint"
    if checkpoint_files.is_complete(checkpoint):
        say(f"the policy in {checkpoint} is there already (delete it to train anew)")
        return checkpoint
    say("recording demonstrations and training a policy: about a minute or two")
    with ManagedProcess.module(TRAINER, ["--out", str(checkpoint)], os.environ, log=None) as trainer:
        while (status := trainer.wait(_POLL_S)) is None:
            signals.check()
    if status != 0:
        raise ActInferenceError(f"training failed (exit status {status}); its messages are above")
    return _existing(checkpoint)


def _existing(checkpoint: Path, or_exported: bool = False) -> Path:
    if not checkpoint_files.is_complete(checkpoint) and not (or_exported and is_exported_repository(str(checkpoint))):
        raise CheckpointError(
            f"{checkpoint}: expected a checkpoint directory with {' and '.join(checkpoint_files.FILES)}"
            + (", or an exported repository" if or_exported else "")
        )
    return checkpoint.resolve()


def _server(
    options: argparse.Namespace, checkpoint: Path, logs: Path, environment: dict[str, str], signals: StopSignals
) -> contextlib.AbstractContextManager[str]:
    """The address of the server to use: none in local mode, the one given, or one of the demo's own."""
    if options.mode != "triton" or options.server:
        return contextlib.nullcontext(options.server)
    return demo_server(checkpoint, options.out, logs, environment, signals.check)


def _recorder(
    options: argparse.Namespace, logs: Path, environment: dict[str, str], signals: StopSignals
) -> contextlib.AbstractContextManager[showing.Recorder | None]:
    """Records the demo's topics for the page; None where none is wanted, or something for it is not installed."""
    lacking = None if options.no_page else showing.missing()
    if lacking is not None:
        say(lacking)
    if options.no_page or lacking is not None:
        return contextlib.nullcontext(None)
    return showing.Recorder(logs, options.interface, environment, signals.check, say)


@contextlib.contextmanager
def _ros_environment(share: Path) -> Iterator[dict[str, str]]:
    """What both nodes need to find each other and nobody else; what the user has set stays."""
    environment = dict(os.environ)
    profile = str(share / "config" / "fastdds.xml")
    if environment.get("ROS_DISTRO") == "humble":
        environment.setdefault("FASTRTPS_DEFAULT_PROFILES_FILE", profile)
    environment.setdefault("FASTDDS_DEFAULT_PROFILES_FILE", profile)
    environment.setdefault("AMENT_PREFIX_PATH", sys.prefix)
    with isolated(environment) as own:
        yield environment | own


@contextlib.contextmanager
def _log_directory(parent: Path, keep: bool) -> Iterator[Path]:
    """A fresh directory for one run's logs; it stays if the run fails or `keep`."""
    parent.mkdir(parents=True, exist_ok=True)
    logs = Path(tempfile.mkdtemp(prefix="logs_", dir=parent.resolve()))
    try:
        yield logs
    except ActInferenceError:
        keep = True
        raise
    finally:
        if keep:
            say(f"the nodes' logs are in {logs}")
        else:
            shutil.rmtree(logs, ignore_errors=True)


def _policy_arguments(options: argparse.Namespace, share: Path, checkpoint: Path, server: str) -> list[str]:
    parameters = {"mode": options.mode, "checkpoint": str(checkpoint), "engine": options.engine}
    if server:
        parameters["server"] = server
    for controller in DEMO_CONTROLLERS:
        prefix = f"controller.{controller.removesuffix('_controller')}"
        parameters[f"{prefix}.interface"] = options.interface
        parameters[f"{prefix}.topic"] = demo_topic(options.interface, controller)
    arguments = ["--ros-args", "--params-file", str(share / PARAMETER_FILE), "-p", "use_sim_time:=true"]
    for name, value in parameters.items():
        # Values are YAML: in quotes a path is text, whatever it looks like.
        arguments += ["-p", f"{name}:={json.dumps(value)}"]
    return arguments


def _robot_arguments(options: argparse.Namespace) -> list[str]:
    parameters = {
        "interface": options.interface,
        "episodes": options.episodes,
        "episode_time_s": options.episode_time,
        "seed": options.seed,
        "cover_camera": str(options.cover_camera).lower(),
        "publish_clock": "true",
        "real_time_factor": options.real_time_factor,
        "control_rate": float(CONTROL_RATE),
        "clear_stops": "true",
        "block_after_s": BLOCK_AFTER_S if options.block_arm else 0.0,
        "first_command_timeout_s": FIRST_COMMAND_TIMEOUT_S,
    }
    return ["--ros-args", *(part for name, value in parameters.items() for part in ("-p", f"{name}:={value}"))]


def _watch(policy: ManagedProcess, robot: ManagedProcess, signals: StopSignals, timeout_s: float) -> str:
    """Show each episode's outcome as it ends; return the success line. Raises ActInferenceError if a node fails."""
    deadline = time.monotonic() + timeout_s
    success_line: str | None = None
    while time.monotonic() < deadline:
        signals.check()
        ended = [process for process in (robot, policy) if process.returncode is not None]
        for line in robot.lines():
            if _SUCCESS.match(line):
                success_line = line
            else:
                print(line, flush=True)
        if success_line is not None and (robot in ended or robot.wait(EXIT_TIMEOUT_S) is not None):
            return success_line
        if ended:
            how = " and ".join(f"{process.name} (exit status {process.returncode})" for process in ended)
            raise ActInferenceError(f"{how} ended too early\n{_last_words(policy, robot)}")
        robot.wait(_POLL_S)
    raise ActInferenceError(f"not over after {timeout_s:.0f} s\n{_last_words(policy, robot)}")


def _last_words(*processes: ManagedProcess) -> str:
    return "\n".join(f"--- the last lines of {process.name}:\n{process.last_lines()}" for process in processes)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="demo",
        description="Trains a small ACT policy if there is none yet, then lets policy_node pick cubes with sim_robot.",
    )
    parser.add_argument("--episodes", type=_positive, default=20, help="cubes to pick (default: 20)")
    parser.add_argument("--episode-time", type=float, default=8.0, help="s to lift a cube in (default: 8)")
    parser.add_argument("--mode", choices=MODES, default=DEFAULT_MODE, help="where the policy is computed")
    parser.add_argument("--engine", choices=ENGINES, default=TORCH, help="local mode: what computes the network")
    parser.add_argument(
        "--server", default="", help="triton mode: address of a running server (default: one is started)"
    )
    parser.add_argument("--interface", choices=DEMO_INTERFACES, default="joint_trajectory")
    parser.add_argument("--cover-camera", action="store_true", help="black images: does the policy look at all?")
    parser.add_argument("--block-arm", action="store_true", help="hold the arm for 1 s in each episode: is it noticed?")
    parser.add_argument(
        "--real-time-factor",
        type=_factor,
        default=1.0,
        help="slower simulated time, for a slow or busy machine",
    )
    parser.add_argument("--seed", type=int, default=0, help="of the cubes' places (default: 0)")
    parser.add_argument("--checkpoint", type=Path, help="another policy than the demo's own")
    parser.add_argument("--out", type=Path, default=Path(".demo"), help="for policy, page and logs (default: .demo)")
    parser.add_argument("--min-success", type=int, default=0, help="exit status 1 if fewer cubes are lifted")
    parser.add_argument("--no-page", action="store_true", help="record nothing and write no page of the run")
    parser.add_argument("--no-open", action="store_true", help="write the page, but open no browser")
    parser.add_argument("--keep-logs", action="store_true", help="keep the nodes' logs of a run that went well, too")
    return parser


def _factor(text: str) -> float:
    factor = float(text)
    if not SLOWEST <= factor <= 1.0:
        raise argparse.ArgumentTypeError(f"expected a number from {SLOWEST:g} to 1, got {text}")
    return factor


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number from 1, got {text}")
    return number


if __name__ == "__main__":
    sys.exit(main())
