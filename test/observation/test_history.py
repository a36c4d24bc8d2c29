import pytest

from act_inference_ros.observation.history import StampedHistory


def filled(*entries: tuple[float, str], span: float = 10.0, capacity: int = 100) -> StampedHistory[str]:
    history: StampedHistory[str] = StampedHistory(span, capacity)
    for stamp, value in entries:
        history.append(stamp, value)
    return history


@pytest.mark.parametrize(("stamp", "value"), [(0.0, "a"), (1.4, "a"), (1.6, "b"), (1.5, "b"), (2.0, "b"), (9.0, "c")])
def test_the_nearest_value_is_found_and_the_newer_of_two_equally_near(stamp: float, value: str) -> None:
    assert filled((1.0, "a"), (2.0, "b"), (3.0, "c")).nearest(stamp).value == value


def test_a_value_with_the_stamp_of_the_last_takes_its_place() -> None:
    history = filled((1.0, "a"), (2.0, "b"), (2.0, "c"), capacity=2)
    assert [history.nearest(stamp).value for stamp in (1.0, 2.0)] == ["a", "c"]


def test_what_is_older_than_the_span_or_beyond_the_capacity_is_forgotten() -> None:
    assert filled((1.0, "a"), (2.0, "b"), (3.5, "c"), span=2.0).nearest(0.0).value == "b"
    assert filled((1.0, "a"), (2.0, "b"), (3.5, "c"), capacity=1).nearest(0.0).value == "c"


@pytest.mark.parametrize(("stamp", "oldest"), [(0.5, "a"), (1.0, "a"), (1.9, "a"), (2.0, "b"), (9.0, "c")])
def test_the_last_value_before_what_is_forgotten_is_kept(stamp: float, oldest: str) -> None:
    history = filled((1.0, "a"), (2.0, "b"), (3.5, "c"))
    history.forget_before(stamp)
    assert history.nearest(0.0).value == oldest


def test_nothing_is_near_in_an_empty_history() -> None:
    history = filled((1.0, "a"))
    history.remove(history.newest.value)
    assert history.newest is None
    with pytest.raises(ValueError, match="empty"):
        history.nearest(1.0)
