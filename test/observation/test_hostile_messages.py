"""Image messages whose numbers contradict each other: an image of the stated size, or an ObservationError."""

import tracemalloc
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from act_inference_ros.errors import ObservationError
from act_inference_ros.observation import optional
from act_inference_ros.observation.compressed import read_header
from act_inference_ros.observation.images import check_image_message, decode_image_message
from act_inference_ros.observation.raw import CHANNELS
from act_inference_ros.spec import ImageSpec
from test.observation.fake_messages import compressed, encoded, header, picture

MOST = 2**32 - 1
TOP = ImageSpec("observation.images.top", height=4, width=6)
ENCODINGS = (*CHANNELS, "mono16", "bayer_rggb8", "yuv422", "nv21", "32FC1", "8UC3", "", "RGB8", "rgb8\0", "\x1b[2J")
SIZES = st.integers(0, 8) | st.sampled_from([2**16, 2**31 - 1, 2**31, MOST]) | st.integers(0, MOST)


class Bridge:
    """Converts as cv_bridge does, and notes the messages that it was given."""

    def imgmsg_to_cv2(self, msg: Any, encoding: str) -> Any:
        if not 1 <= msg.height * msg.width <= msg.height * msg.step <= memoryview(msg.data).nbytes:
            pytest.fail(f"handed {memoryview(msg.data).nbytes} bytes as {msg.height} x {msg.width}")
        if msg.encoding not in ("mono16", "bayer_rggb8", "yuv422", "nv21", "32FC1", "8UC3"):
            raise RuntimeError(f"unrecognized encoding {msg.encoding}")
        return np.zeros((msg.height, msg.width, 3), np.uint8)


@pytest.fixture(params=["with cv_bridge", "without cv_bridge"], scope="module")
def bridge(request: pytest.FixtureRequest) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        found = (Bridge(), "") if request.param == "with cv_bridge" else (None, "it is not installed")
        patch.setattr(optional, "cv_bridge", lambda: found)
        yield


def raw(height: int, width: int, step: int, data: bytes, encoding: str = "rgb8", number: Any = int) -> SimpleNamespace:
    return SimpleNamespace(
        header=header(1.0),
        height=number(height),
        width=number(width),
        step=number(step),
        encoding=encoding,
        is_bigendian=0,
        data=data,
    )


def outcome_of(msg: Any) -> Any:
    """The shape of the image, or the message of its refusal."""
    try:
        pixels = decode_image_message(msg)
    except ObservationError as error:
        return str(error)
    assert pixels.dtype == np.uint8
    return pixels.shape


def is_short_refusal(outcome: Any) -> bool:
    return isinstance(outcome, str) and outcome.startswith("image: ") and len(outcome) < 500


@pytest.mark.usefixtures("bridge")
@pytest.mark.filterwarnings("error::RuntimeWarning")
@given(SIZES, SIZES, SIZES, st.sampled_from(ENCODINGS) | st.text(max_size=12), st.data())
def test_an_image_has_the_size_that_its_message_states_or_is_refused(
    height: int, width: int, step: int, encoding: str, data: st.DataObject
) -> None:
    told = height * step
    length = data.draw(st.integers(0, 200) | (st.integers(told - 2, told + 2) if 2 <= told < 1000 else st.just(0)))
    number = data.draw(st.sampled_from([int, np.uint32]))
    msg = raw(height, width, step, bytes(length), encoding, number)
    outcome = outcome_of(msg)
    assert outcome == (height, width, 3) or is_short_refusal(outcome)


@pytest.mark.usefixtures("bridge")
@pytest.mark.parametrize("encoding", ["rgb8", "mono8", "nv21", "32FC1"])
def test_large_sizes_without_data_are_refused_before_memory_is_taken(encoding: str) -> None:
    tracemalloc.start()
    for height, width, step in [(MOST, MOST, MOST), (MOST, 1, 0), (1, MOST, 0), (2**16, 2**16, 2**16), (1, 1, MOST)]:
        with pytest.raises(ObservationError, match=r"^image: "):
            decode_image_message(raw(height, width, step, bytes(100), encoding))
    assert tracemalloc.get_traced_memory()[1] < 1_000_000
    tracemalloc.stop()


@pytest.mark.parametrize("encoding", ["rgb8" * 100_000, "\x1b[2J" * 1000, ""], ids=["long", "control", "empty"])
def test_an_unknown_encoding_is_quoted_short(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(optional, "cv_bridge", lambda: (None, "it is not installed"))
    with pytest.raises(ObservationError, match=r"encoding .* is not supported") as error:
        check_image_message(raw(4, 6, 18, bytes(72), encoding), TOP)
    assert len(str(error.value)) < 500
    assert str(error.value).isprintable()


WHOLE = {".jpg": encoded(picture()), ".png": encoded(picture(), ".png")}


@given(st.sampled_from(sorted(WHOLE)), st.data())
def test_compressed_data_are_an_image_of_the_size_in_their_header_or_refused(kind: str, data: st.DataObject) -> None:
    whole = bytearray(WHOLE[kind])
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    msg = compressed(bytes(whole))
    outcome = outcome_of(msg)
    if isinstance(outcome, str):
        assert is_short_refusal(outcome)
    else:
        shown = read_header(msg.data)
        assert outcome == (shown.height, shown.width, 3)
