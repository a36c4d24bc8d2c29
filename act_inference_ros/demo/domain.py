"""A ROS domain of one's own, so that two runs on one machine do not talk to each other."""

from __future__ import annotations

import contextlib
import random
import socket
from collections.abc import Iterator, Mapping

from act_inference_ros.errors import ConfigurationError
from act_inference_ros.program import shared_memory

# Above 101 the ports of a domain fall among those that Linux hands out to clients; 0 is everybody's.
DOMAINS = range(1, 101)

_FIRST_PORT, _PORTS_PER_DOMAIN = 7400, 250
_NAME = "\0act_inference_ros_domain_{}"
"""Of an abstract socket (unix(7)): one process at a time has it, and it leaves no file behind, however that ends."""


@contextlib.contextmanager
def private_domain() -> Iterator[int]:
    """A ROS_DOMAIN_ID that no other run of this package has (it holds a name) and no program uses (its port is free).

    At the end what killed programs have left of its ports in shared memory is removed. Raises ConfigurationError if
    there is none left.
    """
    for domain in random.SystemRandom().sample(DOMAINS, len(DOMAINS)):
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as name:
            try:
                name.bind(_NAME.format(domain))
            except OSError:  # another run has it
                continue
            if _is_silent(domain):
                try:
                    yield domain
                finally:
                    first = _FIRST_PORT + _PORTS_PER_DOMAIN * domain
                    shared_memory.remove_ports(range(first, first + _PORTS_PER_DOMAIN))
                return
    raise ConfigurationError("every ROS domain from 1 to 100 is in use on this machine; set ROS_DOMAIN_ID yourself")


@contextlib.contextmanager
def isolated(environment: Mapping[str, str]) -> Iterator[dict[str, str]]:
    """What to add to the environment of nodes that shall find each other, and nobody on another machine or domain.

    Gives only variables that are not in `environment`: what the user has set stays. Raises ConfigurationError as above.
    """
    wanted = {"ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}
    if environment.get("ROS_DISTRO") == "humble":
        wanted["ROS_LOCALHOST_ONLY"] = "1"
    with contextlib.ExitStack() as stack:
        if "ROS_DOMAIN_ID" not in environment:
            wanted["ROS_DOMAIN_ID"] = str(stack.enter_context(private_domain()))
        yield {name: value for name, value in wanted.items() if name not in environment}


def _is_silent(domain: int) -> bool:
    # Every participant of a domain has its discovery port open (DDSI-RTPS 9.6.1).
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind(("", _FIRST_PORT + _PORTS_PER_DOMAIN * domain))
        except OSError:
            return False
    return True
