"""Checks that the user's inputs provide what the policy reads."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from act_inference_ros.errors import ConfigurationError
from act_inference_ros.interfaces import STAMPS
from act_inference_ros.joints import StateBinding
from act_inference_ros.spec import PolicySpec

STATE_INPUT = "state"
ENVIRONMENT_STATE_INPUT = "environment_state"


def state_input_on(topic: str) -> str:
    """The name of the input for one state topic, if the joints come on several topics."""
    return f"{STATE_INPUT} {topic}"


def check_contract(
    spec: PolicySpec, state: StateBinding | None, state_topics: Sequence[str], cameras: Iterable[str], stamps: str
) -> None:
    """Raise ConfigurationError, which shows both sides, unless state and cameras are what the policy reads."""
    if stamps not in STAMPS:
        raise ConfigurationError(f"stamps: expected one of {list(STAMPS)}, got {stamps!r}")
    if set(cameras) != set(spec.cameras):
        raise ConfigurationError(f"cameras: the policy reads {sorted(spec.cameras)}, configured are {sorted(cameras)}")
    if not spec.keys:
        raise ConfigurationError("the policy reads nothing: neither a camera nor a state")
    if not state_topics or len(set(state_topics)) < len(state_topics):
        raise ConfigurationError(f"state topics: expected at least one, each once; got {list(state_topics)}")
    taken = {STATE_INPUT, ENVIRONMENT_STATE_INPUT} & set(cameras)
    if taken:
        raise ConfigurationError(f"cameras: {sorted(taken)} cannot name a camera, that is an input's name already")
    configured = None if state is None else len(state)
    if configured != spec.state_dim:
        names = "none" if state is None else list(state.names)
        raise ConfigurationError(f"state: the policy reads {spec.state_dim or 'no'} joints, configured are {names}")
