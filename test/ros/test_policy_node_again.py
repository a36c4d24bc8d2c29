"""A node that is configured and cleaned up again and again holds no more than the first time."""

from pathlib import Path

import pytest

from benchmarks.soak.sizes import sizes_of
from test.inference.isolation_helpers import children_of
from test.ros.policy_node_stand import Stand, robot_parameters, running_policy_node
from test.ros.policy_stand_in import Options
from test.ros.ros_helpers import wait_until

ROUND = ("deactivate", "cleanup", "configure", "activate")
COUNTED = ("threads", "descriptors", "sockets", "shm_files")
WARM_UP, ROUNDS = 2, 4
DEADLINE_S = 30.0


def held(stand: Stand) -> dict[str, float]:
    """What the node holds, and how many processes it has started and not ended."""
    pid = stand.node._process.pid
    sizes = sizes_of(pid)
    return {name: sizes[name] for name in COUNTED} | {"children": len(children_of(pid))}


@pytest.mark.parametrize("isolated", [True, False])
def test_rounds_of_the_lifecycle_leave_nothing(tmp_path: Path, isolated: bool) -> None:
    parameters = robot_parameters(black_box=str(tmp_path / "black_box"), checkpoint="none is read")
    with running_policy_node(tmp_path, parameters, Options(isolated=isolated)) as stand:

        def turn() -> None:
            for transition in ROUND:
                assert stand.transition(transition), transition
            stand.robot.wait_for_command("gripper", stand.robot.now(), count=2)

        for _ in range(WARM_UP):
            turn()
        before = held(stand)
        for _ in range(ROUNDS):
            turn()

        def no_more() -> bool:
            after = held(stand)
            return all(after[name] <= before[name] for name in before)

        wait_until(no_more, DEADLINE_S, f"after more rounds it holds {held(stand)}, before {before}")
