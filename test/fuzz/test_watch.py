"""The watch itself: what breaks a bound is noticed, and what keeps them is not."""

import random
import time
from collections.abc import Callable

import numpy as np
import pytest

from act_inference_ros.errors import ConfigurationError
from test.fuzz import watch as watching
from test.fuzz.mutation import VALUES, bytes_mutation, json_mutation, json_text
from test.fuzz.target import LONGEST_S, MIB, Target
from test.fuzz.watch import Watch


def watch_of(check: Callable[[bytes], object], longest_s: float = LONGEST_S) -> Watch:
    return Watch(Target("test", check, [b""], bytes_mutation, (ConfigurationError,), 32 * MIB), longest_s)


def refuse(message: str) -> Callable[[bytes], object]:
    def check(data: bytes) -> None:
        raise ConfigurationError(message)

    return check


def fail(error: Exception) -> Callable[[bytes], object]:
    def check(data: bytes) -> None:
        raise error

    return check


def test_a_refusal_is_no_breach() -> None:
    watch = watch_of(refuse("a: expected 1, got 2"))
    assert watch.run(b"") is None
    assert (watch.inputs, watch.refused, watch.breaches) == (1, 1, {})


BREACHES: dict[str, tuple[Callable[[bytes], object], str]] = {
    "an error of others": (fail(ValueError("a")), "ValueError in test_watch.check"),
    "no error": (lambda data: int("x"), "ValueError in test_watch.<lambda>"),
    "a wrong result": (fail(AssertionError()), "AssertionError in test_watch.check"),
    "a long message": (refuse("a" * 20_000), "message that is too long, from test_watch.check"),
    "a message with a surrogate": (refuse("\ud800"), "message that cannot be printed, from test_watch.check"),
    "a warning of numpy": (lambda data: np.float32(1e30) * np.float32(1e30), "RuntimeWarning in test_watch.<lambda>"),
}


@pytest.mark.parametrize("case", BREACHES)
def test_another_error_is_a_breach_and_named_by_its_place(case: str) -> None:
    check, where = BREACHES[case]
    breach = watch_of(check).run(b"data")
    assert breach is not None
    assert (breach.kind, breach.where, breach.data) == ("error", where, b"data")


def test_memory_beyond_the_bound_is_a_breach_also_if_it_is_given_back() -> None:
    watch = watch_of(lambda data: np.ones(int(data) * MIB, np.uint8).sum())
    assert watch.run(b"8") is None
    breach = watch.run(b"128")
    assert breach is not None
    assert breach.kind == "memory"
    assert watch.worst_bytes > 100 * MIB


def test_time_beyond_the_bound_is_a_breach(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "GIVEN_UP_S", 0.2)

    def busy(data: bytes) -> None:
        end = time.process_time() + float(data)
        while time.process_time() < end:
            pass

    watch = watch_of(busy, longest_s=0.05)
    assert watch.run(b"0.0") is None
    late, endless = watch.run(b"0.1"), watch.run(b"1000")
    assert late is not None
    assert late.kind == "time"
    assert endless is not None
    assert (endless.kind, endless.where) == ("time", "test_watch.busy")


def test_the_same_seed_makes_the_same_inputs_and_leaves_the_values_as_they_are() -> None:
    before = [json_text(value) for value in VALUES]
    made = []
    for _ in range(2):
        chance, data = random.Random(3), b'{"a": [1, {"b": "c"}], "d": null}'
        for _ in range(300):
            data = json_mutation(data, chance) if len(data) < 1000 else b'{"a": 1}'
        made.append(data)
    assert made[0] == made[1]
    assert [json_text(value) for value in VALUES] == before
