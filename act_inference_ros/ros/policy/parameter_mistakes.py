"""Explains a refused configuration whose cause is that the parameters never reached the node."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from typing import Any

from act_inference_ros.errors import ActInferenceError, ConfigurationError
from act_inference_ros.robot.parameter_file import why_nothing_applies

_EVERY_ROBOT_HAS = ("state.joints", "action.joints", "controllers")


def explained(problem: Exception, node: str, files: Sequence[str], given: Mapping[str, Any]) -> Exception:
    """Return the problem with its cause: the parameter files are for other nodes, or there are no files.

    `node` is the full name, `files` those that the command line names, `given` the parameters that have come. If no
    parameter has come, the result says only that.
    """
    if not isinstance(problem, ConfigurationError):
        return problem
    causes: list[str] = []
    for path in files:
        with contextlib.suppress(ActInferenceError):  # the file is gone, or only rcl can read it here
            causes += filter(None, [why_nothing_applies(path, node)])
    if any(given.get(name) for name in _EVERY_ROBOT_HAS):
        return ConfigurationError("; ".join([str(problem), *causes])) if causes else problem
    if not files:
        causes = ["no parameters were given; start it with --ros-args --params-file FILE, as config/so101.yaml is one"]
    return ConfigurationError("; ".join(causes)) if causes else problem
