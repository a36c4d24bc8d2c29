"""A metrics.json for --compare with any values of the right types is shown, or refused before the evaluation begins."""

from __future__ import annotations

import contextlib
import copy
import io
import json
import math
import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from act_inference_ros.errors import ConfigurationError
from act_inference_ros.evaluation.bags.bag_evaluation import evaluate_bags
from act_inference_ros.evaluation.report import html_report
from act_inference_ros.evaluation.report.compare import chunk_difference, read_metrics
from act_inference_ros.evaluation.report.html_report import write_report
from act_inference_ros.evaluation.report.table import print_tables
from act_inference_ros.evaluation.results import EvaluationResult
from act_inference_ros.evaluation.run_settings import RunSettings
from act_inference_ros.evaluation.runs import Run
from test.evaluation import bags

Keys = tuple[str | int, ...]
VALUES_TRIED = 2
"""Of each place; all of them take minutes."""


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> EvaluationResult:
    path = bags.write_bag(tmp_path_factory.mktemp("bag") / "bag", bags.events(1.0), "mcap")
    settings = RunSettings("test", "test", joints=tuple(bags.JOINTS), fps=bags.FPS, merge="blend")
    with bags.client() as client:
        return evaluate_bags([path], bags.configuration(), client, settings)


@pytest.fixture(autouse=True)
def short_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(html_report, "plotly_javascript", lambda: "")


def shown(mine: EvaluationResult, other: EvaluationResult, page: Path) -> str:
    """What eval_policy prints of two runs; `page` is the report."""
    runs = [Run("mine", mine), Run("other [/bold]", other)]
    with contextlib.redirect_stdout(io.TextIOWrapper(io.BytesIO(), encoding="utf-8")) as out:
        print_tables(runs)
        print(chunk_difference(*runs).text)
        write_report(page, runs)
        out.flush()
        assert isinstance(out.buffer, io.BytesIO)
        return out.buffer.getvalue().decode()


def places(value: Any, keys: Keys = ()) -> Iterator[tuple[Keys, Any]]:
    """Each place in JSON data, of lists the first entry, with what is there."""
    if keys:
        yield keys, value
    if isinstance(value, dict):
        for key, each in value.items():
            yield from places(each, (*keys, key))
    elif isinstance(value, list):
        for each in value[:1]:
            yield from places(each, (*keys, 0))


def others(value: Any) -> list[Any]:
    """Values of the same type, that hardly anybody expects."""
    if isinstance(value, bool):
        return []
    if isinstance(value, int):
        return [-1, 0, 2**60, 10**400]
    if isinstance(value, float) or value is None:
        return [None, 1e308, -1e308, 1e149, 0.0, -5.0, math.inf]
    if isinstance(value, str):
        return ["", "x" * 10_000, "\ud800", "[/bold]", "a\\", "</script>", "../x\n"]
    if isinstance(value, list):
        return [[], value + value[:1], value[:-1], value * 3]
    return [{}, {**value, "zz": next(iter(value.values()), None)}, dict(list(value.items())[1:])]


def with_value(plain: Any, keys: Keys, value: Any) -> Any:
    changed = copy.deepcopy(plain)
    place = changed
    for key in keys[:-1]:
        place = place[key]
    place[keys[-1]] = value
    return changed


def test_every_value_is_shown_or_refused(honest: EvaluationResult, tmp_path: Path) -> None:
    plain = json.loads(honest.to_json())
    seen: set[Keys] = set()
    messages: list[str] = []
    chance = random.Random(1)
    for keys, found in places(plain):
        kind = tuple(key for key in keys if key not in bags.JOINTS)
        if kind in seen:  # one joint stands for all
            continue
        seen.add(kind)
        values = others(found)
        for value in chance.sample(values, min(VALUES_TRIED, len(values))):
            path = tmp_path / "metrics.json"
            path.write_text(json.dumps(with_value(plain, keys, value)))
            try:
                other = read_metrics(path)
            except ConfigurationError as error:
                messages.append(str(error))
                continue
            try:
                shown(honest, other, tmp_path / "report.html")
            except Exception as error:
                pytest.fail(f"{keys} = {ascii(value)[:60]}: {error!r}")
    assert len(seen) > 100
    assert len(messages) > 50
    assert max(len(message.encode()) for message in messages) < 1000


def test_the_honest_one_is_shown(honest: EvaluationResult, tmp_path: Path) -> None:
    (tmp_path / "metrics.json").write_text(honest.to_json())
    text = shown(honest, read_metrics(tmp_path), tmp_path / "report.html")
    assert "largest difference of" in text
    assert "other [/bold]" in text


@pytest.mark.parametrize(
    ("keys", "value", "expected"),
    [
        (("status",), "[/bold]", "a status out of complete, partial, failed"),
        (("episodes", 0, "status"), "good", "a status out of"),
        (("settings", "fps"), 0.0, "a rate above 0"),
        (("settings", "fps"), -5.0, "a rate above 0"),
        (("settings", "policy"), "\ud800", "a text that UTF-8 can hold"),
        (("settings", "chunk_size"), 10**30, "a whole number below"),
        (("total", "horizon_error"), {}, "the joints"),
        (("total", "shift", "shifted"), {}, "the joints"),
        (("total", "chunk_error", "zz"), None, "expected ErrorStatistics"),
        (("episodes", 0, "start_time_s"), 1e200, "a number below 1e+150"),
        (("episodes", 0, "series", "plan"), [[0.0]], "plan: expected"),
        (("episodes", 0, "series", "chunks", 0, "rows"), [[0.0], [0.0, 1.0]], "chunk: expected"),
    ],
)
def test_what_is_refused_says_where_and_what_was_expected(
    honest: EvaluationResult, keys: Keys, value: Any, expected: str
) -> None:
    text = json.dumps(with_value(json.loads(honest.to_json()), keys, value))
    with pytest.raises(ConfigurationError) as caught:
        EvaluationResult.from_json(text)
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_bag_whose_name_is_no_text_is_written_and_read_again(honest: EvaluationResult, tmp_path: Path) -> None:
    episode = replace(honest.episodes[0], name="b\udcffg", path="/data/b\udcffg.mcap")
    result = replace(honest, episodes=(episode,))
    (tmp_path / "metrics.json").write_text(result.to_json(), encoding="utf-8")
    assert read_metrics(tmp_path).episodes[0].name == "b\\udcffg"
    write_report(tmp_path / "report.html", [Run("test", result)])
    assert "b\\udcffg" in (tmp_path / "report.html").read_text(encoding="utf-8")
