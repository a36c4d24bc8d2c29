"""config.pbtxt is what Triton's own parser reads, and what clients rely on."""

from pathlib import Path
from typing import Any

import pytest

from act_inference_ros.errors import ConfigurationError
from act_inference_ros.serving.model_config import (
    CONFIG_FILE,
    ServedContract,
    ServingOptions,
    config_pbtxt,
    read_served_contract,
    read_versions,
)
from act_inference_ros.serving.served_models import check_repository
from act_inference_ros.spec import ImageSpec, PolicySpec
from test.bounds import bounded

SPEC = PolicySpec(
    chunk_size=50,
    action_dim=14,
    images=(ImageSpec("observation.images.top", 480, 640), ImageSpec('observation.images.it\'s "odd"', 240, 320)),
    state_dim=14,
    environment_state_dim=3,
)


def parsed(options: ServingOptions, spec: PolicySpec = SPEC) -> Any:
    model_config = pytest.importorskip("tritonclient.grpc.model_config_pb2", reason="tritonclient is not installed")
    from google.protobuf import text_format

    return text_format.Parse(config_pbtxt(spec, options), model_config.ModelConfig())


def test_tensors_are_named_and_ordered_as_the_specification() -> None:
    config = parsed(ServingOptions(max_batch_size=4))
    assert [tensor.name for tensor in config.input] == list(SPEC.keys)
    assert [list(tensor.dims) for tensor in config.input] == [[14], [3], [480, 640, 3], [240, 320, 3]]
    assert [tensor.data_type for tensor in config.input] == [11, 11, 2, 2]  # TYPE_FP32, TYPE_UINT8
    action, policy_id = config.output
    assert (policy_id.name, list(policy_id.dims)) == ("policy_id", [32])
    assert (action.name, action.data_type, list(action.dims)) == ("action", 11, [50, 14])
    assert (config.name, config.backend, config.max_batch_size) == ("act_policy", "python", 4)
    assert config.HasField("dynamic_batching")


def test_waiting_requests_are_bounded_in_number_and_in_time() -> None:
    policy = parsed(ServingOptions()).dynamic_batching.default_queue_policy
    assert policy.timeout_action == policy.REJECT
    assert policy.allow_timeout_override
    assert 0 < policy.default_timeout_microseconds <= 10_000_000
    assert 20 <= policy.max_queue_size <= 256


def test_the_specification_travels_in_the_parameters() -> None:
    parameters = parsed(ServingOptions()).parameters
    assert PolicySpec.from_json(parameters["policy_spec"].string_value) == SPEC
    assert parameters["image_encoding"].string_value == "raw"


def test_jpeg_images_are_strings() -> None:
    config = parsed(ServingOptions(image_encoding="jpeg"))
    assert [(t.data_type, list(t.dims)) for t in config.input][2:] == [(13, [1]), (13, [1])]  # TYPE_STRING
    assert config.parameters["image_encoding"].string_value == "jpeg"


@pytest.mark.parametrize(("device", "kind", "sizes"), [("cpu", 2, [1]), ("gpu", 1, [1, 8])])
def test_every_device_gets_its_instances_and_a_warm_up(device: str, kind: int, sizes: list[int]) -> None:
    config = parsed(ServingOptions(backend="onnxruntime", device=device, instances=3))
    assert [(group.count, group.kind) for group in config.instance_group] == [(3, kind)]
    assert [sample.batch_size for sample in config.model_warmup] == sizes
    assert all(set(sample.inputs) == set(SPEC.keys) for sample in config.model_warmup)
    assert config.default_model_filename == "model.onnx"


@pytest.mark.parametrize("options", [ServingOptions(), ServingOptions(image_encoding="jpeg")])
def test_what_was_written_is_read_again_also_after_tuning_by_hand(options: ServingOptions) -> None:
    text = config_pbtxt(SPEC, options).replace("count: 1", "count: 4").replace("}\n", "  }\n\n")
    assert read_served_contract(text) == ServedContract("python", options.image_encoding, SPEC, ("action", "policy_id"))


@pytest.mark.parametrize(
    "text", ["", 'backend: "python"', "policy_spec", 'backend: "x" parameters { key: "policy_spec" }']
)
def test_a_config_that_was_not_exported_has_no_contract(text: str) -> None:
    assert read_served_contract(text) is None


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"backend": "tensorrt"}, "expected one of python, onnxruntime"),
        ({"device": "tpu"}, "expected one of cpu, gpu"),
        ({"instances": 0}, "instances: expected at least 1"),
        ({"name": "../x"}, "expected letters"),
        ({"image_encoding": "jpeg", "backend": "onnxruntime"}, "cannot decode JPEG"),
    ],
)
def test_options_that_do_not_go_together_are_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        ServingOptions(**fields)


@pytest.mark.parametrize(
    "text",
    [
        'backend: "python"\nparameters { key: "policy_spec"' + " " * 100_000 + "x",
        'backend: "python"\nparameters { key: "policy_spec"' + " " * 50_000 + "," + "\n" * 50_000 + "x",
        'backend: "python"\n' + 'parameters { key: "policy_spec" value: { string_value: "' * 10_000,
        "parameters" + " " * 100_000,
        ("name:" + " " * 10_000) * 50,
    ],
    ids=range(5),
)
def test_a_text_made_to_be_searched_for_long_is_searched_quickly(text: str) -> None:
    """In the first one each number of spaces was tried with each other, 10 s for 60,000 of them."""
    with bounded():
        assert read_served_contract(text) is None
        assert read_versions(text) == {}


@pytest.mark.parametrize("between", ["", " ", ",", " ,", ", ", "\n  ,\n  "])
def test_a_comma_between_key_and_value_may_stand_anywhere_or_nowhere(between: str) -> None:
    written = config_pbtxt(SPEC, ServingOptions()).replace(", value { string_value", f"{between}value {{ string_value")
    contract = read_served_contract(written)
    assert contract is not None
    assert contract.spec.chunk_size == SPEC.chunk_size


def test_a_model_with_many_empty_lines_is_looked_through_quickly(tmp_path: Path) -> None:
    model = tmp_path / "other"
    model.mkdir()
    (model / CONFIG_FILE).write_text("\n" * 300_000 + '  backend: "secret"\n')
    with bounded(), pytest.raises(ConfigurationError, match="needs the backend secret"):
        check_repository(tmp_path, frozenset({"python"}))
