"""A real checkpoint in a process of its own, through InferenceClient: LeRobot's numbers, and the same errors."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from act_inference_ros.errors import ActInferenceError, CheckpointError, ConfigurationError, NotReadyError
from act_inference_ros.inference.backend import DEVICE, ENGINE, ISOLATION, RESTARTS
from act_inference_ros.inference.client import InferenceClient
from act_inference_ros.policy.checkpoint_files import WEIGHTS_FILE
from test.checkpoints import golden_arrays, golden_checkpoint
from test.policy.test_golden import CASES, assert_close


@pytest.fixture
def _threads() -> Iterator[None]:
    """The number of threads of this process, as it was."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("_threads")
@pytest.mark.parametrize("case", CASES)
def test_the_chunk_is_lerobots_and_that_of_this_process_bit_by_bit(case: str) -> None:
    arguments: dict[str, Any] = {"checkpoint": golden_checkpoint(case), "device": "cpu", "threads": 1}
    arrays = golden_arrays(case, "observation")
    with (
        InferenceClient.create("local", **arguments, isolation="process") as isolated,
        InferenceClient.create("local", **arguments, isolation="thread") as client,
    ):
        observation = {key: arrays[key] for key in client.spec.keys}
        chunk = isolated.predict(observation)
        np.testing.assert_array_equal(chunk, client.predict(observation))
        assert isolated.spec == client.spec
        assert isolated.source == f"{client.source}, in a process of its own"
        assert {name: isolated.facts[name] for name in (ENGINE, DEVICE)} == {
            name: client.facts[name] for name in (ENGINE, DEVICE)
        }
        assert isolated.facts[ISOLATION].startswith("process ")
        assert isolated.facts[RESTARTS] == "0"
        assert 0.0 < isolated.warm_up_s < 60.0
    assert_close(chunk[None], golden_arrays(case, "expected")["chunk"])
    with pytest.raises(NotReadyError, match="closed"):
        isolated.predict(observation)


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"checkpoint": "/nowhere"}, CheckpointError),
        ({"device": "cuda:99"}, ConfigurationError),
        ({"precision": "int8"}, ConfigurationError),
        ({"threads": 0}, ConfigurationError),
    ],
)
def test_what_is_wrong_is_said_in_the_same_words(changes: dict[str, Any], kind: type[ActInferenceError]) -> None:
    arguments: dict[str, Any] = {"checkpoint": golden_checkpoint(CASES[0]), "device": "cpu", **changes}
    said = []
    for isolation in ("thread", "process"):
        with pytest.raises(kind) as caught:
            InferenceClient.create("local", **arguments, isolation=isolation)
        said.append(str(caught.value))
    assert said[0] == said[1]
    assert "\n" not in said[0]


def test_a_damaged_checkpoint_is_said_in_the_same_words(tmp_path: Path) -> None:
    for file in golden_checkpoint(CASES[0]).iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    weights = tmp_path / WEIGHTS_FILE
    weights.write_bytes(weights.read_bytes()[:-100])
    said = []
    for isolation in ("thread", "process"):
        with pytest.raises(CheckpointError) as caught:
            InferenceClient.create("local", checkpoint=tmp_path, device="cpu", isolation=isolation)
        said.append(str(caught.value))
    assert said[0] == said[1]
