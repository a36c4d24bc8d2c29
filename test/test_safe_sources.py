"""No source runs what somebody else wrote down: no pickle, by no way, no eval, no shell."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[1]
FOLDERS = ("act_inference_ros", "benchmarks", "examples", "launch", "model_repository", "test")

MODULES = frozenset(
    {
        "pickle",
        "_pickle",
        "cPickle",
        "marshal",
        "shelve",
        "dill",
        "cloudpickle",
        "joblib",
        "multiprocessing",
        "multiprocess",
    }
)
"""That read or write pickles, or hand objects over as such."""
NAMES = frozenset({"concurrent.futures.ProcessPoolExecutor", "concurrent.futures.process"})
BUILTINS = frozenset({"eval", "exec", "compile", "__import__"})
CALLS = frozenset(
    {
        "torch.load",
        "torch.save",
        "yaml.load",
        "yaml.load_all",
        "yaml.full_load",
        "yaml.unsafe_load",
        "os.system",
        "os.popen",
        "subprocess.getoutput",
        "subprocess.getstatusoutput",
        "asyncio.create_subprocess_shell",
    }
)


def faults(source: str) -> list[str]:
    """What is forbidden in a source, each with its line."""
    tree = ast.parse(source)
    names = dict(_imported(tree))
    return [f"line {line}: {what}" for line, what in _faults(tree, names)]


def _imported(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """Names that the source gives to modules and to what it takes from them, with the full name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield (alias.asname, alias.name) if alias.asname else (alias.name.split(".")[0],) * 2
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                yield alias.asname or alias.name, f"{node.module}.{alias.name}"


def _full_name(node: ast.expr, names: dict[str, str]) -> str:
    if isinstance(node, ast.Attribute):
        before = _full_name(node.value, names)
        return f"{before}.{node.attr}" if before else ""
    return names.get(node.id, node.id) if isinstance(node, ast.Name) else ""


def _faults(tree: ast.AST, names: dict[str, str]) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
            if isinstance(node, ast.ImportFrom):
                modules += [f"{node.module}.{alias.name}" for alias in node.names]
            for module in modules:
                if module.split(".")[0] in MODULES or module in NAMES:
                    yield node.lineno, f"import of {module}"
        elif isinstance(node, ast.Attribute) and _full_name(node, names) in NAMES:
            yield node.lineno, _full_name(node, names)
        elif isinstance(node, ast.Call):
            called = _full_name(node.func, names)
            if called in CALLS or called in BUILTINS or called.removeprefix("builtins.") in BUILTINS:
                yield node.lineno, f"call of {called}"
            if called.split(".")[-1] == "import_module" and node.args and isinstance(node.args[0], ast.Constant):
                module = str(node.args[0].value)
                if module.split(".")[0] in MODULES:
                    yield node.lineno, f"import of {module}"
            for keyword in node.keywords:
                if keyword.arg == "shell" and not _is(keyword.value, False):
                    yield node.lineno, "shell=True"
                elif keyword.arg == "allow_pickle" and not _is(keyword.value, False):
                    yield node.lineno, "allow_pickle=True"
            if called == "numpy.load" and not any(keyword.arg == "allow_pickle" for keyword in node.keywords):
                yield node.lineno, "numpy.load without allow_pickle=False"


def _is(node: ast.expr, value: object) -> bool:
    return isinstance(node, ast.Constant) and node.value is value


def sources() -> list[Path]:
    found = [path for folder in FOLDERS for path in sorted((PROJECT / folder).rglob("*.py"))]
    return [PROJECT / "setup.py", *found]


def test_no_source_unpickles_evaluates_or_starts_a_shell() -> None:
    looked_at = sources()
    assert len(looked_at) > 100
    found = {str(path.relative_to(PROJECT)): faults(path.read_text(encoding="utf-8")) for path in looked_at}
    assert {path: what for path, what in found.items() if what} == {}


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "import pickle as data",
        "from multiprocessing import shared_memory",
        "import multiprocessing.pool",
        "from concurrent.futures import ProcessPoolExecutor",
        "from concurrent.futures.process import BrokenProcessPool",
        "import concurrent.futures as f\nf.ProcessPoolExecutor(2)",
        "def late():\n    import dill",
        "import importlib\nimportlib.import_module('cloudpickle')",
        "import torch as t\nt.load('weights')",
        "from torch import load as read\nread('weights')",
        "import yaml\nyaml.load(text, Loader=yaml.SafeLoader)",
        "eval('1')",
        "exec(text)",
        "import builtins\nbuiltins.eval('1')",
        "import subprocess\nsubprocess.run('ls', shell=True)",
        "import subprocess\nsubprocess.run('ls', shell=chosen)",
        "import os\nos.system('ls')",
        "import numpy as np\nnp.load('a.npz')",
        "import numpy as np\nnp.load('a.npz', allow_pickle=True)",
        "import numpy as np\nnp.save('a.npy', a, allow_pickle=chosen)",
    ],
)
def test_what_is_forbidden_is_found(source: str) -> None:
    assert len(faults(source)) >= 1


@pytest.mark.parametrize(
    "source",
    [
        "network.eval()",
        "import yaml\nyaml.safe_load(text)",
        "import json\njson.load(file)",
        "import numpy as np\nnp.load('a.npz', allow_pickle=False)",
        "from concurrent.futures import ThreadPoolExecutor",
        "import re\nre.compile('a')",
        "import subprocess\nsubprocess.run(['ls'], shell=False)",
    ],
)
def test_what_is_allowed_is_not(source: str) -> None:
    assert faults(source) == []
