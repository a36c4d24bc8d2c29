"""The documents do not lie: what they name exists, and layers and hooks are those of `make lint`."""

import importlib.util
import re
import subprocess
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from act_inference_ros.execution import reasons
from act_inference_ros.execution.operator import REQUESTS
from act_inference_ros.execution.states import State
from act_inference_ros.observation.refusal import Reason

PROJECT = Path(__file__).parents[1]
PACKAGE = PROJECT / "act_inference_ros"
DOCUMENTS = ("ARCHITECTURE.md", "CONTRIBUTING.md")
MADE_HERE = ("benchmarks/results/", "site/", ".venv/pip.log")
"""Named, and made only when something runs."""


def text_of(document: str) -> str:
    return (PROJECT / document).read_text()


def quoted(text: str) -> list[str]:
    """What stands between backticks, code blocks left out."""
    prose = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    return [" ".join(words.split()) for words in re.findall(r"`([^`]+)`", prose)]


def missing_paths(text: str) -> list[str]:
    """Paths and modules that are named and do not exist, in the repository or in the package."""
    named = [word for word in quoted(text) if re.fullmatch(r"[\w.-]*/[\w./-]*|[\w-]+\.(py|md|toml|xml|yaml|svg)", word)]
    paths = [word for word in named if not word.startswith(("/", "~")) and word not in MADE_HERE]
    modules = [word for word in quoted(text) if re.fullmatch(r"act_inference_ros(\.\w+)+", word)]
    missing = [word for word in paths if not (PROJECT / word).exists() and not (PACKAGE / word).exists()]
    return missing + [module for module in modules if importlib.util.find_spec(module) is None]


def missing_names(text: str) -> list[str]:
    """Constants, classes and functions that are named and stand in no source file."""
    names = {word for word in quoted(text) if re.fullmatch(r"[A-Z][A-Z_]+|[A-Z]\w*[a-z]\w*|[a-z]+_[a-z_]+", word)}
    folders = (PACKAGE, *(PROJECT / folder for folder in ("test", "benchmarks", "docs_tools")))
    sources = [f"{path.stem} {path.read_text()}" for folder in folders for path in folder.rglob("*.py")]
    return sorted(name for name in names if not any(re.search(rf"\b{name}\b", source) for source in sources))


def project_settings() -> dict[str, Any]:
    tomllib = pytest.importorskip("tomllib", reason="Python 3.10 has no TOML reader")
    settings: dict[str, Any] = tomllib.loads(text_of("pyproject.toml"))
    return settings["tool"]


def layers(contract: str) -> list[set[str]]:
    """The layers of a contract in pyproject.toml, from top to bottom."""
    contracts = project_settings()["importlinter"]["contracts"]
    [found] = [each for each in contracts if each.get("containers") == [contract]]
    return [set(re.split(r"\s*\|\s*", layer)) for layer in found["layers"]]


@pytest.mark.parametrize("document", DOCUMENTS)
def test_what_a_document_names_exists(document: str) -> None:
    text = text_of(document)
    assert missing_paths(text) == []
    assert missing_names(text) == []


def test_a_name_of_nothing_would_be_found() -> None:
    text = "`control/commander.py` `control/nothing.py` `docs/nothing.svg` `act_inference_ros.nothing` `spec.py`"
    assert missing_paths(text) == ["control/nothing.py", "docs/nothing.svg", "act_inference_ros.nothing"]
    assert missing_names("`CommandInterface` `No" + "SuchThing`") == ["No" + "SuchThing"]


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_make_target_that_a_document_names_is_there(document: str) -> None:
    targets = set(re.findall(r"^(\w+):", text_of("Makefile"), re.MULTILINE))
    named = re.findall(r"\bmake ([a-z]+)\b", " ".join(quoted(text_of(document))))
    assert named
    assert set(named) <= targets


def test_make_without_a_target_tells_of_every_target_there_is() -> None:
    targets = set(re.findall(r"^\.PHONY: (.*)$", text_of("Makefile"), re.MULTILINE)[0].split())
    told = subprocess.run(["make", "-C", str(PROJECT)], capture_output=True, text=True, check=True, timeout=60).stdout
    assert set(re.findall(r"^make (\w+) ", told, re.MULTILINE)) == targets
    assert "Each does its own set-up once" in told


def test_every_layer_is_a_folder_or_a_file_and_stands_in_the_architecture() -> None:
    text = text_of("ARCHITECTURE.md")
    for room in set().union(*layers("act_inference_ros")):
        folder, file = PACKAGE / room, PACKAGE / f"{room}.py"
        assert folder.is_dir() or file.is_file(), room
        name = f"`{room}/`" if folder.is_dir() else f"`act_inference_ros/{room}.py`"
        assert name in text, f"ARCHITECTURE.md says nothing of {name}"


def test_the_architecture_shows_the_layers_that_lint_holds() -> None:
    block = " ".join(re.findall(r"^    (.*)$", text_of("ARCHITECTURE.md"), re.MULTILINE))
    assert [set(layer.split(" | ")) for layer in re.split(r"\s+>\s+", block)] == layers("act_inference_ros")


def test_the_drawing_shows_every_room_in_both_colours() -> None:
    drawing = ElementTree.parse(PROJECT / "docs" / "architecture.svg")  # noqa: S314  # our own file
    words = " ".join(text for element in drawing.iter() if (text := (element.text or "").strip()))
    for room in set().union(*layers("act_inference_ros")):
        assert f"{room}/" in words or f"{room}.py" in words, room
    assert "prefers-color-scheme: dark" in words


def test_whoever_operates_the_robot_finds_every_state_reason_and_request() -> None:
    text = text_of("docs/operating.md")
    worded = {value for name, value in vars(reasons).items() if name.isupper() and isinstance(value, str)}
    assert [word for word in sorted(worded) if not re.search(rf"`(stopped: )?{word}`", text)] == []
    assert [reason for reason in Reason if f"`{reason.value}: <" not in text] == []
    assert [state for state in State if f"| `{state.value}` |" not in text] == []
    assert [request for request in REQUESTS if f"~/{request}`" not in text] == []


def test_the_hooks_are_what_make_lint_runs() -> None:
    yaml = pytest.importorskip("yaml", reason="PyYAML is not installed")
    [repository] = yaml.safe_load(text_of(".pre-commit-config.yaml"))["repos"]
    assert repository["repo"] == "local", "a hook that is downloaded is not what make lint runs"
    hooks = [hook["entry"].removeprefix(".venv/bin/") for hook in repository["hooks"]]
    [lint] = re.findall(r"^lint:\n(?:\t.*\n)*?\t@\$\(ACTIVATE\) && (.*)$", text_of("Makefile"), re.MULTILINE)
    assert hooks == lint.split(" && ")
