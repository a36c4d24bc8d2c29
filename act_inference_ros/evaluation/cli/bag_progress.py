"""Shows how far the work on bags has come, in a progress bar."""

from __future__ import annotations

from collections.abc import Callable

from act_inference_ros.evaluation.bags.bag_options import BagProgress
from act_inference_ros.evaluation.report.summary import figure
from act_inference_ros.program.progress import Progress


def shown(progress: Progress) -> Callable[[BagProgress], None]:
    """Return a function that shows the bag at work, and the speed, in a bar."""

    def report(at: BagProgress) -> None:
        where = f"{at.name} ({at.index + 1}/{at.episodes})"
        progress(at.index + at.fraction, at.episodes, f"{where}, {figure(at.speed)} times real time")

    return report
