"""A PolicySpec is what it says it is, wherever it comes from; anything else is one ConfigurationError."""

import json
from dataclasses import asdict
from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from act_inference_ros.errors import ConfigurationError
from act_inference_ros.spec import MAX_CHUNK, MAX_LENGTH, MAX_SPEC_TEXT, ImageSpec, PolicySpec

TOP = ImageSpec("observation.images.top", 480, 640)
SPEC = PolicySpec(100, 7, images=(TOP,), state_dim=7, n_action_steps=50, ignored_keys=("observation.effort",))
FIELDS = json.loads(SPEC.to_json())


def refusal(text: str) -> str:
    with pytest.raises(ConfigurationError) as error:
        PolicySpec.from_json(text)
    message = str(error.value)
    assert message.startswith("not a PolicySpec: ")
    assert len(message) < 1000
    return message


def without(key: str) -> dict[str, Any]:
    return {name: value for name, value in FIELDS.items() if name != key}


def test_what_was_written_is_read() -> None:
    assert PolicySpec.from_json(SPEC.to_json()) == SPEC
    bare = PolicySpec(1, 1, state_dim=1, temporal_ensemble_coeff=0.01, policy_id="0a" * 32)
    assert PolicySpec.from_json(bare.to_json()) == bare


def test_fields_with_a_default_may_be_missing() -> None:
    text = json.dumps({"chunk_size": 4, "action_dim": 2, "state_dim": 3, "images": []})
    assert PolicySpec.from_json(text) == PolicySpec(4, 2, state_dim=3)


WRONG: list[tuple[str, Any]] = [
    *product(("chunk_size", "action_dim", "n_action_steps"), ("lots", -5, 0, 2**40)),
    *product(("chunk_size", "state_dim"), (5.0, True, [7], {}, 10**400)),
    ("chunk_size", None),
    ("chunk_size", MAX_LENGTH + 1),
    ("n_action_steps", 101),
    ("environment_state_dim", "7"),
    *product(["temporal_ensemble_coeff"], ("0.01", True, [], 10**400, -(10**400))),
    ("images", None),
    ("images", {"key": "a"}),
    ("images", [None]),
    ("images", ["observation.images.top"]),
    ("images", [{"key": "a", "height": 4}]),
    ("images", [{"key": "a", "height": 4, "width": 4, "depth": 4}]),
    ("images", [{"key": 5, "height": 4, "width": 4}]),
    ("images", [{"key": "", "height": 4, "width": 4}]),
    ("images", [{"key": "a" * 1000, "height": 4, "width": 4}]),
    ("images", [{"key": "a\nb", "height": 4, "width": 4}]),
    ("images", [{"key": "a", "height": 2**40, "width": 4}]),
    ("images", [{"key": "a", "height": 4, "width": -4}]),
    ("images", [{"key": "a", "height": 10_000, "width": 10_000}]),
    ("images", [{"key": "a", "height": 4, "width": 4}] * 2),
    ("images", [{"key": "observation.state", "height": 4, "width": 4}]),
    ("images", [{"key": f"cam{i}", "height": 4, "width": 4} for i in range(200)]),
    ("images", [{"key": f"cam{i}", "height": 4000, "width": 4000} for i in range(5)]),
    ("ignored_keys", "observation.effort"),
    ("ignored_keys", [5]),
    ("ignored_keys", None),
    ("state_key", None),
    ("state_key", ["observation.state"]),
    ("state_key", "\x1b[2J"),
    ("policy_id", 5),
    ("policy_id", "xyz"),
    ("policy_id", "AB" * 32),
    ("policy_version", 2),
]


@pytest.mark.parametrize(("name", "value"), WRONG, ids=lambda value: repr(value)[:40])
def test_a_field_that_is_not_what_it_should_be_is_named(name: str, value: Any) -> None:
    assert f"{name}" in refusal(json.dumps({**FIELDS, name: value}))


@pytest.mark.parametrize("name", ["chunk_size", "action_dim", "images"])
def test_a_missing_field_is_named(name: str) -> None:
    assert f"missing: {name}, unknown: none" in refusal(json.dumps(without(name)))


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_numbers_that_are_none_are_refused(number: str) -> None:
    refusal(json.dumps(FIELDS).replace('"temporal_ensemble_coeff": null', f'"temporal_ensemble_coeff": {number}'))
    refusal(json.dumps(FIELDS).replace('"chunk_size": 100', f'"chunk_size": {number}'))


def test_more_numbers_in_a_chunk_than_a_message_carries_are_refused() -> None:
    fields = {**FIELDS, "chunk_size": MAX_LENGTH, "action_dim": MAX_CHUNK // MAX_LENGTH + 1}
    assert f"at most {MAX_CHUNK} numbers" in refusal(json.dumps(fields))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "5",
        "[]",
        '"spec"',
        "{",
        "[" * 100_000,
        '{"images":' * 20_000,
        json.dumps(FIELDS)[:-1] + ', "chunk_size": 100}',
        json.dumps(FIELDS).replace("100", "1" * 5000),
        json.dumps({**FIELDS, "state_key": "x" * MAX_SPEC_TEXT}),
    ],
    ids=lambda text: text[:20],
)
def test_texts_that_are_no_object_of_fields_are_refused(text: str) -> None:
    refusal(text)


def test_a_spec_made_directly_is_checked_by_the_same_rule() -> None:
    fields = asdict(SPEC) | {"images": SPEC.images, "ignored_keys": SPEC.ignored_keys}
    assert PolicySpec(**fields) == SPEC
    with pytest.raises(ConfigurationError, match=r"chunk_size: expected a whole number from 1 .* got -5"):
        PolicySpec(**{**fields, "chunk_size": -5})
    with pytest.raises(ConfigurationError, match=r"images: expected a tuple of ImageSpec"):
        PolicySpec(**{**fields, "images": [TOP]})
    with pytest.raises(ConfigurationError, match=r"height: expected a whole number"):
        ImageSpec("observation.images.top", 0, 640)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from([*FIELDS, "other"]), JSON, max_size=4), JSON)
def test_no_text_escapes_as_another_error(changes: dict[str, Any], image: Any) -> None:
    for fields in ({**FIELDS, **changes}, {**FIELDS, "images": [image]}, changes, image):
        try:
            spec = PolicySpec.from_json(json.dumps(fields))
        except ConfigurationError:
            continue
        assert PolicySpec.from_json(spec.to_json()) == spec


@given(st.text() | st.binary().map(lambda data: data.decode("latin-1")))
def test_no_junk_escapes_as_another_error(text: str) -> None:
    refusal(text)
