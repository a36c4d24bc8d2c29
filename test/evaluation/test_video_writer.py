"""An encoder of videos leaves the process as it was."""

import os
from pathlib import Path

import numpy as np
import pytest

from act_inference_ros.evaluation.conversion.video_writer import ENCODERS, VideoWriter, choose_encoder

pytest.importorskip("av")


def policies() -> set[int]:
    return {os.sched_getscheduler(int(task.name)) for task in Path("/proc/self/task").iterdir()}


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="the system does not tell of threads")
@pytest.mark.parametrize("encoder", ENCODERS)
def test_no_thread_is_left_with_another_priority(tmp_path: Path, encoder: str) -> None:
    # As root SVT-AV1 makes itself and its caller real-time threads, which keep everything else off the processor.
    before = policies()
    writer = VideoWriter(tmp_path / "video.mp4", 64, 96, 30, encoder)
    for level in range(5):
        writer.add(np.full((64, 96, 3), 40 * level, dtype=np.uint8))
        assert policies() <= before
    writer.close()
    assert policies() <= before


def test_choosing_an_encoder_leaves_the_process_as_it_was(tmp_path: Path) -> None:
    before = os.sched_getscheduler(0)
    choose_encoder(tmp_path, 64, 96, 30)
    assert os.sched_getscheduler(0) == before
