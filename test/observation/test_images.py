from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from act_inference_ros.errors import MissingDependencyError, ObservationError
from act_inference_ros.observation import optional
from act_inference_ros.observation.images import (
    check_image_message,
    decode_image,
    decode_image_message,
    is_jpeg_of_size,
    resize,
)
from act_inference_ros.spec import ImageSpec
from test.observation.fake_messages import compressed, encoded, image, picture

TOP = ImageSpec("observation.images.top", height=4, width=6)
ORDERS = {"rgb8": [0, 1, 2], "bgr8": [2, 1, 0], "rgba8": [0, 1, 2], "bgra8": [2, 1, 0], "mono8": [0, 0, 0]}
CHANNELS = {"rgb8": 3, "bgr8": 3, "rgba8": 4, "bgra8": 4, "mono8": 1}


@pytest.fixture(params=["with OpenCV", "without OpenCV"])
def opencv_or_not(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "without OpenCV":
        monkeypatch.setattr(optional, "opencv", lambda: None)


@pytest.fixture
def no_cv_bridge(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(optional, "cv_bridge", lambda: (None, "ImportError: built for another numpy"))


@pytest.mark.usefixtures("opencv_or_not")
@pytest.mark.parametrize("container", ["bytes", "array", "ndarray"])
@pytest.mark.parametrize("padding", [0, 1, 7])
@pytest.mark.parametrize("encoding", ORDERS)
def test_every_encoding_becomes_rgb_whatever_its_padding_and_container(
    encoding: str, padding: int, container: str
) -> None:
    pixels = picture(5, 7, CHANNELS[encoding])
    rgb = decode_image(image(pixels, encoding, padding, container=container))
    np.testing.assert_array_equal(rgb, pixels[..., ORDERS[encoding]])
    assert rgb.dtype == np.uint8
    assert rgb.flags.c_contiguous
    assert rgb.flags.writeable


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1)])
@pytest.mark.parametrize("encoding", ORDERS)
def test_the_smallest_images_are_images_too(encoding: str, size: tuple[int, int]) -> None:
    pixels = picture(*size, CHANNELS[encoding])
    np.testing.assert_array_equal(decode_image(image(pixels, encoding, 3)), pixels[..., ORDERS[encoding]])


def test_an_rgb8_image_is_not_copied() -> None:
    msg = image(picture())
    assert np.shares_memory(decode_image(msg), np.frombuffer(msg.data, np.uint8))


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("height", 0, "height and width above 0, got 0 x 6"),
        ("width", 0, "height and width above 0, got 4 x 0"),
        ("step", 17, "step 17 is shorter than a row of 6 .rgb8. pixels"),
        ("step", 19, "expected 4 rows of 19 bytes = 76, got 72"),
        ("data", b"", "expected 4 rows of 18 bytes = 72, got 0"),
    ],
)
def test_a_message_whose_numbers_disagree_is_refused_on_arrival_and_when_decoded(
    field: str, value: int | bytes, said: str
) -> None:
    msg = image(picture())
    setattr(msg, field, value)
    with pytest.raises(ObservationError, match=said):
        check_image_message(msg, TOP)
    with pytest.raises(ObservationError, match=said):
        decode_image(msg)


@pytest.mark.usefixtures("no_cv_bridge")
def test_an_unsupported_encoding_is_named_with_those_supported_and_how_to_get_more() -> None:
    msg = image(picture(4, 6, 1), "bayer_rggb8")
    with pytest.raises(ObservationError, match=r"'bayer_rggb8'.*'rgb8'.*'mono8'.*installing cv_bridge.*another numpy"):
        check_image_message(msg, TOP)
    with pytest.raises(ObservationError, match="'bayer_rggb8' is not supported"):
        decode_image(msg)


class FakeBridge:
    """Like Debian's cv_bridge: takes the first height * width bytes for pixels, whatever `step` says."""

    def imgmsg_to_cv2(self, msg: Any, desired: str) -> npt.NDArray[np.uint8]:
        assert desired == "rgb8"
        if msg.encoding == "8SC1":
            raise TypeError("no such conversion")
        pixels = np.frombuffer(msg.data, np.uint8)[: msg.height * msg.width].reshape(msg.height, msg.width, 1)
        return pixels if msg.encoding == "32FC1" else np.repeat(pixels, 3, axis=2)


def test_other_encodings_go_through_cv_bridge_without_their_padding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(optional, "cv_bridge", lambda: (FakeBridge(), ""))
    pixels = picture(4, 6, 1)
    np.testing.assert_array_equal(decode_image(image(pixels, "bayer_rggb8", 5)), np.repeat(pixels, 3, axis=2))


@pytest.mark.parametrize("encoding", ["8SC1", "32FC1"])
def test_what_cv_bridge_cannot_make_rgb_is_refused(monkeypatch: pytest.MonkeyPatch, encoding: str) -> None:
    monkeypatch.setattr(optional, "cv_bridge", lambda: (FakeBridge(), ""))
    with pytest.raises(ObservationError, match=f"image: cv_bridge .*{encoding}"):
        decode_image(image(picture(4, 6, 1), encoding))


@pytest.mark.parametrize("kind", ["raw", "jpeg", "png"])
def test_an_image_of_another_size_is_refused_on_arrival_unless_it_may_be_resized(kind: str) -> None:
    pixels = picture(6, 4)
    msg = {
        "raw": image(pixels),
        "jpeg": compressed(encoded(pixels)),
        "png": compressed(encoded(pixels, ".png")),
    }[kind]
    with pytest.raises(ObservationError, match=r"expected 4 x 6 \(height x width\), got 6 x 4; .*resize: true"):
        check_image_message(msg, TOP)
    check_image_message(msg, TOP, resize=True)
    assert resize(decode_image_message(msg), TOP.height, TOP.width).shape == TOP.shape


def test_resizing_is_the_bilinear_of_lerobots_policy_server() -> None:
    torch = pytest.importorskip("torch", reason="compares with torch")
    pixels = picture(48, 64)
    there = torch.nn.functional.interpolate(
        torch.from_numpy(pixels).permute(2, 0, 1)[None].float(), (30, 41), mode="bilinear", align_corners=False
    )
    difference = resize(pixels, 30, 41) - there[0].permute(1, 2, 0).numpy()
    assert np.abs(difference).max() <= 1.0
    assert resize(pixels, 48, 64) is pixels


def test_resizing_without_opencv_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(optional, "opencv", lambda: None)
    with pytest.raises(MissingDependencyError, match="pip install opencv-python-headless"):
        resize(picture(), 2, 2)


def test_only_a_whole_colour_jpeg_of_the_right_size_may_be_passed_on() -> None:
    whole = encoded(picture(4, 6))
    assert is_jpeg_of_size(whole, 4, 6)
    others = [whole[:-2], encoded(picture(6, 4)), encoded(picture(4, 6, 1)), encoded(picture(4, 6), ".png"), b""]
    assert not any(is_jpeg_of_size(data, 4, 6) for data in others)
