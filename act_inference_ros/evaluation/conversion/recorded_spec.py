"""The inputs of a policy that is trained on these bags: names from the parameter file, sizes from the messages."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from act_inference_ros.errors import ConfigurationError, ObservationError
from act_inference_ros.evaluation.bags import recording
from act_inference_ros.evaluation.bags.bag import Bag
from act_inference_ros.evaluation.bags.recording import Recording
from act_inference_ros.evaluation.comparison.truth import COMMANDS
from act_inference_ros.interfaces import COMPRESSED
from act_inference_ros.observation import images
from act_inference_ros.robot.configuration import RobotConfiguration
from act_inference_ros.spec import IMAGE_PREFIX, ImageSpec, PolicySpec


def recorded_spec(bags: Sequence[Path], configuration: RobotConfiguration) -> PolicySpec:
    """Return the spec from the first bag that has all inputs; its chunk length has no meaning.

    Raises ConfigurationError that says what is missing in each bag, if no bag is complete.
    """
    problems = []
    for path in bags:
        with Bag(path) as bag:
            found = _spec_of(bag, configuration)
        if isinstance(found, PolicySpec):
            return found
        problems += [f"{path.name}: {problem}" for problem in found]
    raise ConfigurationError("no bag can be converted:" + "".join(f"\n  - {problem}" for problem in problems))


def why_unusable(found: Recording) -> list[str]:
    """Return what a bag lacks for a data set: an input, or a controller's commands; neither is ever replaced."""
    return [*found.missing, *(f"{why}; there is no action without it" for why in found.uncommanded.values())]


def _spec_of(bag: Bag, configuration: RobotConfiguration) -> PolicySpec | list[str]:
    state_dim = len(configuration.state) if configuration.state else None
    action_dim = len(configuration.action)
    without = PolicySpec(chunk_size=1, action_dim=action_dim, state_dim=state_dim)
    found = recording.examine(bag, configuration, without, COMMANDS)
    if unusable := why_unusable(found):
        return [*bag.problems, *unusable]
    wanted = {camera.topic: camera for camera in configuration.cameras}
    environment = configuration.environment_state_topic
    sizes: dict[str, tuple[int, int]] = {}
    length: int | None = None
    for topic, _, message in bag.messages([*wanted, *([environment] if environment else [])]):
        if message is not None and topic == environment:
            length = length or len(message.data)
        elif message is not None and images.is_compressed(message) == (wanted[topic].transport == COMPRESSED):
            try:
                sizes.setdefault(wanted[topic].name, images.image_size(message))
            except ObservationError:
                continue
        if len(sizes) == len(wanted) and (length or not environment):
            break
    missing = [f"camera {name}: no readable image" for name in (c.name for c in wanted.values()) if name not in sizes]
    if environment and not length:
        missing.append(f"environment state ({environment}): no numbers on it")
    if missing:
        return [*bag.problems, *missing]
    return PolicySpec(
        chunk_size=1,
        action_dim=action_dim,
        images=tuple(ImageSpec(f"{IMAGE_PREFIX}{camera.name}", *sizes[camera.name]) for camera in wanted.values()),
        state_dim=state_dim,
        environment_state_dim=length,
    )
