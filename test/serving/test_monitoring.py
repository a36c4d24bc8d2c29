"""Alert rules and dashboard: every metric and label in them is one that a Triton with the deployed flags gives out."""

import json
import re
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from act_inference_ros.serving.triton_process import TritonProcess
from test.inference.triton_models import policy_spec, write_model
from test.serving.deployed_flags import PROJECT, compose_script, flags_of
from test.serving.serving_helpers import DEADLINE_S, needs_triton

yaml = pytest.importorskip("yaml", reason="PyYAML is not installed")

RULES = PROJECT / "deploy" / "prometheus_rules.yaml"
DASHBOARD = PROJECT / "deploy" / "grafana_dashboard.json"
ONLY_WITH_A_GPU = {"nv_gpu_utilization", "nv_gpu_memory_used_bytes", "nv_gpu_memory_total_bytes"}
FROM_PROMETHEUS = {"instance", "job"}
FROM_THE_GPU = {"gpu_uuid"}


def rules() -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


def panels() -> list[dict[str, Any]]:
    return json.loads(DASHBOARD.read_text())["panels"]


def expressions() -> list[str]:
    targets = [target["expr"] for panel in panels() for target in panel["targets"]]
    return [rule["expr"] for rule in rules()] + targets


@pytest.fixture(scope="module")
def metrics(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What a server with the deployed metrics flags gives out, once it has inferred."""
    repository = write_model(tmp_path_factory.mktemp("models"), policy_spec(height=96, width=128))
    scratch = tmp_path_factory.mktemp("scratch")
    for name in re.findall(r"/run/secrets/([\w.]+)", compose_script()):
        (scratch / name).write_text("nothing")
    flags = [flag for flag in flags_of(compose_script(), scratch, scratch) if flag.startswith("--metrics-config")]
    with TritonProcess(repository, metrics_port=0, extra_flags=flags) as server:
        server.wait_ready(DEADLINE_S)
        with urllib.request.urlopen(f"http://127.0.0.1:{server.metrics_port}/metrics", timeout=10) as response:
            return response.read().decode()


@needs_triton
def test_every_metric_is_given_out(metrics: str) -> None:
    given = set(re.findall(r"^# TYPE (\w+)", metrics, re.MULTILINE))
    adapter = (PROJECT / "docs" / "deploy.md").read_text()
    wanted = set(re.findall(r"\bnv_\w+", " ".join([*expressions(), adapter])))
    assert wanted - ONLY_WITH_A_GPU <= given
    assert wanted & ONLY_WITH_A_GPU == ONLY_WITH_A_GPU


@needs_triton
def test_every_label_and_its_value_is_given_out(metrics: str) -> None:
    given: dict[str, set[str]] = {}
    for label, value in re.findall(r'(\w+)="([^"]*)"', metrics):
        given.setdefault(label, set()).add(value)
    for expression in expressions():
        by = {label for group in re.findall(r"\b(?:by|on) \(([^)]*)\)", expression) for label in group.split(", ")}
        assert by <= given.keys() | FROM_PROMETHEUS | FROM_THE_GPU, expression
        for label, values in re.findall(r'(\w+)=~?"([^"$]*)"', expression):
            assert label in FROM_PROMETHEUS or set(values.split("|")) <= given[label], expression


def test_every_rule_says_how_bad_it_is_and_what_is_wrong() -> None:
    names = [rule["alert"] for rule in rules()]
    assert len(set(names)) == len(names)
    for rule in rules():
        assert rule["labels"]["severity"] in ("critical", "warning")
        assert rule.keys() == {"alert", "expr", "for", "labels", "annotations"}
        assert re.fullmatch(r"\d+[sm]", rule["for"])
        named = set(re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"]))
        assert named, rule["alert"]
        kept = re.search(r"\bby \(([^)]*)\)", rule["expr"])
        assert named <= (set(kept[1].split(", ")) if kept else FROM_PROMETHEUS)


def test_every_panel_has_a_place_and_a_source_of_its_own_choice() -> None:
    dashboard = json.loads(DASHBOARD.read_text())
    variables = {variable["name"] for variable in dashboard["templating"]["list"]}
    assert variables == {"datasource", "instance", "model"}
    places = {(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels()}
    assert len(places) == len(panels()) == len({panel["id"] for panel in panels()})
    for panel in panels():
        assert panel["datasource"]["uid"] == "${datasource}"
        for target in panel["targets"]:
            assert set(re.findall(r"\$(\w+)", target["expr"])) <= variables | {"__rate_interval"}


@pytest.mark.parametrize("expression", expressions())
def test_every_expression_is_balanced(expression: str) -> None:
    bare = re.sub(r'"[^"]*"', "", expression)
    assert all(bare.count(opening) == bare.count(closing) for opening, closing in ("()", "[]", "{}"))


def test_the_deployment_files_name_them() -> None:
    assert all(Path(path).name in (PROJECT / "docs" / "deploy.md").read_text() for path in (RULES, DASHBOARD))
