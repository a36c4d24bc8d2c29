"""PlainBackend: what a stand-in for a backend needs beside `spec` and `infer`."""

from collections.abc import Mapping
from types import MappingProxyType


class PlainBackend:
    """Runs in this process, has nothing to tell and nothing to release; stand-ins inherit from it."""

    source = "test"
    model_version = ""
    takes_jpeg = False
    facts: Mapping[str, str] = MappingProxyType({})
    notes: tuple[str, ...] = ()
    reconnects = 0
    warm_up_s = 0.0

    def accept_policy(self, policy_id: str) -> None:
        pass

    def close(self) -> None:
        pass
