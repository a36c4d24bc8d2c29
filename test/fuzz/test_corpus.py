"""Every input that ever did harm, and one of each kind of bomb, is refused within the bounds; each file is one."""

from pathlib import Path

import pytest

from test.fuzz.__main__ import CORPUS
from test.fuzz.target import LONGEST_ON_BUSY_MACHINE_S
from test.fuzz.targets import MODULES, make_target
from test.fuzz.watch import Watch


@pytest.mark.parametrize("name", sorted(MODULES))
def test_what_once_did_harm_does_none(name: str, tmp_path: Path) -> None:
    watch = Watch(make_target(name, tmp_path), LONGEST_ON_BUSY_MACHINE_S)
    files = sorted((CORPUS / name).glob("*"))
    broken = {path.name: watch.run(path.read_bytes()) for path in files}
    assert {file: (each.kind, each.where, each.details) for file, each in broken.items() if each is not None} == {}


def test_each_folder_of_the_corpus_belongs_to_a_target() -> None:
    assert {path.name for path in CORPUS.iterdir()} <= set(MODULES)
    files = [path for path in CORPUS.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 2**20
