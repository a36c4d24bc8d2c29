"""Target: messages of joint states and other vectors, as the node takes them, with any stamps."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from act_inference_ros.joints import Joint, StateBinding
from act_inference_ros.observation.inputs import ObservationInputs
from act_inference_ros.observation.refusal import ObservationRefused
from act_inference_ros.spec import PolicySpec
from test.fuzz.mutation import VALUES, json_mutation
from test.fuzz.target import Target

_SPEC = PolicySpec(chunk_size=4, action_dim=2, state_dim=2, environment_state_dim=3)
_MESSAGES = [
    {"state": {"sec": 10, "nanosec": 5, "name": ["pan", "lift"], "position": [0.5, 1.0], "velocity": [], "effort": []}},
    {"vector": [1.0, 2.0, 3.0]},
    {"state": {"sec": 10, "nanosec": 9, "name": ["lift", "x", "pan"], "position": [0.5, 1.0, 2.0], "velocity": [0.1],
    "effort": [0.1]}},
    {"vector": [1.0, -2.0, 3e38]},
]  # fmt: skip
_NUMBERS = (
    *(value for value in VALUES if isinstance(value, (int, float, str))),
    *("pan", "lift"),
    10,
    11,
    float("nan"),
    float("inf"),
)


def states(directory: Path) -> Target:
    """A few messages one after the other; an observation must be refused, or whole and finite."""

    def check(data: bytes) -> None:
        inputs = ObservationInputs(_SPEC, StateBinding.of_positions([Joint("pan"), Joint("lift")]), {}, 0.2, 0.05)
        for message in _parsed(data):
            _take(inputs, message)
        observation = inputs.decode(inputs.select(10.1))
        assert all(np.isfinite(each).all() for each in _SPEC.check_observation(observation).values())

    seeds = [json.dumps(_MESSAGES).encode(), json.dumps(_MESSAGES[:2]).encode()]
    return Target(
        "states", check, seeds, lambda data, random: json_mutation(data, random, _NUMBERS), (ObservationRefused,)
    )


def _parsed(data: bytes) -> list[Any]:
    try:
        given = json.loads(data)
    except (ValueError, RecursionError):
        return []
    return given if isinstance(given, list) else []


def _take(inputs: ObservationInputs, given: Any) -> None:
    """Make a message of it, as far as ROS would carry it: names are text, positions float64, the stamp has 32 bits."""
    state, vector = (given.get(name) if isinstance(given, dict) else None for name in ("state", "vector"))
    if isinstance(state, dict):
        names = state.get("name")
        message = SimpleNamespace(
            header=SimpleNamespace(
                stamp=SimpleNamespace(sec=_whole(state, "sec", 2**31), nanosec=_whole(state, "nanosec", 2**32))
            ),
            name=[str(name) for name in names] if isinstance(names, list) else [],
            **{field: np.array(_floats(state.get(field))) for field in ("position", "velocity", "effort")},
        )
        inputs.add_state(message, 10.05)
    if vector is not None:
        inputs.add_environment_state(SimpleNamespace(data=_floats(vector)), 10.0)


def _whole(given: dict[str, Any], name: str, end: int) -> int:
    value = given.get(name)
    return value % end if isinstance(value, int) else 0


def _floats(given: Any) -> list[float]:
    numbers = [each for each in given if isinstance(each, (int, float))] if isinstance(given, list) else []
    return [float(each) if abs(each) < 1e308 or isinstance(each, float) else 1e308 for each in numbers]
