import math
from array import array
from collections.abc import Iterable, Mapping
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from act_inference_ros.errors import ConfigurationError
from act_inference_ros.joints import Joint, StateBinding
from act_inference_ros.observation.inputs import ObservationInputs
from act_inference_ros.observation.received import IMAGES_KEPT, CameraOptions
from act_inference_ros.observation.refusal import ObservationRefused, Reason
from act_inference_ros.spec import ENVIRONMENT_STATE_KEY, STATE_KEY, ImageSpec, PolicySpec
from test.observation.fake_messages import compressed, encoded, image, joint_state, picture

TOP, WRIST = ImageSpec("observation.images.top", 4, 6), ImageSpec("observation.images.wrist", 4, 6)
SPEC = PolicySpec(chunk_size=10, action_dim=2, images=(TOP, WRIST), state_dim=2)
JOINTS = StateBinding.of_positions([Joint("pan"), Joint("lift")])
RAW = {"top": CameraOptions(), "wrist": CameraOptions()}


def make_inputs(
    spec: PolicySpec = SPEC,
    state: StateBinding | None = JOINTS,
    cameras: Mapping[str, CameraOptions] = RAW,
    max_age: float = 0.2,
    max_skew: float = 0.05,
    **options: Any,
) -> ObservationInputs:
    return ObservationInputs(spec, state, cameras, max_age, max_skew, **options)


def fill(inputs: ObservationInputs, stamp: float, skip: Iterable[str] = ()) -> None:
    """Give every input a good message stamped and received at `stamp`."""
    for camera in {"top", "wrist"} - set(skip):
        assert inputs.add_image(camera, image(picture(), stamp=stamp), stamp) is None
    if "state" not in skip:
        assert inputs.add_state(joint_state({"pan": stamp, "lift": 0.0}, stamp), stamp) is None


def refusal_of(inputs: ObservationInputs, now: float) -> ObservationRefused:
    with pytest.raises(ObservationRefused) as caught:
        inputs.select(now)
    return caught.value


@given(st.permutations(["top", "wrist", "state"]), st.sampled_from([5.0, 1.7e9]))
def test_an_observation_has_what_the_policy_reads_whatever_came_first(order: list[str], t: float) -> None:
    inputs = make_inputs()
    for name in order:
        fill(inputs, t, skip={"top", "wrist", "state"} - {name})
    selection = inputs.select(t + 0.1)
    observation = inputs.decode(selection)
    assert selection.t_obs == t
    assert list(SPEC.check_observation(observation)) == list(SPEC.keys)
    np.testing.assert_array_equal(observation[STATE_KEY], np.float32([t, 0.0]))  # type: ignore[arg-type]  # numpy makes an array of a list


@pytest.mark.parametrize("name", ["top", "wrist", "state"])
def test_an_input_without_a_good_message_is_named_with_why_the_last_one_was_refused(name: str) -> None:
    inputs = make_inputs()
    fill(inputs, 1.0, skip=[name])
    assert refusal_of(inputs, 1.0).refusal.label == f"missing: {name}"
    if name != "state":
        inputs.add_image(name, image(picture(), "yuv999", stamp=1.0), 1.0)
        assert refusal_of(inputs, 1.0).refusal.label == f"invalid: {name}"
    assert inputs.refused[f"missing: {name}"] >= 1


@pytest.mark.parametrize("name", ["top", "wrist", "state"])
def test_an_input_is_stale_once_it_is_older_than_max_age(name: str) -> None:
    inputs = make_inputs()
    fill(inputs, 1.0)
    fill(inputs, 1.04, skip=[name])
    assert inputs.fresh(1.2) is None
    assert inputs.select(1.2).stamps[name] == 1.0
    refusal = refusal_of(inputs, 1.21)
    assert (refusal.reason, refusal.input) == (Reason.STALE, name)
    assert inputs.fresh(1.21).label == f"stale: {name}"


@given(
    lag=st.floats(0.0, 0.3),
    joint_lag=st.floats(-0.3, 0.3),
    origin=st.sampled_from([0.0, 1e9]),
    max_skew=st.floats(0.01, 0.2),
)
def test_inputs_are_taken_together_exactly_when_they_lie_within_max_skew(
    lag: float, joint_lag: float, origin: float, max_skew: float
) -> None:
    inputs = make_inputs(max_age=10.0, max_skew=max_skew)
    top, wrist, joints = origin + 1.0, origin + 1.0 - lag, origin + 1.0 + joint_lag
    inputs.add_image("top", image(picture(), stamp=top), origin + 2.0)
    inputs.add_image("wrist", image(picture(), stamp=wrist), origin + 2.0)
    inputs.add_state(joint_state({"pan": 0.0, "lift": 0.0}, joints), origin + 2.0)
    spread = max(top, wrist, joints) - min(top, wrist, joints)
    if spread < max_skew - 1e-5:
        assert inputs.select(origin + 2.0).t_obs == pytest.approx(top, abs=1e-6)
    if spread > max_skew + 1e-5:
        assert refusal_of(inputs, origin + 2.0).reason is Reason.SKEW


def test_the_joint_state_nearest_to_the_newest_image_is_taken() -> None:
    inputs = make_inputs()
    for k in range(100):
        inputs.add_state(joint_state({"pan": float(k), "lift": 0.0}, 1.0 + k * 0.002), 1.0 + k * 0.002)
    fill(inputs, 1.1211, skip=["state"])
    selection = inputs.select(1.2)
    assert selection.vectors[STATE_KEY][0] == 61.0
    assert selection.t_obs == 1.1211


def test_a_camera_that_lags_is_matched_by_an_older_image_of_the_other() -> None:
    inputs = make_inputs(max_skew=0.02)
    for k in range(4):
        fill(inputs, 1.0 + k / 30, skip=["wrist"])
    fill(inputs, 1.0 + 1 / 30, skip=["top", "state"])
    selection = inputs.select(1.11)
    assert selection.stamps["top"] == selection.stamps["wrist"] == selection.t_obs == pytest.approx(1.0 + 1 / 30)


def test_within_max_skew_the_newest_images_are_taken() -> None:
    inputs = make_inputs()
    for stamp in (1.0, 1.03):
        fill(inputs, stamp, skip=["wrist"] if stamp > 1.0 else [])
    assert inputs.select(1.1).stamps == pytest.approx({"top": 1.03, "wrist": 1.0, "state": 1.03})


def test_a_zero_stamp_is_refused_unless_stamps_are_those_of_arrival() -> None:
    refusal = make_inputs().add_image("top", image(picture(), stamp=0.0), 1.0)
    assert refusal.label == "unstamped: top"
    assert "stamps: receive" in refusal.detail
    inputs = make_inputs(stamps="receive")
    for camera in RAW:
        assert inputs.add_image(camera, image(picture(), stamp=0.0), 1.0) is None
    assert inputs.add_state(joint_state({"pan": 0.0, "lift": 0.0}, 0.0), 1.01) is None
    assert inputs.select(1.02).t_obs == 1.0


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"encoding": "yuv999"}, "'yuv999' is not supported"),
        ({"height": 3}, "expected 4 x 6"),
        ({"data": b""}, "expected 4 rows of 18 bytes"),
    ],
)
def test_a_bad_image_is_counted_and_the_good_one_before_stays_until_it_is_stale(
    change: dict[str, Any], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("act_inference_ros.observation.optional.cv_bridge", lambda: (None, "not here"))
    inputs = make_inputs()
    fill(inputs, 1.0)
    bad = image(picture(), stamp=1.02)
    vars(bad).update(change)
    refusal = inputs.add_image("top", bad, 1.02)
    assert refusal.reason is Reason.INVALID
    assert said in refusal.detail
    assert inputs.refused == {"invalid: top": 1}
    assert inputs.select(1.1).stamps["top"] == 1.0
    assert refusal_of(inputs, 1.25).reason is Reason.STALE


@pytest.mark.parametrize("positions", [{"pan": 0.0}, {"pan": math.nan, "lift": 0.0}, {}])
def test_a_bad_joint_state_is_refused(positions: dict[str, Any]) -> None:
    inputs = make_inputs()
    assert inputs.add_state(joint_state(positions), 1.0).label == "invalid: state"
    assert inputs.ages(1.0)["state"] is None


def test_a_message_from_the_future_is_refused() -> None:
    inputs = make_inputs()
    refusal = inputs.add_image("top", image(picture(), stamp=1.06), 1.0)
    assert refusal.label == "future: top"
    assert "0.060 s ahead of its arrival" in refusal.detail
    assert inputs.add_image("top", image(picture(), stamp=1.04), 1.0) is None


def test_a_message_overtaken_by_a_newer_one_is_ignored() -> None:
    inputs = make_inputs()
    fill(inputs, 1.1)
    assert inputs.add_image("top", image(picture(), stamp=1.05), 1.11).label == "out of order: top"
    assert inputs.add_image("top", image(picture(), stamp=0.8), 1.11).label == "stale: top"
    assert inputs.ages(1.2) == pytest.approx({"state": 0.1, "top": 0.1, "wrist": 0.1})


def test_a_clock_that_jumps_back_begins_every_input_anew() -> None:
    inputs = make_inputs()
    fill(inputs, 100.0)
    assert inputs.fresh(5.0).reason is Reason.FUTURE
    fill(inputs, 5.0)
    assert inputs.select(5.1).t_obs == 5.0
    assert inputs.ages(5.1) == pytest.approx({"state": 0.1, "top": 0.1, "wrist": 0.1})


def test_there_is_news_once_every_camera_has_a_newer_image() -> None:
    inputs = make_inputs()
    assert not inputs.has_news_since(0.0)
    fill(inputs, 1.0)
    assert inputs.has_news_since(0.9)
    fill(inputs, 1.1, skip=["wrist"])
    assert not inputs.has_news_since(1.0)
    fill(inputs, 1.1, skip=["top", "state"])
    assert inputs.has_news_since(1.0)


def test_memory_is_bounded() -> None:
    inputs = make_inputs()
    for k in range(100):
        fill(inputs, 1.0 + k / 10)
    assert len(inputs._histories["top"]._entries) <= 4
    assert len(inputs._histories["state"]._entries) <= 51
    for k in range(200):
        fill(inputs, 11.0 + k / 1000)
    assert len(inputs._histories["top"]._entries) == IMAGES_KEPT


def test_images_are_kept_only_as_far_back_as_the_slowest_camera_needs_them() -> None:
    inputs = make_inputs(max_age=2.0)
    for k in range(60):
        fill(inputs, 1.0 + k / 30)
    assert len(inputs._histories["top"]._entries) <= 8  # a fifth of a second
    for k in range(60):
        fill(inputs, 3.0 + k / 30, skip=["wrist"])  # it may come back with an image of any of these times
    assert len(inputs._histories["top"]._entries) > 60


@given(
    arrivals=st.lists(st.tuples(st.sampled_from(["top", "wrist"]), st.floats(0.0, 0.3)), min_size=1, max_size=60),
    max_age=st.sampled_from([0.2, 0.5, 2.0]),
    max_skew=st.sampled_from([0.0, 0.05, 0.5]),
)
def test_what_is_forgotten_would_never_have_been_chosen(
    arrivals: list[tuple[str, float]], max_age: float, max_skew: float
) -> None:
    forgetting, remembering = (make_inputs(max_age=max_age, max_skew=max_skew) for _ in range(2))
    for history in remembering._histories.values():
        history.forget_before = lambda stamp: None  # type: ignore[method-assign]
    now = 1.0
    for camera, wait in arrivals:
        now += wait
        found = []
        for inputs in (forgetting, remembering):
            fill(inputs, now, skip={"top", "wrist"} - {camera})
            try:
                found.append(str(inputs.select(now).stamps))
            except ObservationRefused as refused:
                found.append(str(refused))
        assert found[0] == found[1]


def test_an_image_that_cannot_be_decoded_is_discarded_so_that_its_camera_goes_stale() -> None:
    inputs = make_inputs(cameras={"top": CameraOptions("compressed"), "wrist": CameraOptions()})
    png = encoded(picture(), ".png")
    broken = png[:50] + bytes([png[50] ^ 255]) + png[51:]
    fill(inputs, 1.0, skip=["top"])
    assert inputs.add_image("top", compressed(broken, 1.0), 1.0) is None
    selection = inputs.select(1.0)
    with pytest.raises(ObservationRefused, match="undecodable: top: image: corrupt png") as caught:
        inputs.decode(selection)
    inputs.discard(selection, caught.value.refusal)
    assert inputs.fresh(1.0).label == "missing: top"
    assert inputs.refused["undecodable: top"] == 1


@pytest.mark.parametrize(("keep_jpeg", "kind"), [(True, bytes), (False, np.ndarray)])
def test_a_jpeg_of_the_policys_size_is_kept_as_it_is_if_asked(keep_jpeg: bool, kind: type) -> None:
    inputs = make_inputs(cameras=dict.fromkeys(RAW, CameraOptions("compressed")), keep_jpeg=keep_jpeg, resize=True)
    jpeg = encoded(picture())
    inputs.add_image("top", compressed(array("B", jpeg), 1.0), 1.0)
    inputs.add_image("wrist", compressed(encoded(picture(8, 12)), 1.0), 1.0)
    fill(inputs, 1.0, skip=["top", "wrist"])
    observation = SPEC.check_observation(inputs.decode(inputs.select(1.0)))
    assert isinstance(observation[TOP.key], kind)
    assert not keep_jpeg or observation[TOP.key] == jpeg
    assert observation[WRIST.key].shape == WRIST.shape  # type: ignore[union-attr]  # an array


def test_a_raw_image_on_a_compressed_topic_is_refused() -> None:
    inputs = make_inputs(cameras=dict.fromkeys(RAW, CameraOptions("compressed")))
    assert inputs.add_image("top", image(picture()), 1.0).detail.startswith("expected a compressed image")


@pytest.mark.parametrize("data", [array("f", [1.0, 2.0]), array("d", [1.0, 2.0]), np.float32([1.0, 2.0])])  # type: ignore[arg-type]  # numpy makes an array of a list
def test_an_environment_state_counts_by_its_arrival(data: Any) -> None:
    spec = PolicySpec(chunk_size=10, action_dim=2, environment_state_dim=2)
    inputs = make_inputs(spec, state=None, cameras={})
    assert inputs.add_environment_state(SimpleNamespace(data=data), 1.0) is None
    selection = inputs.select(1.1)
    assert selection.t_obs == 1.0
    np.testing.assert_array_equal(inputs.decode(selection)[ENVIRONMENT_STATE_KEY], np.float32([1.0, 2.0]))  # type: ignore[arg-type]  # numpy makes an array of a list


@pytest.mark.parametrize("data", [[1.0], [1.0, math.nan], [1.0, 1e39], []])
def test_a_bad_environment_state_is_refused(data: list[float] | list[object]) -> None:
    spec = PolicySpec(chunk_size=10, action_dim=2, environment_state_dim=2)
    inputs = make_inputs(spec, state=None, cameras={})
    assert inputs.add_environment_state(SimpleNamespace(data=array("d", data)), 1.0).reason is Reason.INVALID


def test_without_cameras_the_state_gives_the_time() -> None:
    inputs = make_inputs(PolicySpec(chunk_size=10, action_dim=2, state_dim=2), cameras={})
    inputs.add_state(joint_state({"pan": 0.5, "lift": 0.0}, 1.0), 1.0)
    assert inputs.select(1.1).t_obs == 1.0
    assert inputs.has_news_since(0.9)
    assert not inputs.has_news_since(1.0)


def test_an_input_that_went_stale_on_bad_messages_says_what_was_wrong_with_the_last() -> None:
    inputs = make_inputs()
    fill(inputs, 1.0)
    inputs.add_image("top", image(picture(), "yuv999", stamp=1.1), 1.1)
    fill(inputs, 1.5, skip=["top"])
    assert "last refused: invalid" in inputs.fresh(1.5).detail
    fill(inputs, 1.5, skip=["wrist", "state"])
    fill(inputs, 2.0, skip=["top"])
    assert inputs.fresh(2.0).label == "stale: top"
    assert "last refused" not in inputs.fresh(2.0).detail


def test_a_renamed_state_is_found_under_the_name_the_policy_is_asked_by() -> None:
    spec = PolicySpec(chunk_size=10, action_dim=2, state_dim=2, state_key="observation.qpos")
    inputs = make_inputs(spec, cameras={})
    assert inputs.add_state(joint_state({"pan": 0.5, "lift": 0.0}, 1.0), 1.0) is None
    assert list(spec.check_observation(inputs.decode(inputs.select(1.0)))) == ["observation.qpos"]


def test_cleared_inputs_have_nothing() -> None:
    inputs = make_inputs()
    fill(inputs, 1.0)
    inputs.clear()
    assert set(inputs.ages(1.0).values()) == {None}


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"cameras": {"top": CameraOptions()}}, r"reads \['top', 'wrist'\], configured are \['top'\]"),
        ({"state": None}, "reads 2 joints, configured are none"),
        ({"state": StateBinding.of_positions([Joint("pan")])}, r"reads 2 joints, configured are \['pan'\]"),
        ({"stamps": "now"}, r"one of \['header', 'receive'\], got 'now'"),
        ({"max_age": 0.0}, "max_age above 0"),
    ],
)
def test_inputs_that_are_not_what_the_policy_reads_are_refused_with_both_sides(
    wrong: dict[str, Any], said: str
) -> None:
    with pytest.raises(ConfigurationError, match=said):
        make_inputs(**wrong)


def test_an_unknown_transport_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"raw.*compressed.*theora"):
        CameraOptions("theora")


def test_a_fast_camera_is_matched_with_a_slow_one_that_comes_late() -> None:
    """60 Hz beside 15 Hz whose images come 150 ms late: the fast one's image of that moment is still there."""
    inputs = make_inputs(max_age=0.3)
    taken = 0
    for k in range(1, 120):
        now = 10.0 + k / 60
        inputs.add_image("top", image(picture(), stamp=now), now)
        inputs.add_state(joint_state({"pan": now, "lift": 0.0}, now), now)
        if k % 4 == 0 and now - 0.15 > 10.0:
            inputs.add_image("wrist", image(picture(), stamp=now - 0.15), now)
            selection = inputs.select(now)
            assert abs(selection.stamps["top"] - selection.stamps["wrist"]) <= 0.05
            taken += 1
    assert taken > 20
    assert not inputs.refused


def test_a_camera_that_was_only_ever_refused_is_named_with_that_reason() -> None:
    inputs = make_inputs()
    fill(inputs, 1.0, skip=["wrist"])
    inputs.add_image("wrist", image(picture(), stamp=1.4), 1.0)
    assert refusal_of(inputs, 1.0).refusal.label == "future: wrist"


def test_the_same_pixels_under_new_stamps_are_noticed_and_stop_the_arm_only_on_request() -> None:
    inputs = make_inputs(max_age=5.0)
    inputs.configure(5.0, 0.05, max_still=1.0, hold_if_stuck=False)
    for k in range(30):
        stamp = 1.0 + k / 10
        inputs.add_image("top", image(picture(seed=0), stamp=stamp), stamp)
        inputs.add_image("wrist", image(picture(seed=k), stamp=stamp), stamp)
        inputs.add_state(joint_state({"pan": stamp, "lift": 0.0}, stamp), stamp)
    assert inputs.stuck == pytest.approx({"top": 2.9})
    assert inputs.fresh(3.9) is None
    inputs.configure(5.0, 0.05, max_still=1.0, hold_if_stuck=True)
    assert inputs.fresh(3.9).label == "stuck: top"
    inputs.add_image("top", image(picture(seed=1), stamp=4.0), 4.0)
    assert inputs.fresh(4.0) is None
