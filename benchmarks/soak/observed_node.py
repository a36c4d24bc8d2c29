"""policy_node as it is, with a thread beside it that counts its Python objects, which is possible from inside only.

`python -m benchmarks.soak.observed_node NOTES --ros-args ...` appends lines of JSON to the file NOTES. Each has the
time (s since 1970), the memory blocks that Python has handed out, and the number of objects that its collector knows,
each list, dictionary and deque among them. Less often comes a line with the number of objects of each type, which takes
longer. control_msgs is no wheel; the look-alike of the tests stands in for its message.
"""

from __future__ import annotations

import gc
import json
import sys
import threading
import time
from collections import Counter
from pathlib import Path

from trajectory_msgs.msg import JointTrajectory

from act_inference_ros.execution.controller_state import FULL_SPEED
from act_inference_ros.ros.policy import policy_node
from test.ros.policy_stand_in import install_controller_states

PERIOD_S = 5.0
TYPES_EVERY = 24
"""Samples from one count of types to the next."""


def observe(notes: Path) -> None:
    """Append a line each PERIOD_S, for ever."""
    number = 0
    while True:
        note: dict[str, object] = {"at": time.time(), "python_blocks": sys.getallocatedblocks()}
        objects = gc.get_objects()
        note["python_objects"] = len(objects)
        if number % TYPES_EVERY == 0:
            note["types"] = Counter(f"{type(each).__module__}.{type(each).__qualname__}" for each in objects)
        del objects
        with notes.open("a") as file:
            file.write(json.dumps(note) + "\n")
        number += 1
        time.sleep(PERIOD_S)


def main() -> int:
    notes, *arguments = sys.argv[1:]
    install_controller_states()
    JointTrajectory.speed_scaling_factor = FULL_SPEED
    threading.Thread(target=observe, args=(Path(notes),), daemon=True).start()
    return policy_node.main(arguments)


if __name__ == "__main__":
    sys.exit(main())
