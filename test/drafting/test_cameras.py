"""A camera's topic is found by its name, or by being the only one that is left of its size."""

import pytest

from act_inference_ros.drafting.cameras import CameraDraft, find_cameras
from act_inference_ros.drafting.facts import ImageTopic
from act_inference_ros.spec import ImageSpec


def topic(name: str, height: int = 480, width: int = 640, rate: float | None = 30.0) -> ImageTopic:
    return ImageTopic(name, "compressed" if name.endswith("/compressed") else "raw", height, width, rate)


def found(cameras: list[str], *topics: ImageTopic) -> dict[str, str | None]:
    return {each.image.camera: each.topic.topic if each.topic else None for each in drafts(cameras, *topics)}


def drafts(cameras: list[str], *topics: ImageTopic) -> list[CameraDraft]:
    return find_cameras([ImageSpec(f"observation.images.{camera}", 480, 640) for camera in cameras], topics)


def test_a_topic_whose_name_has_the_cameras_words_is_the_cameras() -> None:
    topics = [topic("/cam_high/image_raw"), topic("/robot/cam_left_wrist/color/image_raw"), topic("/desktop/image")]
    assert found(["cam_high", "cam_left_wrist"], *topics) == {
        "cam_high": "/cam_high/image_raw",
        "cam_left_wrist": "/robot/cam_left_wrist/color/image_raw",
    }


@pytest.mark.parametrize(
    ("raw_rate", "compressed_rate", "expected"),
    [(30.0, 30.2, "/top/image"), (8.0, 30.0, "/top/image/compressed"), (None, None, "/top/image")],
)
def test_of_one_source_the_faster_topic_is_taken_and_the_raw_one_of_equals(
    raw_rate: float | None, compressed_rate: float | None, expected: str
) -> None:
    both = topic("/top/image", rate=raw_rate), topic("/top/image/compressed", rate=compressed_rate)
    assert found(["top"], *both) == {"top": expected}


def test_a_name_that_stands_in_two_topics_stays_open_with_both() -> None:
    [wrist] = drafts(["wrist"], topic("/left/wrist/image"), topic("/right/wrist/image"))
    assert wrist.topic is None
    assert [each.topic for each in wrist.candidates] == ["/left/wrist/image", "/right/wrist/image"]


def test_a_topic_with_the_names_of_two_cameras_is_given_to_neither() -> None:
    assert found(["top", "front"], topic("/front/top/image"), topic("/b/image")) == {"top": None, "front": None}


def test_the_only_topic_left_of_its_size_is_the_last_cameras() -> None:
    topics = [topic("/camera_1/image"), topic("/wrist/image"), topic("/small/image", 240, 320)]
    assert found(["top", "wrist"], *topics) == {"top": "/camera_1/image", "wrist": "/wrist/image"}


def test_two_topics_left_of_its_size_are_candidates() -> None:
    [top] = drafts(["top"], topic("/a/image"), topic("/b/image"), topic("/small/image", 240, 320))
    assert top.topic is None
    assert [each.topic for each in top.candidates] == ["/a/image", "/b/image"]


def test_another_size_under_the_right_name_is_resized() -> None:
    [top] = drafts(["top"], topic("/top/image", 720, 1280))
    assert top.resized
    assert not drafts(["top"], topic("/top/image"))[0].resized
