"""The arrays that LeRobot itself computed are computed again."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from act_inference_ros.control.timeline import ActionTimeline
from act_inference_ros.policy.load import LoadedPolicy, load_policy
from act_inference_ros.spec import PolicySpec
from test.checkpoints import golden_arrays, golden_checkpoint

CASES = ("a_small_1cam", "b_std_2cam", "c_old_format", "d_temporal_ensemble")
FPS = 30.0


def assert_close(actual: npt.NDArray[Any], expected: npt.NDArray[Any]) -> None:
    assert actual.shape == expected.shape
    np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=2e-4)


def raw_inputs(policy: LoadedPolicy, observation: Mapping[str, npt.NDArray[Any]]) -> list[torch.Tensor]:
    return [torch.from_numpy(np.ascontiguousarray(observation[key])).unsqueeze(0) for key in policy.spec.keys]


@pytest.mark.parametrize("case", CASES)
def test_the_chunk_is_lerobots(case: str) -> None:
    policy = load_policy(golden_checkpoint(case))
    expected = golden_arrays(case, "expected")
    inputs = raw_inputs(policy, golden_arrays(case, "observation"))
    with torch.inference_mode():
        assert_close(policy.graph(*inputs).numpy(), expected["chunk"])
        if "chunk_normalized" in expected:
            assert_close(policy.graph.normalized_actions(*inputs).numpy(), expected["chunk_normalized"])


@pytest.mark.parametrize("case", CASES[:2])
def test_every_stage_of_the_network_is_lerobots(case: str) -> None:
    policy = load_policy(golden_checkpoint(case))
    expected = {
        name.removeprefix("debug."): array.swapaxes(0, 1)
        for name, array in golden_arrays(case, "expected").items()
        if name.startswith("debug.")
    }
    graph = policy.graph
    with torch.inference_mode():
        tokens = graph.tokens(*raw_inputs(policy, golden_arrays(case, "observation")))
        memory = graph.encode(tokens)
        assert_close(tokens.numpy(), expected["encoder_in_tokens"])
        assert_close(graph.position.unsqueeze(0).numpy(), expected["encoder_pos_embed"])
        assert_close(memory.numpy(), expected["encoder_out"])
        assert_close(graph.decode(memory).numpy(), expected["decoder_out"])


@pytest.mark.parametrize("normalized", [False, True])
@pytest.mark.parametrize("case", ["a_small_1cam", "d_temporal_ensemble"])
def test_thirty_steps_on_the_timeline_are_lerobots_select_action(case: str, normalized: bool) -> None:
    policy = load_policy(golden_checkpoint(case))
    predict = policy.graph.normalized_actions if normalized else policy.graph
    coeff = policy.spec.temporal_ensemble_coeff
    timeline = (
        ActionTimeline(fps=FPS, merge="latest")
        if coeff is None
        else ActionTimeline(fps=FPS, merge="temporal_ensemble", ensemble_coeff=coeff)
    )
    expected = golden_arrays(case, "expected")["select_action_normalized" if normalized else "select_action"]
    selected = []
    for step in range(len(expected)):
        if step % policy.spec.n_action_steps == 0:
            with torch.inference_mode():
                chunk = predict(*raw_inputs(policy, observation_at(case, policy.spec, step)))[0].numpy()
            timeline.add(chunk, t_obs=step / FPS)
        selected.append(timeline.sample(step / FPS))
    assert_close(np.array(selected), expected)


def observation_at(case: str, spec: PolicySpec, step: int) -> dict[str, npt.NDArray[Any]]:
    arrays = golden_arrays(case, "observation")
    vectors = {key: arrays[f"seq.{key}"][step] for key in spec.vectors}
    return {**vectors, **{image.key: np.roll(arrays[image.key], 4 * step, axis=1) for image in spec.images}}
