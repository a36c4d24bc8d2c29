"""The start of every executable: it handles stop signals before it imports the program's other modules.

Their import takes up to seconds, and until then Python would answer Ctrl-C with a traceback from inside an import.
So this module must import very little.
"""

from __future__ import annotations

import importlib
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from types import FrameType

from act_inference_ros.program import exit_status


@dataclass(frozen=True)
class Executable:
    """The module whose `main()` runs the program; a node ends with status 0 when it is told to stop."""

    module: str
    is_node: bool = False

    def run(self) -> int:
        """Import the module and run it; returns its exit status. A stop signal during the import ends the process."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._end)
        status: int = importlib.import_module(self.module).main()  # which handles signals itself
        return status

    def _end(self, number: int, _: FrameType | None) -> None:
        # No work has begun that would have to be ended. An exception would have to pass through the modules that are
        # # being imported.
        os._exit(exit_status.OK if self.is_node else exit_status.of_signal(number))


EXECUTABLES = {
    "bag_to_dataset": Executable("act_inference_ros.evaluation.cli.bag_to_dataset"),
    "check_server": Executable("act_inference_ros.serving.check_server"),
    "draft_robot": Executable("act_inference_ros.ros.draft.draft_robot"),
    "eval_policy": Executable("act_inference_ros.evaluation.cli.eval_policy"),
    "export_policy": Executable("act_inference_ros.serving.export"),
    "policy_node": Executable("act_inference_ros.ros.policy.policy_node", is_node=True),
    "replay_bag": Executable("act_inference_ros.ros.replay.replay_bag", is_node=True),
    "sim_robot": Executable("act_inference_ros.ros.sim.sim_robot", is_node=True),
    "triton_server": Executable("act_inference_ros.serving.triton_server"),
}


def __getattr__(name: str) -> Callable[[], int]:
    """Give an executable's function by its name, for the entry points in setup.py."""
    if name not in EXECUTABLES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return EXECUTABLES[name].run
