"""Finds the topic of a bag with a policy node's `~/status`, which says whether it commands: by type, name, content."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from act_inference_ros.errors import ConfigurationError
from act_inference_ros.evaluation.bags.bag import Bag
from act_inference_ros.execution.states import WHO_COMMANDS

STATUS_TYPE = "diagnostic_msgs/msg/DiagnosticStatus"
STATUS_NAME = "/status"
CHUNK_NAME = "/action_chunk"
"""Another topic that only a policy node publishes."""


def status_topics(bags: Sequence[Path], given: str = "") -> dict[Path, str]:
    """Return bag -> its status topic, empty if it has none; if `given`, only that topic is considered.

    Raises ConfigurationError if a bag has several and none is `given`, or if no bag has the given topic.
    """
    found = {}
    for path in bags:
        with Bag(path) as bag:
            found[path] = _status_topic(bag, given)
    if given and not any(found.values()):
        raise ConfigurationError(
            f"--status-topic {given}: no bag has a policy node's status there ({STATUS_TYPE} that says who commands)"
        )
    return found


def ran_unseen(bag: Bag) -> str:
    """Return a topic that shows that a policy node ran during the recording; empty if there is none.

    It is for bags without the node's status, which would say when the node commanded.
    """
    return next((topic for topic in sorted(bag.counts) if topic.endswith(CHUNK_NAME) and bag.counts[topic]), "")


def _status_topic(bag: Bag, given: str) -> str:
    topics = [given] if given else sorted(topic for topic in bag.types if topic.endswith(STATUS_NAME))
    usable = [topic for topic in topics if bag.types.get(topic) == {STATUS_TYPE} and bag.counts[topic]]
    saying = [topic for topic in usable if _says_who(bag, topic)]
    if len(saying) > 1:
        raise ConfigurationError(
            f"{bag.path.name}: expected the status of one policy node, got {', '.join(saying)}; "
            "name the one that commanded this robot with --status-topic"
        )
    return saying[0] if saying else ""


def _says_who(bag: Bag, topic: str) -> bool:
    """Whether the first readable message comes from a policy node."""
    for _, _, message in bag.messages([topic]):
        if message is not None:
            return any(str(each.key) == WHO_COMMANDS for each in message.values)
    return False
