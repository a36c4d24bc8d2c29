from array import array
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from act_inference_ros.errors import MissingDependencyError, ObservationError
from act_inference_ros.observation import optional
from act_inference_ros.observation.compressed import decode_bytes, decode_compressed, decode_jpeg, read_header
from test.observation.fake_messages import compressed, encoded, picture

PICTURE = picture(48, 64)
JPEG = encoded(PICTURE)
PNG = encoded(PICTURE, ".png")


@pytest.mark.parametrize("spelling", ["jpeg", "rgb8; jpeg compressed bgr8", "bgr8; png compressed", ""])
@pytest.mark.parametrize(
    "container", [bytes, lambda data: array("B", data), lambda data: np.frombuffer(data, np.uint8)]
)
def test_the_format_is_recognised_from_the_data(spelling: str, container: Callable[[bytes], Any]) -> None:
    np.testing.assert_array_equal(decode_compressed(compressed(container(PNG), format=spelling)), PICTURE)
    difference = decode_compressed(compressed(container(JPEG), format=spelling)).astype(int) - PICTURE
    assert np.abs(difference).mean() < 3.0


@pytest.mark.parametrize(
    "options",
    [(), (cv2.IMWRITE_JPEG_PROGRESSIVE, 1), (cv2.IMWRITE_JPEG_RST_INTERVAL, 2), (cv2.IMWRITE_JPEG_OPTIMIZE, 1)],
)
def test_jpegs_of_every_layout_are_read(options: tuple[int, ...]) -> None:
    data = encoded(PICTURE, ".jpg", *options)
    assert (read_header(data).height, read_header(data).width) == (48, 64)
    assert np.abs(decode_jpeg(data).astype(int) - PICTURE).mean() < 3.0


def test_grey_becomes_three_equal_channels() -> None:
    grey = picture(8, 8, 1)
    np.testing.assert_array_equal(decode_bytes(encoded(grey, ".png")), np.repeat(grey, 3, axis=2))
    rgb = decode_jpeg(encoded(grey))
    assert (rgb == rgb[..., :1]).all()


def test_alpha_is_dropped() -> None:
    pixels = picture(8, 8, 4)
    np.testing.assert_array_equal(decode_bytes(encoded(pixels, ".png")), pixels[..., :3])


def test_exif_orientation_is_ignored() -> None:
    rotated_by_90 = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"
    tagged = JPEG[:2] + b"\xff\xe1" + (len(rotated_by_90) + 2).to_bytes(2, "big") + rotated_by_90 + JPEG[2:]
    assert cv2.imdecode(np.frombuffer(tagged, np.uint8), cv2.IMREAD_COLOR).shape == (64, 48, 3)
    np.testing.assert_array_equal(decode_jpeg(tagged), decode_jpeg(JPEG))


@given(st.integers(0, len(JPEG) - 1) | st.integers(len(JPEG) - 20, len(JPEG) - 1))
def test_a_jpeg_cut_anywhere_is_refused(length: int) -> None:
    with pytest.raises(ObservationError, match="image: "):
        decode_bytes(JPEG[:length])


@given(st.integers(0, len(PNG) - 1))
def test_a_png_cut_anywhere_is_refused(length: int) -> None:
    with pytest.raises(ObservationError, match="image: "):
        decode_bytes(PNG[:length])


@given(st.binary(max_size=300), st.sampled_from([b"", b"\xff\xd8", b"\xff\xd8\xff\xc0\x00\x0b", PNG[:8], PNG[:16]]))
def test_junk_is_refused(junk: bytes, beginning: bytes) -> None:
    with pytest.raises(ObservationError, match="image: "):
        decode_bytes(beginning + junk)


def test_a_corrupt_png_is_refused() -> None:
    with pytest.raises(ObservationError, match="corrupt png"):
        decode_bytes(PNG[:400] + bytes([PNG[400] ^ 255]) + PNG[401:])


def test_a_thumbnails_end_is_not_the_images() -> None:
    thumbnail = b"Exif\0\0" + encoded(picture(8, 8))
    segment = b"\xff\xe1" + (len(thumbnail) + 2).to_bytes(2, "big") + thumbnail
    with pytest.raises(ObservationError, match="truncated JPEG"):
        decode_bytes(JPEG[:2] + segment + JPEG[2:-300])


def test_zeros_after_the_end_as_usb_cameras_send_them_are_allowed() -> None:
    np.testing.assert_array_equal(decode_jpeg(JPEG + bytes(64)), decode_jpeg(JPEG))


def test_sixteen_bits_are_refused() -> None:
    deep = cv2.imencode(".png", np.zeros((4, 4, 3), np.uint16))[1].tobytes()
    with pytest.raises(ObservationError, match=r"expected a PNG of 8-bit .* bits=16"):
        decode_bytes(deep)


def test_a_png_is_no_jpeg() -> None:
    with pytest.raises(ObservationError, match=r"expected a JPEG, got .* begin 89 50"):
        decode_jpeg(PNG)


def test_without_opencv_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(optional, "opencv", lambda: None)
    with pytest.raises(MissingDependencyError, match=r"jpeg image needs OpenCV.*pip install opencv-python-headless"):
        decode_jpeg(JPEG)
