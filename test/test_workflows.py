"""The workflow of continuous integration: what can be checked of it without running it on GitHub."""

import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

yaml = pytest.importorskip("yaml", reason="PyYAML is not installed")

PROJECT = Path(__file__).parents[1]
WORKFLOWS = sorted((PROJECT / ".github" / "workflows").glob("*.yml"))
RELEASED = {
    ("actions/checkout", "3d3c42e5aac5ba805825da76410c181273ba90b1"): "v7.0.1",
    ("actions/setup-python", "5fda3b95a4ea91299a34e894583c3862153e4b97"): "v7.0.0",
}
"""Actions that may be used, by the commit of a release: a tag could be moved to something else."""
DISTROS = ["humble", "jazzy", "kilted", "lyrical"]
ROS_PACKAGES = frozenset(
    {
        "ament_index_python",
        "builtin_interfaces",
        "control_msgs",
        "cv_bridge",
        "diagnostic_msgs",
        "geometry_msgs",
        "launch",
        "launch_ros",
        "rcl_interfaces",
        "rclpy",
        "rosgraph_msgs",
        "sensor_msgs",
        "std_msgs",
        "std_srvs",
        "trajectory_msgs",
    }
)
"""Released in every one of DISTROS, as ros/rosdistro says in <distro>/distribution.yaml."""
ROSDEP_KEYS = frozenset(
    {"python3-defusedxml", "python3-hypothesis", "python3-numpy", "python3-opencv", "python3-pytest", "python3-yaml"}
)
"""In rosdep/python.yaml of ros/rosdistro, with an entry for Ubuntu."""


class OnceLoader(yaml.SafeLoader):  # type: ignore[misc, name-defined]  # PyYAML is imported at run time
    """Refuses a key that stands twice, which PyYAML would take silently."""

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        assert len(keys) == len(set(keys)), f"a key stands twice in line {node.start_mark.line + 1}: {keys}"
        return super().construct_mapping(node, deep)


def read(text: str) -> dict[str, Any]:
    """A workflow; YAML 1.1 reads its key `on` as true."""
    loader = OnceLoader(text)
    try:
        document: dict[Any, Any] = loader.get_single_data()
    finally:
        loader.dispose()
    return {"on" if key is True else key: value for key, value in document.items()}


def faults(text: str) -> list[str]:
    """What is wrong with a workflow."""
    workflow = read(text)
    found = [
        f"unknown key {key}" for key in workflow.keys() - {"name", "on", "permissions", "concurrency", "jobs", "env"}
    ]
    found += [f"no {key}" for key in ("name", "on", "permissions", "jobs") if not workflow.get(key)]
    if workflow.get("permissions") != {"contents": "read"}:
        found.append("permissions are not contents: read")
    if re.search(r"\bsecrets\b|GITHUB_TOKEN|github\.token|pull_request_target|workflow_run", text):
        found.append("secrets, or an event that gives them")
    if re.search(r"run:.*\$\{\{ *github\.(event|head_ref)", text):
        found.append("what a stranger wrote is put into a shell")
    for name, job in (workflow.get("jobs") or {}).items():
        if "permissions" in job:
            found.append(f"{name}: permissions of its own")
        found += [f"{name}: no {key}" for key in ("runs-on", "timeout-minutes", "steps") if not job.get(key)]
        for step in job.get("steps") or []:
            if ("uses" in step) == ("run" in step):
                found.append(f"{name}: a step has either `uses` or `run`: {step}")
            if "uses" in step and tuple(step["uses"].split("@")) not in RELEASED:
                found.append(f"{name}: {step['uses']} is no commit of a known release")
            checkout = step.get("uses", "").startswith("actions/checkout@")
            if checkout and (step.get("with") or {}).get("persist-credentials") is not False:
                found.append(f"{name}: the checkout keeps its token for later steps")
        used = set(re.findall(r"\$\{\{ *matrix\.(\w+)", str(job)))
        defined = set((job.get("strategy") or {}).get("matrix") or {})
        if used != defined:
            found.append(f"{name}: the matrix has {sorted(defined)}, and {sorted(used)} is used")
    return found


def jobs() -> dict[str, Any]:
    return dict(read((PROJECT / ".github" / "workflows" / "ci.yml").read_text())["jobs"])


def pythons() -> list[str]:
    return list(jobs()["without-ros"]["strategy"]["matrix"]["python"])


def test_there_is_a_workflow() -> None:
    assert WORKFLOWS


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_is_well_formed_and_may_only_read(path: Path) -> None:
    text = path.read_text()
    assert faults(text) == []
    for action, commit, version in re.findall(r"uses: (\S+)@(\w+) # (\S+)", text):
        assert RELEASED[action, commit] == version


@pytest.mark.parametrize(
    ("good", "bad"),
    [
        ("contents: read", "contents: write"),
        ("persist-credentials: false", "persist-credentials: true"),
        ("3d3c42e5aac5ba805825da76410c181273ba90b1", "v7"),
        ("run: .ci/run", "run: echo ${{ secrets.TOKEN }}"),
        ("pull_request:", "pull_request_target:"),
        ("run: .ci/run", "running: .ci/run"),
        ("matrix.distro", "matrix.distribution"),
        ("timeout-minutes: 180", "timeout: 180"),
    ],
)
def test_what_is_wrong_with_a_workflow_is_found(good: str, bad: str) -> None:
    text = (PROJECT / ".github" / "workflows" / "ci.yml").read_text()
    assert good in text
    assert faults(text.replace(good, bad)) != []


def test_a_key_that_stands_twice_is_found() -> None:
    with pytest.raises(AssertionError, match="twice"):
        read("on: push\njobs: {}\njobs: {}\n")


def test_every_distro_that_the_documents_name_has_a_job() -> None:
    job = jobs()["ros"]
    assert job["strategy"]["matrix"]["distro"] == DISTROS
    assert job["container"] == "ros:${{ matrix.distro }}-ros-base"
    readme = (PROJECT / "README.md").read_text()
    assert f"ROS 2 ({', '.join(distro.capitalize() for distro in DISTROS)})" in readme


def test_the_workflow_says_that_it_has_not_run_and_so_does_contributing() -> None:
    assert (PROJECT / ".github" / "workflows" / "ci.yml").read_text().startswith("# Not proven: ")
    assert "never run on GitHub" in (PROJECT / "CONTRIBUTING.md").read_text()


def test_what_a_step_runs_is_there() -> None:
    text = (PROJECT / ".github" / "workflows" / "ci.yml").read_text()
    script = PROJECT / ".ci" / "run"
    assert "run: .ci/run" in text
    assert script.stat().st_mode & 0o111
    targets = set(re.findall(r"^(\w+):", (PROJECT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"^ *make (\w+)$", text + script.read_text(), re.MULTILINE)) <= targets


def test_all_that_name_pythons_name_the_same() -> None:
    setup = (PROJECT / "setup.py").read_text()
    script = (PROJECT / "deploy" / "setup_environment.sh").read_text()
    settings = (PROJECT / "pyproject.toml").read_text()
    oldest, *_ = pythons()
    assert f'python_requires=">={oldest}"' in setup
    assert f'target-version = "py{oldest.replace(".", "")}"' in settings
    assert f'python_version = "{oldest}"' in settings
    [(first, last)] = re.findall(r"^oldest_python=(\S+) newest_python=(\S+)$", script, re.MULTILINE)
    assert first == oldest
    for document in ("README.md", "CONTRIBUTING.md"):
        text = (PROJECT / document).read_text()
        assert re.findall(r"Python (3\.\d+) to (3\.\d+)", text) == [(first, last)], document
    [tried] = re.findall(
        r"^All of it was tested with (.*?)Apache-2\.0\.", (PROJECT / "README.md").read_text(), re.MULTILINE | re.DOTALL
    )
    assert set(pythons()) <= set(re.findall(r"3\.\d+", tried))


def test_every_dependency_is_a_package_of_ros_or_a_key_of_rosdep() -> None:
    package = ElementTree.parse(PROJECT / "package.xml").getroot()  # noqa: S314  # our own file
    named = {element.text for element in package if element.tag.endswith("depend")}
    assert named == ROS_PACKAGES | ROSDEP_KEYS
