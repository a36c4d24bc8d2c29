"""A few cells of the fault matrix, on a real node; and its table has a word for every combination."""

from pathlib import Path

import pytest

from test.witness import table
from test.witness.cells import WAYS, Cell, cells
from test.witness.cells_triton import triton_cells
from test.witness.evidence import Breach
from test.witness.matrix import Result, attempt, main
from test.witness.setups import SETUPS, every_cell
from test.witness.stage import stage
from test.witness.triton_stage import triton_stage

SAFETY = ("well_formed", "well_formed_chunks", "curve", "position", "plan_age", "backed", "fresh", "silent", "rest")
"""Rules that hold however busy the machine is; `in_time` says when it is too busy for the others."""
TRIED = ("camera, raw: off", "joint states: garbage", "inference process: stuck", "operator's services: stuck")


def test_faults_of_every_kind_leave_the_arm_at_rest_and_it_goes_on(tmp_path: Path) -> None:
    chosen = [cell for cell in cells(parts=False) if cell.name in TRIED]
    assert len(chosen) == len(TRIED)
    with stage(tmp_path, "joint_trajectory") as on:
        for cell in chosen:
            result = attempt(on, "joint_trajectory", cell)
            assert [breach for breach in result.breaches if breach.rule in SAFETY] == []
            assert result.rest_s is not None, "the arm did not move when the fault began"


def test_a_network_that_stalls_leaves_the_arm_at_rest_and_it_goes_on(tmp_path: Path) -> None:
    chosen = [cell for cell in triton_cells() if cell.name == "network: stuck"]
    with triton_stage(tmp_path, "position_stream") as on:
        for cell in chosen:
            result = attempt(on, "position_stream", cell, "triton")
            assert [breach for breach in result.breaches if breach.rule in SAFETY] == []
    assert len(chosen) == 1


def test_every_combination_is_tried_or_has_a_reason() -> None:
    tried = {(cell.what, cell.way.split(" ")[0]) for cell in every_cell()}
    for what in {what for what, _ in tried} | {what for what, _ in table.NO_SENSE}:
        for way in WAYS:
            assert ((what, way) in tried) != ((what, way) in table.NO_SENSE), f"{what}: {way}"
    assert set(table.NO_SENSE.values()) == set(table.NOTES)


def test_a_broken_rule_stands_in_its_cell(tmp_path: Path) -> None:
    cell = next(iter(cells(parts=False)))
    page = tmp_path / "page.md"
    page.write_text(f"before\n{table.BEGIN}\nold\n{table.END}\nafter\n")
    result = Result("joint_state", cell, [Breach("fresh", 0.0, "it moved")], [], 0.5, 0.1, 0.05)
    table.write([result], page)
    text = page.read_text()
    assert "| camera, raw | 0.50 / 0.10 **fresh** |" in text
    assert "1 broke a rule of safety" in text
    assert text.startswith("before")
    assert text.endswith("after\n")
    assert "old" not in text
    with pytest.raises(ValueError, match="no line"):
        table.write([result], Path(__file__))


def test_an_unknown_interface_is_refused() -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--interfaces", "telepathy"])
    assert ended.value.code == 2


def test_cells_have_names_of_their_own() -> None:
    for setup in SETUPS:
        names = [cell.name for cell in setup.cells()]
        assert len(set(names)) == len(names)
    assert all(isinstance(cell, Cell) and cell.lasts_s > 1.0 for cell in every_cell())
