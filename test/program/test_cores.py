"""How many cores and threads: by affinity and by a container's quota."""

from pathlib import Path

import pytest

from act_inference_ros.program import cores


@pytest.mark.parametrize(
    ("allowed", "quota", "usable", "threads"),
    [
        (8, "max 100000", 8, 7),
        (8, None, 8, 7),
        (8, "400000 100000", 4, 3),
        (8, "350000 100000", 3, 2),
        (2, "400000 100000", 2, 2),
        (8, "50000 100000", 1, 1),
        (1, "max 100000", 1, 1),
        (3, "what another kernel says", 3, 2),
    ],
)
def test_cores_are_those_that_may_be_used_and_one_of_many_is_left_to_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, allowed: int, quota: str | None, usable: int, threads: int
) -> None:
    file = tmp_path / "cpu.max"
    if quota is not None:
        file.write_text(f"{quota}\n")
    monkeypatch.setattr(cores, "_QUOTA", file)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(allowed)))
    assert cores.usable_cores() == usable
    assert cores.automatic_threads() == threads
