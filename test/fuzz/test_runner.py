"""A process that crashes or hangs over an input is noticed, and the input is kept."""

import sys
from pathlib import Path

import pytest

from test.fuzz import __main__ as runner
from test.fuzz.worker import CHANCE

SCRIPT = f"""#!{sys.executable}
import os, signal, sys, time
place = sys.argv.index("--shared") + 1
with open(sys.argv[place], "r+b") as file:
    file.write((7).to_bytes(8, "little") + (3).to_bytes(8, "little") + b"abc")
"""


def stand_in(directory: Path, end: str) -> str:
    """A program in the place of the interpreter: it says that it reads its eighth input, `abc`, and then ends so."""
    path = directory / "python"
    path.write_text(SCRIPT + end)
    path.chmod(0o700)
    return str(path)


@pytest.mark.parametrize(
    ("end", "kind", "where"),
    [("os.kill(os.getpid(), signal.SIGSEGV)\n", "crash", "status -11"), ("time.sleep(1000)\n", "hang", "")],
)
def test_an_input_that_ends_its_process_is_kept(
    end: str, kind: str, where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", stand_in(tmp_path, end))
    monkeypatch.setattr(runner, "HANGS_AFTER_S", 2.0)
    monkeypatch.setattr(runner, "_MOST_ENDS", 1)
    result = runner.run("spec", 100, 1, CHANCE)
    (breach,) = result.breaches
    assert (breach.kind, breach.where, breach.data) == (kind, where, b"abc")
    assert result.inputs == 8
    saved = runner.save(breach, tmp_path / "findings")
    assert saved.read_bytes() == b"abc"
    assert saved.with_suffix(".txt").read_text().startswith(kind)


def test_a_worker_that_cannot_work_is_an_error_and_no_finding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", stand_in(tmp_path, 'sys.exit("no such module")\n'))
    with pytest.raises(RuntimeError, match="no such module"):
        runner.run("spec", 100, 1, CHANCE)


def test_a_run_gives_as_many_inputs_as_it_was_told() -> None:
    result = runner.run("raw_image", 200, 1, CHANCE)
    assert (result.inputs, result.breaches) == (200, [])
    assert 0 < result.refused < 200
