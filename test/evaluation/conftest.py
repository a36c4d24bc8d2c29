"""Fixtures that several tests of the evaluation share."""

import pytest


@pytest.fixture
def no_policy_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No environment variable names a checkpoint, a mode, a server or a model."""
    for name in ("CHECKPOINT_DIR", "INFERENCE_MODE", "TRITON_URL", "MODEL_NAME"):
        monkeypatch.delenv(name, raising=False)
