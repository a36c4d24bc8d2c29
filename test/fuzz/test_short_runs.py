"""Some hundred new inputs for each target, the same in every run; `python -m test.fuzz` makes more of them."""

import itertools
from pathlib import Path

import pytest

from test.fuzz.target import LONGEST_ON_BUSY_MACHINE_S
from test.fuzz.targets import MODULES, make_target
from test.fuzz.watch import Watch
from test.fuzz.worker import by_chance

INPUTS = 150
SLOW_INPUTS = 20
SLOW = ("bag_mcap", "bag_metadata", "bag_sqlite", "dataset_table", "dataset_video", "dump", "parameter_file")
SEED = 20


@pytest.mark.parametrize("name", sorted(MODULES))
def test_inputs_that_are_made_by_chance_break_no_bound(name: str, tmp_path: Path) -> None:
    watch = Watch(make_target(name, tmp_path), LONGEST_ON_BUSY_MACHINE_S)
    inputs = SLOW_INPUTS if name in SLOW else INPUTS
    for data in itertools.islice(by_chance(watch.target, SEED), inputs):
        watch.run(data)
    assert {where: each.details for where, each in watch.breaches.items()} == {}
    assert watch.refused > 0 or name.startswith(("bag", "dataset"))  # what is wrong in these is told, and not raised
