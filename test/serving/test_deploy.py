"""The files for Docker Compose and Kubernetes, checked without either."""

import re
from pathlib import Path
from typing import Any

import pytest

from test.serving.deployed_flags import (
    COMPOSE,
    KUBERNETES,
    compose_script,
    compose_service,
    kubernetes,
    kubernetes_script,
)

pytest.importorskip("yaml", reason="PyYAML is not installed")
FIRST_WITHOUT_THE_HOLES_OF_2025 = (25, 8)


def pod() -> dict[str, Any]:
    return kubernetes()["Deployment"]["spec"]["template"]["spec"]


def container() -> dict[str, Any]:
    [container] = pod()["containers"]
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


def test_service_autoscaler_and_network_policy_mean_the_deployment() -> None:
    resources = kubernetes()
    deployment = resources["Deployment"]
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    ports = {port["name"] for port in container()["ports"]}
    assert deployment["spec"]["selector"]["matchLabels"].items() <= labels.items()
    assert resources["Service"]["spec"]["selector"].items() <= labels.items()
    assert resources["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"].items() <= labels.items()
    assert {port["targetPort"] for port in resources["Service"]["spec"]["ports"]} <= ports
    assert resources["Service"]["spec"]["clusterIP"] == "None"
    target = resources["HorizontalPodAutoscaler"]["spec"]["scaleTargetRef"]
    assert (target["kind"], target["name"]) == ("Deployment", deployment["metadata"]["name"])
    volumes = {volume["name"] for volume in pod()["volumes"]}
    assert {mount["name"] for mount in container()["volumeMounts"]} == volumes
    assert container()["resources"]["limits"]["nvidia.com/gpu"] == 1


def test_the_container_has_time_to_finish_before_it_is_killed() -> None:
    pause = int(container()["lifecycle"]["preStop"]["exec"]["command"][1])
    assert pause + exit_timeout(kubernetes_script()) < pod()["terminationGracePeriodSeconds"]
    assert exit_timeout(compose_script()) < int(compose_service()["stop_grace_period"].removesuffix("s"))


def exit_timeout(script: str) -> int:
    return int(re.search(r"--exit-timeout-secs=(\d+)", script)[1])


def test_compose_and_kubernetes_start_the_same_triton() -> None:
    service = compose_service()
    assert service["image"] == container()["image"]
    [device] = service["deploy"]["resources"]["reservations"]["devices"]
    assert (device["driver"], device["capabilities"]) == ("nvidia", ["gpu"])
    assert "8001:8001" in service["ports"]
    repository = service["volumes"][0].split(":")
    assert repository[-2:] == ["/models", "ro"]
    mounts = {mount["mountPath"]: mount for mount in container()["volumeMounts"]}
    assert mounts["/models"]["readOnly"] is True
    flags = [
        set(re.findall(r"--.*?(?= \\|$)", script, re.MULTILINE)) for script in (compose_script(), kubernetes_script())
    ]
    differing = {flag.partition("=")[0] for flag in flags[0] ^ flags[1]}
    assert differing == {"--exit-timeout-secs", "--repository-poll-secs"}
    assert "--model-repository=/models" in flags[0]


def test_the_image_has_the_security_fixes() -> None:
    release = re.fullmatch(r"nvcr\.io/nvidia/tritonserver:(\d\d)\.(\d\d)-py3", container()["image"])
    assert (int(release[1]), int(release[2])) >= FIRST_WITHOUT_THE_HOLES_OF_2025


def test_compose_gives_the_container_no_more_than_it_needs() -> None:
    service = compose_service()
    assert service["user"] == "1000:1000"
    assert service["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in service["security_opt"]
    assert service["read_only"] is True
    assert service["tmpfs"] == ["/tmp"]  # noqa: S108  # the container's
    assert service["pids_limit"] > 0
    assert not {"privileged", "cap_add", "network_mode", "pid", "ipc"} & service.keys()
    published = [port for port in service["ports"] if not port.startswith("127.0.0.1:")]
    assert published == ["8001:8001"]


def test_kubernetes_gives_the_container_no_more_than_it_needs() -> None:
    assert pod()["securityContext"]["runAsNonRoot"] is True
    assert pod()["securityContext"]["runAsUser"] > 0
    assert pod()["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod()["automountServiceAccountToken"] is False
    context = container()["securityContext"]
    assert context["allowPrivilegeEscalation"] is False
    assert context["readOnlyRootFilesystem"] is True
    assert context["capabilities"] == {"drop": ["ALL"]}
    assert not {"hostNetwork", "hostPID", "hostIPC"} & pod().keys()
    writable = {mount["mountPath"] for mount in container()["volumeMounts"] if not mount.get("readOnly")}
    assert writable == {"/tmp", "/dev/shm"}  # noqa: S108


def test_only_robots_reach_grpc_and_only_prometheus_reaches_the_metrics() -> None:
    policy = kubernetes()["NetworkPolicy"]["spec"]
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    assert policy["egress"] == []
    allowed = {port["port"]: rule["from"] for rule in policy["ingress"] for port in rule["ports"]}
    assert set(allowed) == {"grpc", "metrics"}
    assert allowed["grpc"] == [{"podSelector": {"matchLabels": {"act-triton-client": "true"}}}]
    [prometheus] = allowed["metrics"]
    assert prometheus.keys() == {"namespaceSelector", "podSelector"}
    assert all(selector["matchLabels"] for selector in prometheus.values())


@pytest.mark.parametrize("script", [compose_script(), kubernetes_script()], ids=["compose", "kubernetes"])
def test_http_does_not_leave_the_container(script: str) -> None:
    assert "--http-address=127.0.0.1" in script
    assert "--metrics-address=0.0.0.0" in script  # without it that is HTTP's


def test_probes_ask_inside_the_container() -> None:
    probes = [container()[probe]["exec"]["command"] for probe in ("startupProbe", "readinessProbe", "livenessProbe")]
    for command in [*probes, compose_service()["healthcheck"]["test"][1:]]:
        assert command[0] == "curl"
        assert command[-1].startswith("http://127.0.0.1:8000/v2/")


def test_certificates_and_token_are_files_of_secrets_and_stand_in_neither_file() -> None:
    [secrets] = [volume for volume in pod()["volumes"] if volume["name"] == "secrets"]
    assert secrets["secret"] == {"secretName": "act-triton", "defaultMode": 0o440}
    files = set(re.findall(r"/run/secrets/([\w.]+)", compose_script()))
    assert files == {"server.pem", "server.key", "robots_ca.pem", "token"}
    assert files == set(re.findall(r"/run/secrets/([\w.]+)", kubernetes_script()))
    assert set(compose_service()["secrets"]) == files
    for path in (COMPOSE, KUBERNETES):
        for value in re.findall(r":x-\w+=(.*)", Path(path).read_text()):
            assert re.match(r'"\$\$?\((cat|od) ', value), "a token would stand in the file"
