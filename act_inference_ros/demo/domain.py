"""A ROS domain of one's own, so that two runs on one machine do not talk to each other."""

from __future__ import annotations

import contextlib
import fcntl
import os
import random
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

from act_inference_ros.errors import ConfigurationError

# Above 101 the ports of a domain fall among those that Linux hands out to clients; 0 is everybody's.
DOMAINS = range(1, 101)

_FIRST_PORT, _PORTS_PER_DOMAIN = 7400, 250
_LOCKS = Path(tempfile.gettempdir()) / f"act_inference_ros_domains_{os.getuid()}"


@contextlib.contextmanager
def private_domain() -> Iterator[int]:
    """A ROS_DOMAIN_ID that no other run of this package has (a lock file) and no program uses (its port is free).

    Raises ConfigurationError if there is none left.
    """
    _LOCKS.mkdir(mode=0o700, exist_ok=True)
    for domain in random.SystemRandom().sample(DOMAINS, len(DOMAINS)):
        with open(_LOCKS / str(domain), "w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            if _is_silent(domain):
                yield domain
                return
    raise ConfigurationError("every ROS domain from 1 to 100 is in use on this machine; set ROS_DOMAIN_ID yourself")


def _is_silent(domain: int) -> bool:
    # Every participant of a domain has its discovery port open (DDSI-RTPS 9.6.1).
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind(("", _FIRST_PORT + _PORTS_PER_DOMAIN * domain))
        except OSError:
            return False
    return True
