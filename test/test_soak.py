"""The soak's rules find what grows and what drifts, and nothing else; one short run of everything works."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.soak import __main__ as soak
from benchmarks.soak.judgement import LARGEST_DRIFT_S, drift_s, growth
from benchmarks.soak.measuring import Measured, Series
from benchmarks.soak.sizes import sizes_of
from benchmarks.soak.stream_watch import StreamWatch

HOUR = np.arange(0.0, 3600.0, 5.0)
PERIOD_S = 0.01
NOISE = np.random.default_rng(0).normal(0.0, 0.3, len(HOUR))


@pytest.mark.parametrize(
    ("sizes", "flat"),
    [
        (100.0 + NOISE, True),
        (100.0 + NOISE + 30.0 * (HOUR < 600.0), True),  # more at the start, until it has settled
        (100.0 - 50.0 * np.exp(-HOUR / 100.0), True),  # it fills, and is full
        (100.0 + NOISE + 20.0 * (HOUR > 1000.0) * (HOUR < 1500.0), True),  # a while of more
        (100.0 + NOISE + 2.0 * HOUR / 3600.0, False),
        (100.0 + NOISE + 2.0 * (HOUR > 2000.0), False),
        (24.0 + (HOUR > 2000.0), False),  # one more thread
        (np.where(HOUR > 2000.0, 1.0, 0.0), False),
        (np.zeros(len(HOUR)), True),
        (100.0 - 2.0 * HOUR / 3600.0, True),
    ],
)
def test_what_grows_after_the_warm_up_is_found(sizes: Any, flat: bool) -> None:
    found = growth(HOUR, sizes)
    assert found is not None
    assert found.is_flat is flat


def test_too_few_samples_are_not_judged() -> None:
    assert growth(HOUR[:24], 100.0 + HOUR[:24]) is None  # all of them are warm-up
    assert growth(HOUR, np.full(len(HOUR), math.nan)) is None
    assert growth([], []) is None


def test_a_sample_that_is_missing_does_not_count() -> None:
    sizes = 100.0 + 2.0 * HOUR / 3600.0
    sizes[::3] = math.nan
    assert not growth(HOUR, sizes).is_flat


def watched(instants: Any, chunk_every_s: float = 0.5, latency_s: float = 0.3) -> list[dict[str, float]]:
    """What is seen of a stream with commands at these instants, in bins of 5 s."""
    watch, bins, end = StreamWatch(PERIOD_S), [], instants[0] + 5.0
    chunks = iter(np.arange(instants[0] - 1.0, instants[-1], chunk_every_s).tolist())
    written = next(chunks)
    for instant in instants:
        while written is not None and written <= instant:
            watch.chunk(written, written - latency_s)
            written = next(chunks, None)
        if instant >= end:
            bins.append(watch.take())
            end += 5.0
        watch.command(instant)
    return bins


def test_a_stream_on_its_grid_is_seen_to_be_so() -> None:
    random = np.random.default_rng(1)
    instants = 1.7e9 + PERIOD_S * np.arange(6000) + random.exponential(0.0005, 6000)
    bins = watched(np.delete(instants, [1000, 1001, 2500]))
    assert sum(each["missed"] for each in bins) == 3
    assert abs(drift_s(5.0 * np.arange(len(bins)), [each["phase_s"] for each in bins], PERIOD_S, [])) < 2e-4
    for each in bins:
        assert each["age_p50_s"] == pytest.approx(0.3 + 0.25, abs=0.02)
        assert each["age_in_chunks"] == pytest.approx(1.1, abs=0.05)


@pytest.mark.parametrize("slower", [1e-4, -1e-4, 5e-4])
def test_a_timer_that_is_too_slow_or_too_fast_is_found(slower: float) -> None:
    instants = 1.7e9 + PERIOD_S * (1.0 + slower) * np.arange(12000)
    bins = watched(instants)
    drifted = drift_s(5.0 * np.arange(len(bins)), [each["phase_s"] for each in bins], PERIOD_S, [])
    assert abs(drifted) > LARGEST_DRIFT_S
    assert np.sign(drifted) == np.sign(slower)


def test_a_timer_that_is_started_anew_has_a_grid_of_its_own() -> None:
    times, phases = 5.0 * np.arange(40), np.repeat([0.0, 0.004], 20)
    assert drift_s(times, phases, PERIOD_S, [100.0]) == 0.0
    assert drift_s(times, phases, PERIOD_S, []) == pytest.approx(0.004)


def test_a_pause_is_no_missed_command() -> None:
    instants = 1.7e9 + PERIOD_S * np.r_[0:1000, 1300:2300]
    assert sum(each["missed"] for each in watched(instants) if not math.isnan(each["missed"])) == 0


def a_run(**changes: Any) -> Measured:
    """An hour in which nothing grows."""
    sizes = {"node rss_mb": 170.0 + NOISE, "node threads": np.full(len(HOUR), 24.0), "dumps": np.full(len(HOUR), 20.0)}
    stream = {"phase_s": np.zeros(len(HOUR)), "age_in_chunks": np.full(len(HOUR), 1.5)}
    measured = Measured(pids={"node": {7}, "inference": {8}})
    for series, values in ((measured.sizes, sizes), (measured.stream, stream)):
        for i, at in enumerate(HOUR):
            series.add(at, {name: float(changes.get(name, each)[i]) for name, each in values.items()})
    return measured


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, []),
        ({"node rss_mb": 170.0 + HOUR / 600.0}, ["node rss_mb grew by"]),
        ({"age_in_chunks": 1.5 + HOUR / 3600.0}, ["age_in_chunks grew by"]),
        ({"phase_s": HOUR * 1e-6}, ["the stream's instants drifted by"]),
        ({"dumps": np.full(len(HOUR), 21.0)}, ["the black box kept 21 dumps"]),
    ],
)
def test_each_rule_says_what_broke_it(changes: dict[str, Any], said: list[str]) -> None:
    found = soak.summary(a_run(**changes))["broken"]
    assert len(found) == len(said)
    assert all(sentence.startswith(begin) for sentence, begin in zip(found, said, strict=True))


def test_a_process_that_was_started_again_is_no_long_run() -> None:
    measured = a_run()
    measured.pids["inference"] = {8, 9}
    assert soak.summary(measured)["broken"] == ["inference ended and was started again"]


def test_a_run_that_is_too_short_is_not_called_flat() -> None:
    assert soak.summary(Measured())["broken"] == ["nothing could be judged: the run was too short"]


def test_the_types_that_became_more_are_named() -> None:
    types = [{"a.Leak": 5 + number, "a.Wave": 40 * (number % 2), "a.Other": 3} for number in range(24)]
    types[-1]["a.Once"] = types[-2]["a.Once"] = 7
    assert soak.more_objects(Measured(types=types)) == {"a.Leak": [14, 25]}
    assert soak.more_objects(Measured(types=types[:3])) == {}


def test_a_series_has_a_gap_where_nothing_was_measured() -> None:
    series = Series()
    series.add(1.0, {"a": 1.0})
    series.add(2.0, {"b": 2.0})
    assert np.array_equal(series.of("a"), [1.0, math.nan], equal_nan=True)
    assert np.array_equal(series.of("b"), [math.nan, 2.0], equal_nan=True)
    assert np.isnan(series.of("c")).all()


def test_what_a_process_holds_is_counted() -> None:
    before = sizes_of(os.getpid())
    with open(os.devnull) as _:
        after = sizes_of(os.getpid())
    assert after["descriptors"] == before["descriptors"] + 1
    assert 0.0 < after["anonymous_mb"] < after["rss_mb"]
    assert after["threads"] >= 1
    with pytest.raises(FileNotFoundError):
        sizes_of(2**22 + 1)


def test_a_short_soak_runs_and_says_that_it_is_too_short(tmp_path: Path) -> None:
    pytest.importorskip("rclpy")
    pytest.importorskip("torch")
    output = tmp_path / "soak.json"
    command = [sys.executable, "-m", "benchmarks.soak", "--minutes", "0.3", "--cycle", "9", "--output", str(output)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=400, check=False)
    assert done.returncode == 1, done.stderr
    found = json.loads(output.read_text())
    assert found["broken"] == ["nothing could be judged: the run was too short"]
    events = [event["event"] for event in found["events"]]
    assert events[0] == "first command"
    assert "pause" in events
    assert sum(found["stream"]["commands"]) > 0
    for part in ("node", "inference", "black box"):
        assert found["sizes"][f"{part} rss_mb"][-1] > 10.0
    assert len(found["python"]["node python_blocks"]) > 1
