"""Makes `ObservationInputs` from a robot's configuration; only here does the parameter file meet the inputs."""

from __future__ import annotations

from act_inference_ros.interfaces import COMPRESSED
from act_inference_ros.observation import optional
from act_inference_ros.observation.inputs import ObservationInputs
from act_inference_ros.observation.received import CameraOptions
from act_inference_ros.robot.configuration import RobotConfiguration
from act_inference_ros.spec import PolicySpec


def bind_inputs(configuration: RobotConfiguration, spec: PolicySpec, keep_jpeg: bool = False) -> ObservationInputs:
    """Make the inputs that `spec` reads, as `configuration` says. `keep_jpeg`: the policy takes JPEGs undecoded.

    Raises ConfigurationError if the two do not fit each other, MissingDependencyError if images could never be decoded
    on this machine.
    """
    if any(camera.transport == COMPRESSED for camera in configuration.cameras):
        optional.require_opencv("decoding a compressed image")
    if configuration.resize:
        optional.require_opencv("resizing an image")
    return ObservationInputs(
        spec=spec,
        # A policy may read no state; then joint states only tell where a motion starts.
        state=configuration.state if spec.state_dim is not None else None,
        state_topics=configuration.state_topics,
        cameras={camera.name: CameraOptions(camera.transport) for camera in configuration.cameras},
        max_age=configuration.max_age,
        max_skew=configuration.max_skew,
        stamps=configuration.stamps,
        resize=configuration.resize,
        keep_jpeg=keep_jpeg,
        moved=configuration.action.joints,
    )
