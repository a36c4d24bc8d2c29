"""Joint states on several topics make one state; each part must be present, fresh, and of the same moment."""

import math
from array import array
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from act_inference_ros.errors import ConfigurationError
from act_inference_ros.joints import Joint, StateBinding, StateEntry, joint_and_field
from act_inference_ros.observation.inputs import ObservationInputs
from act_inference_ros.observation.received import CameraOptions
from act_inference_ros.observation.refusal import ObservationRefused, Reason, Refusal
from act_inference_ros.spec import STATE_KEY, ImageSpec, PolicySpec
from test.observation.fake_messages import header, image, joint_state, picture

ARM, HAND = "/arm/joint_states", "/hand/joint_states"
GRIP = Joint("grip", scale=100.0, offset=5.0)
STATE = StateBinding(
    [StateEntry(Joint("pan")), StateEntry(GRIP), StateEntry(Joint("lift")), StateEntry(GRIP, "velocity")]
)
WITHOUT_CAMERAS = PolicySpec(chunk_size=10, action_dim=3, state_dim=4)
SPEC = PolicySpec(10, 3, images=(ImageSpec("observation.images.top", 4, 6),), state_dim=4)


def make_inputs(spec: PolicySpec = WITHOUT_CAMERAS, **options: Any) -> ObservationInputs:
    cameras = {camera: CameraOptions() for camera in spec.cameras}
    state = STATE if spec.state_dim is not None else None
    given: dict[str, Any] = {"max_age": 0.2, "max_skew": 0.05, "moved": [Joint("pan"), Joint("lift"), GRIP]} | options
    return ObservationInputs(spec, state, cameras, state_topics=[ARM, HAND], **given)


def arm(stamp: float, pan: float = 1.0, lift: float = 2.0) -> Any:
    return joint_state({"lift": lift, "other": math.nan, "pan": pan}, stamp)


def hand(stamp: float, grip: float = 0.5, velocity: float = 0.1) -> Any:
    return SimpleNamespace(header=header(stamp), name=["grip"], position=[grip], velocity=[velocity], effort=[])


def add(inputs: ObservationInputs, messages: Mapping[str, Any], now: float) -> list[Refusal | None]:
    return [inputs.add_state(message, now, topic) for topic, message in messages.items()]


def refusal_of(inputs: ObservationInputs, now: float) -> Refusal:
    with pytest.raises(ObservationRefused) as caught:
        inputs.select(now)
    return caught.value.refusal


@pytest.mark.parametrize("order", [(ARM, HAND), (HAND, ARM)])
def test_the_parts_make_up_the_state_in_the_policys_order_whichever_came_first(order: tuple[str, str]) -> None:
    inputs = make_inputs()
    messages = {ARM: arm(1.0), HAND: hand(1.01)}
    assert add(inputs, {topic: messages[topic] for topic in order}, 1.02) == [None, None]
    vector = inputs.select(1.05).vectors[STATE_KEY]
    assert vector.dtype == np.float32
    np.testing.assert_allclose(vector, [1.0, 55.0, 2.0, 10.0], rtol=1e-6)  # no offset in a velocity
    assert inputs.ages(1.05) == pytest.approx({f"state {ARM}": 0.05, f"state {HAND}": 0.04})


@given(
    data=st.data(),
    entries=st.permutations(["a", "b", "c", "a/velocity", "c/effort", "d/velocity"]),
    homes=st.tuples(*[st.integers(0, 2)] * 4),
)
def test_however_the_joints_are_shared_out_the_state_is_that_of_one_message(
    data: st.DataObject, entries: list[str], homes: tuple[int, ...]
) -> None:
    joints = {name: Joint(name, scale=3.0, offset=-1.0) for name in "abcd"}
    binding = StateBinding([StateEntry(joints[name], field) for name, field in map(joint_and_field, entries)])
    whole = joint_state(dict(zip("abcd", (1.0, 2.0, 3.0, 4.0), strict=True)), 1.0)
    whole.velocity, whole.effort = array("d", (5.0, 6.0, 7.0, 8.0)), array("d", (9.0, 10.0, 11.0, 12.0))
    topics = ["/x", "/y", "/z"]
    inputs = ObservationInputs(
        PolicySpec(10, 4, state_dim=6), binding, {}, 0.2, 0.05, moved=tuple(joints.values()), state_topics=topics
    )
    for home in data.draw(st.permutations(range(3))):
        places = [place for place in range(4) if homes[place] == home]
        part = joint_state({whole.name[place]: whole.position[place] for place in places}, 1.0)
        part.velocity, part.effort = ([field[i] for i in places] for field in (whole.velocity, whole.effort))
        assert inputs.add_state(part, 1.0, topics[home]) is None
    np.testing.assert_array_equal(inputs.select(1.0).vectors[STATE_KEY], binding.to_policy(whole))


def test_until_every_entry_has_come_the_silent_topic_and_the_entries_are_named() -> None:
    inputs = make_inputs()
    assert add(inputs, {ARM: arm(1.0)}, 1.0) == [None]
    refusal = inputs.fresh(1.0)
    assert refusal is not None
    assert str(refusal) == f"missing: state {HAND}: nothing yet; no other topic has grip, grip/velocity"
    assert refusal_of(inputs, 1.0).label == f"missing: state {HAND}"


def test_an_entry_that_no_message_has_is_named_with_what_the_messages_have() -> None:
    inputs = make_inputs()
    without = joint_state({"grip": 0.5}, 1.0)
    without.velocity = array("d")
    assert add(inputs, {ARM: arm(1.0), HAND: without}, 1.0) == [None, None]
    refusal = refusal_of(inputs, 1.0)
    assert refusal.label == "missing: state"
    assert refusal.detail == f"no message has grip/velocity; of state.joints {ARM} has pan, lift, {HAND} has grip"


@pytest.mark.parametrize(("silent", "joints"), [(ARM, "pan, lift"), (HAND, "grip, grip/velocity")])
def test_a_part_that_is_old_is_named_with_its_joints(silent: str, joints: str) -> None:
    inputs = make_inputs()
    for k in range(5):
        now = 1.0 + k / 10
        messages = {ARM: arm(now), HAND: hand(now)}
        add(inputs, {topic: message for topic, message in messages.items() if k == 0 or topic != silent}, now)
    refusal = inputs.fresh(1.4)
    assert refusal is not None
    assert str(refusal) == f"stale: state {silent}: 0.400 s old, max_age is 0.2 s; it has {joints}"
    add(inputs, {silent: {ARM: arm(1.4), HAND: hand(1.4)}[silent]}, 1.4)
    assert inputs.fresh(1.4) is None


@given(lags=st.tuples(st.floats(0.0, 0.15), st.floats(0.0, 0.15)), max_skew=st.floats(0.005, 0.1))
def test_the_oldest_part_is_the_states_time_and_the_parts_lie_within_max_skew(
    lags: tuple[float, float], max_skew: float
) -> None:
    inputs = make_inputs(max_skew=max_skew, max_age=1.0)
    stamps = 10.0 - lags[0], 10.0 - lags[1]
    add(inputs, {ARM: arm(stamps[0]), HAND: hand(stamps[1])}, 10.0)
    apart = abs(stamps[0] - stamps[1])
    if apart < max_skew - 1e-5:
        selection = inputs.select(10.0)
        assert selection.t_obs == pytest.approx(min(stamps), abs=1e-6)
        assert selection.stamps == pytest.approx({f"state {ARM}": stamps[0], f"state {HAND}": stamps[1]}, abs=1e-6)
    if apart > max_skew + 1e-5:
        assert refusal_of(inputs, 10.0).reason is Reason.SKEW


@given(
    offset=st.floats(-0.03, 0.03),
    rates=st.tuples(st.sampled_from([20.0, 50.0, 125.0]), st.sampled_from([20.0, 50.0, 500.0])),
)
def test_of_each_part_the_message_nearest_to_the_image_is_taken(offset: float, rates: tuple[float, float]) -> None:
    inputs = make_inputs(SPEC)
    taken = 10.4 + offset
    events = [(10.0 + k / rates[0], ARM) for k in range(int(0.5 * rates[0]))]
    events += [(10.0 + k / rates[1], HAND) for k in range(int(0.5 * rates[1]))]
    for at, topic in sorted(events):
        add(inputs, {topic: arm(at, pan=at) if topic == ARM else hand(at, grip=at)}, at)
    inputs.add_image("top", image(picture(), stamp=taken), 10.5)
    vector = inputs.select(10.5).vectors[STATE_KEY]
    for topic, position in ((ARM, vector[0]), (HAND, (vector[1] - 5.0) / 100.0)):
        least = min(abs(at - taken) for at, each in events if each == topic)
        assert abs(position - taken) <= least + 1e-5


def test_a_joint_on_two_topics_is_refused_on_both_by_name_until_one_falls_silent() -> None:
    inputs = make_inputs()
    both = joint_state({"grip": 0.1, "pan": 7.0}, 1.02)
    both.velocity = array("d", [0.0, 0.0])
    assert add(inputs, {ARM: arm(1.0)}, 1.0) == [None]
    refusals = [*add(inputs, {HAND: both}, 1.02), *add(inputs, {ARM: arm(1.03)}, 1.03)]
    assert [refusal.label for refusal in refusals if refusal] == [
        f"published twice: state {HAND}",
        f"published twice: state {ARM}",
    ]
    for refusal, here, there in zip(refusals, (HAND, ARM), (ARM, HAND), strict=True):
        assert refusal is not None
        assert refusal.detail.startswith(f"pan on {here} and on {there}, too")
    assert refusal_of(inputs, 1.04).reason is Reason.TWICE
    now = 1.02 + 0.25
    assert add(inputs, {ARM: arm(now), HAND: hand(now)}, now) == [None, None]
    assert inputs.select(now).t_obs == now


def test_a_position_that_is_only_commanded_may_not_come_twice_either() -> None:
    inputs = make_inputs(moved=[Joint("pan"), Joint("wheel")])
    messages = {ARM: joint_state({"pan": 0.0, "lift": 0.0, "wheel": 1.0}, 1.0), HAND: hand(1.0)}
    assert add(inputs, messages, 1.0) == [None, None]
    wheel = joint_state({"grip": 0.1, "wheel": 2.0}, 1.02)
    wheel.velocity = array("d", [0.0, 0.0])
    refusal = inputs.add_state(wheel, 1.02, HAND)
    assert refusal is not None
    assert refusal.detail.startswith(f"wheel on {HAND} and on {ARM}, too")


def test_a_message_without_a_joint_that_its_topic_had_is_refused_and_changes_nothing() -> None:
    inputs = make_inputs()
    add(inputs, {ARM: arm(1.0), HAND: hand(1.0)}, 1.0)
    refusal = inputs.add_state(joint_state({"pan": 0.0}, 1.1), 1.1, ARM)
    assert refusal is not None
    assert refusal.label == f"invalid: state {ARM}"
    assert "missing ['lift'], which this topic had before; the message has ['pan']" in refusal.detail
    assert inputs.select(1.1).stamps[f"state {ARM}"] == 1.0


def test_a_topic_may_bring_a_joint_later_and_another_topic_may_take_one_over() -> None:
    inputs = make_inputs()
    add(inputs, {ARM: joint_state({"pan": 1.0}, 1.0), HAND: hand(1.0)}, 1.0)
    assert refusal_of(inputs, 1.0).label == "missing: state"
    add(inputs, {ARM: arm(1.05), HAND: hand(1.05)}, 1.05)
    assert inputs.select(1.05).vectors[STATE_KEY][2] == 2.0
    everything = joint_state({"pan": 1.0, "lift": 3.0, "grip": 0.0}, 1.5)
    everything.velocity = array("d", [0.0, 0.0, 0.0])
    assert add(inputs, {HAND: everything}, 1.5) == [None]  # the arm's own topic has been silent
    stale = inputs.fresh(1.5)
    assert stale is not None
    assert stale.label == f"stale: state {ARM}"


def test_an_observation_from_before_a_topic_had_all_its_joints_is_not_taken() -> None:
    inputs = make_inputs(SPEC)
    add(inputs, {ARM: joint_state({"pan": 1.0}, 1.0), HAND: hand(1.0)}, 1.0)
    inputs.add_image("top", image(picture(), stamp=1.0), 1.0)
    add(inputs, {ARM: arm(1.04)}, 1.04)
    assert str(refusal_of(inputs, 1.04)).startswith("missing: state: one of its topics had fewer joints")
    inputs.add_image("top", image(picture(), stamp=1.03), 1.04)
    assert inputs.select(1.04).stamps[f"state {ARM}"] == 1.04


def test_a_topic_without_joints_of_the_state_is_ignored() -> None:
    inputs = make_inputs()
    everything = joint_state({"pan": 1.0, "lift": 3.0, "grip": 0.0}, 1.0)
    everything.velocity = array("d", [0.0, 0.0, 0.0])
    assert add(inputs, {ARM: everything, HAND: joint_state({"finger": 0.0}, 0.5)}, 1.0) == [None, None]
    assert inputs.fresh(1.0) is None
    assert list(inputs.select(1.0).stamps) == [f"state {ARM}"]
    assert inputs.has_news_since(0.9)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"position": [math.nan]}, "expected finite numbers, got {'grip': nan}"),
        ({"velocity": [math.inf]}, "expected finite numbers, got {'grip/velocity': inf}"),
        ({"velocity": [0.1, 0.2]}, "1 names but 2 velocities, so nothing is known of grip/velocity"),
    ],
)
def test_a_value_that_is_not_finite_is_refused_naming_joint_and_field(change: dict[str, Any], said: str) -> None:
    message = hand(1.0)
    vars(message).update(change)
    refusal = make_inputs().add_state(message, 1.0, HAND)
    assert refusal is not None
    assert refusal.label == f"invalid: state {HAND}"
    assert said in refusal.detail


def test_a_policy_without_state_still_needs_every_joint_that_it_moves() -> None:
    inputs = make_inputs(PolicySpec(10, 3, images=SPEC.images))
    inputs.add_image("top", image(picture(), stamp=1.0), 1.0)
    add(inputs, {ARM: arm(1.0)}, 1.0)
    assert refusal_of(inputs, 1.0).label == f"missing: state {HAND}"
    add(inputs, {HAND: hand(1.0)}, 1.0)
    assert list(inputs.select(1.0).vectors) == []
    assert str(inputs.fresh(1.21)).startswith(f"stale: state {ARM}: ")


def test_there_is_news_once_every_part_is_newer() -> None:
    inputs = make_inputs()
    assert not inputs.has_news_since(0.0)
    add(inputs, {ARM: arm(1.0), HAND: hand(1.0)}, 1.0)
    assert inputs.has_news_since(0.9)
    add(inputs, {ARM: arm(1.01)}, 1.01)
    assert not inputs.has_news_since(1.0)
    add(inputs, {HAND: hand(1.01)}, 1.01)
    assert inputs.has_news_since(1.0)


def test_a_clock_that_jumps_back_begins_every_part_anew() -> None:
    inputs = make_inputs()
    add(inputs, {ARM: arm(100.0), HAND: hand(100.0)}, 100.0)
    add(inputs, {ARM: arm(5.0), HAND: hand(5.0)}, 5.0)
    assert inputs.select(5.0).t_obs == 5.0


def test_clearing_forgets_which_joints_each_topic_has() -> None:
    inputs = make_inputs()
    add(inputs, {ARM: arm(1.0), HAND: hand(1.0)}, 1.0)
    inputs.clear()
    swapped = {ARM: hand(1.1), HAND: arm(1.1)}
    assert add(inputs, swapped, 1.1) == [None, None]
    assert inputs.select(1.1).t_obs == 1.1


@pytest.mark.parametrize("topics", [[], [ARM, ARM]])
def test_topics_are_named_each_once(topics: list[str]) -> None:
    with pytest.raises(ConfigurationError, match="state topics: expected at least one, each once"):
        ObservationInputs(WITHOUT_CAMERAS, STATE, {}, 0.2, 0.05, state_topics=topics)


def test_a_message_of_a_topic_that_nobody_named_is_a_programming_error() -> None:
    with pytest.raises(ValueError, match=r"expected a message on one of \['/arm/joint_states', .* got one on '/other'"):
        make_inputs().add_state(arm(1.0), 1.0, "/other")
