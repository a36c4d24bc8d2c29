"""model.py on a real Triton: right numbers, batches, and answers to bad input."""

import json
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from act_inference_ros.serving.blank_jpeg import blank_jpeg
from act_inference_ros.serving.probe import Model, Probe, ProbeError
from act_inference_ros.spec import PolicySpec
from test import hostile_images as hostile
from test.serving.conftest import Served
from test.serving.serving_helpers import DEADLINE_S, children_of, infer_inputs, needs_triton, observation

pytestmark = needs_triton
RAW, JPEG = "act_policy", "act_jpeg"


def chunks(served: Served, observations: list[dict[str, Any]], model: str = RAW) -> npt.NDArray[Any]:
    return served.client.infer(model, infer_inputs(observations), client_timeout=60).as_numpy("action")


def jpeg_observation(spec: PolicySpec, seed: int = 0) -> dict[str, Any]:
    cv2 = pytest.importorskip("cv2")
    one = observation(spec, seed)
    for image in spec.images:
        smooth = cv2.GaussianBlur(one[image.key], (9, 9), 0)
        one[image.key] = cv2.imencode(".jpg", smooth)[1].tobytes()
    return one


def refused(served: Served, observations: list[dict[str, Any]], model: str = RAW) -> str:
    """The message of an INVALID_ARGUMENT answer."""
    from tritonclient.utils import InferenceServerException

    with pytest.raises(InferenceServerException) as error:
        chunks(served, observations, model)
    assert error.value.status() == "StatusCode.INVALID_ARGUMENT", error.value
    return error.value.message()


@pytest.mark.parametrize("batch_size", [1, 8])
def test_the_server_computes_what_local_mode_computes(served: Served, batch_size: int) -> None:
    observations = [observation(served.local.spec, seed) for seed in range(batch_size)]
    got = chunks(served, observations)
    wanted = np.stack([served.local.predict(one) for one in observations])
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-4)


def test_the_client_finds_the_policys_specification_in_the_config(served: Served) -> None:
    parameters = served.client.get_model_config(RAW).config.parameters
    spec = PolicySpec.from_json(parameters["policy_spec"].string_value)
    assert spec == replace(served.local.spec, policy_id="")
    versions = json.loads(parameters["policy_versions"].string_value)
    assert versions["1"]["policy_id"] == served.local.spec.policy_id
    assert parameters["image_encoding"].string_value == "raw"


def test_requests_that_come_together_are_computed_together_and_answered_apart(served: Served) -> None:
    def counts() -> tuple[int, int]:
        [model] = served.client.get_inference_statistics(RAW).model_stats
        return model.inference_count, model.execution_count

    observations = [observation(served.local.spec, seed) for seed in range(24)]
    wanted = [served.local.predict(one) for one in observations]
    inferences, executions = counts()
    with ThreadPoolExecutor(len(observations)) as pool:
        got = list(pool.map(lambda one: chunks(served, [one])[0], observations))
    np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-4)
    after = counts()
    assert after[0] - inferences == 24
    assert after[1] - executions < 24


def test_a_bad_state_is_refused_and_its_neighbours_in_the_batch_are_answered(served: Served) -> None:
    good, bad = observation(served.local.spec, 1), observation(served.local.spec, 2)
    bad["observation.state"][3] = np.nan
    with ThreadPoolExecutor(8) as pool:
        answers = [pool.submit(chunks, served, [good]) for _ in range(6)]
        message = pool.submit(refused, served, [bad]).result()
        assert all(np.isfinite(answer.result()).all() for answer in answers)
    assert "observation.state: expected finite numbers" in message


def test_a_missing_input_or_a_wrong_shape_is_refused(served: Served) -> None:
    one = observation(served.local.spec)
    short = {**one, "observation.state": one["observation.state"][:-1]}
    assert "observation.state" in refused(served, [short])
    without = {key: value for key, value in one.items() if key != "observation.images.wrist"}
    refused(served, [without])


def test_jpeg_images_give_the_chunk_that_local_mode_gives_for_the_same_jpeg(served: Served) -> None:
    observations = [jpeg_observation(served.local.spec, seed) for seed in range(3)]
    wanted = np.stack([served.local.predict(one) for one in observations])
    np.testing.assert_allclose(chunks(served, observations, JPEG), wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("fault", ["no JPEG", "empty", "truncated", "corrupt", "wrong size"])
def test_a_bad_jpeg_is_refused(served: Served, fault: str) -> None:
    one = jpeg_observation(served.local.spec)
    top, wrist = "observation.images.top_cam", "observation.images.wrist"
    one[wrist] = {
        "no JPEG": b"GIF89a" + bytes(200),
        "empty": b"",
        "truncated": one[wrist][: len(one[wrist]) // 2],
        "corrupt": one[wrist][:200].replace(b"\xff\xc4", b"\xff\xc5") + b"\xff\xd9",
        "wrong size": one[top],
    }[fault]
    message = refused(served, [one], JPEG)
    assert f"{wrist}: " in message
    assert chunks(served, [jpeg_observation(served.local.spec)], JPEG).shape[0] == 1


def peak_memory_kb(served: Served) -> int:
    """The most that any process which runs a model has ever held, kB."""
    peaks = []
    for child in children_of(served.server.process.pid):
        for line in Path(f"/proc/{child}/status").read_text().splitlines():
            peaks += [int(line.split()[1])] if line.startswith("VmHWM:") else []
    return max(peaks)


def test_a_decompression_bomb_is_refused_before_it_is_decoded_and_others_are_answered(served: Served) -> None:
    good, bad = jpeg_observation(served.local.spec), jpeg_observation(served.local.spec)
    wrist = "observation.images.wrist"
    bad[wrist] = hostile.jpeg_bomb(48, 40)
    chunks(served, [good], JPEG)
    peak = peak_memory_kb(served)
    began = time.monotonic()
    with ThreadPoolExecutor(4) as pool:
        attacks = [pool.submit(refused, served, [bad], JPEG) for _ in range(20)]
        neighbour = [chunks(served, [good], JPEG) for _ in range(5)]
        messages = {attack.result() for attack in attacks}
    assert time.monotonic() - began < 20.0  # decoding them would take a minute
    assert all(np.isfinite(chunk).all() for chunk in neighbour)
    assert len(messages) == 1
    assert f"{wrist}: malformed JPEG, a marker ff 00" in messages.pop()
    assert peak_memory_kb(served) - peak < 300_000  # one of them would take 1.5 GB


@pytest.mark.parametrize("model", [RAW, JPEG])
def test_the_probe_has_every_kind_of_policy_infer(served: Served, model: str) -> None:
    probe = Probe(served.server.http_address)
    (version,) = [one for one in probe.loaded(DEADLINE_S) if one.name == model]
    before = probe.counts(version, DEADLINE_S)
    assert probe.infer(version, DEADLINE_S)
    after = probe.counts(version, DEADLINE_S)
    assert (after.answered, after.failed) == (before.answered + 1, before.failed)


def test_a_model_that_is_not_there_may_come(served: Served) -> None:
    probe = Probe(served.server.http_address)
    for ask in (probe.counts, probe.infer):
        with pytest.raises(ProbeError) as error:
            ask(Model("unknown", "1"), DEADLINE_S)
        assert error.value.passing


@pytest.mark.parametrize(("height", "width"), [(1, 1), (48, 40), (17, 33), (480, 640)])
def test_a_blank_jpeg_is_a_whole_file_of_its_size(height: int, width: int) -> None:
    cv2 = pytest.importorskip("cv2")
    image = cv2.imdecode(np.frombuffer(blank_jpeg(height, width), np.uint8), cv2.IMREAD_COLOR)
    assert image.shape == (height, width, 3)
    assert (image == 128).all()
