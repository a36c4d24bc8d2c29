"""Fixtures that several tests of inference share."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from act_inference_ros.inference.local.isolation.backend import IsolatedBackend
from test.inference.engine_stand_in import write_policy
from test.inference.isolation_helpers import isolated


@pytest.fixture
def backend(tmp_path: Path) -> Iterator[IsolatedBackend]:
    with isolated(write_policy(tmp_path)) as backend:
        yield backend
