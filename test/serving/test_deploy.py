"""The files for Docker Compose and Kubernetes, checked without either."""

from pathlib import Path
from typing import Any

import pytest

yaml = pytest.importorskip("yaml", reason="PyYAML is not installed")
PROJECT = Path(__file__).parents[2]
COMPOSE, KUBERNETES = PROJECT / "deploy" / "compose.yaml", PROJECT / "deploy" / "kubernetes.yaml"


def kubernetes() -> dict[str, dict[str, Any]]:
    return {resource["kind"]: resource for resource in yaml.safe_load_all(KUBERNETES.read_text())}


def container() -> dict[str, Any]:
    [container] = kubernetes()["Deployment"]["spec"]["template"]["spec"]["containers"]
    return container


@pytest.mark.parametrize("version", ["1.28.0", "1.37.0"])
def test_kubernetes_resources_fit_kubernetes_own_schemas(version: str) -> None:
    validator = pytest.importorskip("kubernetes_validate", reason="kubernetes-validate is not installed")
    for resource in kubernetes().values():
        validator.validate(resource, version, strict=True)


def test_the_schema_check_can_fail() -> None:
    validator = pytest.importorskip("kubernetes_validate", reason="kubernetes-validate is not installed")
    broken = kubernetes()["Service"]
    broken["spec"]["clusterip"] = "None"
    with pytest.raises(validator.ValidationError):
        validator.validate(broken, "1.37.0", strict=True)


def test_service_autoscaler_and_probes_mean_the_deployment() -> None:
    resources = kubernetes()
    deployment = resources["Deployment"]
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    ports = {port["name"] for port in container()["ports"]}
    assert deployment["spec"]["selector"]["matchLabels"].items() <= labels.items()
    assert resources["Service"]["spec"]["selector"].items() <= labels.items()
    assert {port["targetPort"] for port in resources["Service"]["spec"]["ports"]} <= ports
    assert resources["Service"]["spec"]["clusterIP"] == "None"
    target = resources["HorizontalPodAutoscaler"]["spec"]["scaleTargetRef"]
    assert (target["kind"], target["name"]) == ("Deployment", deployment["metadata"]["name"])
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert container()[probe]["httpGet"]["port"] in ports
    volumes = {volume["name"] for volume in deployment["spec"]["template"]["spec"]["volumes"]}
    assert {mount["name"] for mount in container()["volumeMounts"]} == volumes
    assert container()["resources"]["limits"]["nvidia.com/gpu"] == 1


def test_the_container_has_time_to_finish_before_it_is_killed() -> None:
    flags = dict(flag.removeprefix("--").split("=") for flag in container()["args"] if "=" in flag)
    pod = kubernetes()["Deployment"]["spec"]["template"]["spec"]
    pause = int(container()["lifecycle"]["preStop"]["exec"]["command"][1])
    assert pause + int(flags["exit-timeout-secs"]) < pod["terminationGracePeriodSeconds"]


def test_compose_and_kubernetes_start_the_same_triton() -> None:
    [service] = yaml.safe_load(COMPOSE.read_text())["services"].values()
    assert service["image"] == container()["image"]
    [device] = service["deploy"]["resources"]["reservations"]["devices"]
    assert (device["driver"], device["capabilities"]) == ("nvidia", ["gpu"])
    assert "8001:8001" in service["ports"]
    repository = service["volumes"][0].split(":")
    assert repository[-2:] == ["/models", "ro"]
    assert "--model-repository=/models" in service["command"]
    assert "--model-repository=/models" in container()["args"]
