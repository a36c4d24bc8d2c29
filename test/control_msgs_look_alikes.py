"""Look-alikes of control_msgs, which is no wheel: its two gripper actions, with the fields that they are to have.

`control_msgs/action/GripperCommand`: goal `command` (msg/GripperCommand: float64 position, max_effort), result float64
position, effort, bool stalled, reached_goal. `control_msgs/action/ParallelGripperCommand`: goal `command`
(sensor_msgs/JointState), result `state` (sensor_msgs/JointState), bool stalled, reached_goal. As real messages do, they
refuse fields that they do not have and values of another type.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

from sensor_msgs.msg import JointState

from act_inference_ros.ros.messages import message_class


@dataclass
class GripperCommandMessage:
    position: float = 0.0
    max_effort: float = 0.0

    def __post_init__(self) -> None:
        assert type(self.position) is float
        assert type(self.max_effort) is float


class GripperCommand:
    @dataclass
    class Goal:
        command: GripperCommandMessage = field(default_factory=GripperCommandMessage)

        def __post_init__(self) -> None:
            assert type(self.command) is GripperCommandMessage

    @dataclass
    class Result:
        position: float = 0.0
        effort: float = 0.0
        stalled: bool = False
        reached_goal: bool = False


class ParallelGripperCommand:
    @dataclass
    class Goal:
        command: Any = field(default_factory=JointState)

        def __post_init__(self) -> None:
            assert type(self.command) is JointState

    @dataclass
    class Result:
        state: Any = field(default_factory=JointState)
        stalled: bool = False
        reached_goal: bool = False


@contextmanager
def control_msgs_installed() -> Iterator[None]:
    """Make the look-alikes importable as control_msgs within the block."""
    modules = {name: ModuleType(name) for name in ("control_msgs", "control_msgs.msg", "control_msgs.action")}
    vars(modules["control_msgs.msg"])["GripperCommand"] = GripperCommandMessage
    vars(modules["control_msgs.action"]).update(
        GripperCommand=GripperCommand, ParallelGripperCommand=ParallelGripperCommand
    )
    before = {name: sys.modules[name] for name in modules if name in sys.modules}
    message_class.cache_clear()
    sys.modules.update(modules)
    try:
        yield
    finally:
        for name in modules:
            del sys.modules[name]
        sys.modules.update(before)
        message_class.cache_clear()
