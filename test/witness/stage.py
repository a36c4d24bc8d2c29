"""Stage: a real node, a robot around it whose every part can be made to fail, and the witness."""

from __future__ import annotations

import contextlib
import math
import os
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import CompressedImage, Image, JointState
from std_msgs.msg import Bool, Float64MultiArray

from test.inference.isolation_helpers import children_of
from test.ros.policy_node_stand import ARM, Stand, robot_parameters, running_policy_node
from test.ros.policy_stand_in import Options
from test.ros.robot_stand_in import HEIGHT, JOINTS, WIDTH
from test.ros.ros_helpers import wait_until
from test.witness.listener import Listener
from test.witness.recording import Contract, ControllerRules

INTERFACES = {
    "joint_trajectory": ("joint_trajectory", "position_stream"),
    "joint_state": ("joint_state", "position_stream"),
    "position_stream": ("position_stream", "joint_state"),
}
"""Row of the matrix -> the interfaces of the arm and of the gripper."""
CAMERAS = {"front": "raw", "side": "compressed"}
MAX_AGE_S, MAX_SKEW_S, MAX_PLAN_AGE_S, ENABLE_TIMEOUT_S, MAX_STILL_S = 0.4, 0.15, 0.9, 0.6, 0.6
RATE_HZ, MAX_VELOCITY, MAX_ACCELERATION, FARTHEST = 50.0, 1.0, 5.0, 1.5
ENVIRONMENT = 2
PARTS = {"/driver_a/joint_states": JOINTS[:3], "/driver_b/joint_states": JOINTS[3:]}
"""Where the joint states are published in parts."""
COMMANDING = "commanding"


@dataclass
class Stage:
    """What a fault can get hold of."""

    stand: Stand
    witness: Listener
    contract: Contract
    extra: dict[str, Any] = field(default_factory=dict)
    """What a kind of stage has beside: the server, the relay."""

    @property
    def distortions(self) -> dict[str, Callable[[Any], Any]]:
        """Input, `environment` or `enable` -> what is made of its messages."""
        return self.stand.robot.distortions

    @property
    def inference_process(self) -> int:
        """The process in which the node computes."""
        pids = [
            pid
            for pid in children_of(self.stand.node._process.pid)
            if b"engine_process" in Path(f"/proc/{pid}/cmdline").read_bytes()
        ]
        return int(pids[0])

    def state(self) -> str:
        """The newest word of `~/status`."""
        statuses = self.witness.statuses(0.0)
        return str(statuses[-1].message.message) if statuses else ""

    def settle(self, deadline_s: float = 20.0) -> bool:
        """Wait until the arm has been commanded for a while; False if it did not come to that by itself in 3 s."""
        by_itself = True
        begin = time.monotonic()
        while self.state() != COMMANDING:
            if time.monotonic() - begin > 3.0:
                by_itself = False
                self.help()
            if time.monotonic() - begin > deadline_s:
                raise AssertionError(f"it does not go on: {self.witness.statuses(0.0)[-1].message}")
            time.sleep(0.05)
        commands = len(self.stand.robot.commands["arm"])
        wait_until(lambda: len(self.stand.robot.commands["arm"]) > commands + 2, 10.0, "no commands")
        return by_itself

    def help(self) -> None:
        """Do what a person does who wants the arm to go on."""
        if self.state() in ("inactive", ""):
            with contextlib.suppress(AssertionError):
                self.stand.transition("activate")
        for request in ("clear_stop", "resume"):
            self.stand.ask(request)


def contract_of(interface: str, state_inputs: Mapping[str, Any]) -> Contract:
    """What the node's parameters promise."""
    arm, gripper = INTERFACES[interface]

    def rules(word: str, joints: tuple[str, ...]) -> ControllerRules:
        ones = np.ones(len(joints))
        return ControllerRules(
            word, joints, -FARTHEST * ones, FARTHEST * ones, MAX_VELOCITY * ones, MAX_ACCELERATION * ones
        )

    return Contract(
        {"arm": rules(arm, tuple(ARM)), "gripper": rules(gripper, ("grip",))},
        {**dict.fromkeys(CAMERAS, (HEIGHT, WIDTH)), **state_inputs, "environment": ENVIRONMENT},
        MAX_AGE_S,
        MAX_SKEW_S,
        MAX_PLAN_AGE_S,
        1.0 / RATE_HZ,
    )


def parameters_of(interface: str, parts: bool, **changes: Any) -> dict[str, Any]:
    """The node's parameters."""
    arm, gripper = INTERFACES[interface]
    given: dict[str, Any] = {
        "max_age": MAX_AGE_S, "max_skew": MAX_SKEW_S, "max_plan_age": MAX_PLAN_AGE_S, "command_rate": RATE_HZ,
        "controller__arm__interface": arm, "controller__gripper__interface": gripper,
        "controller__arm__lead": None if arm != "joint_trajectory" else 0.05,
        "environment_state__topic": "/environment", "enable__topic": "/enable", "enable__timeout": ENABLE_TIMEOUT_S,
        "stuck": "hold", "max_still": MAX_STILL_S, "resume_within": 600.0,
    }  # fmt: skip
    if arm == "joint_trajectory":
        given["controller__arm__overlap"] = "on"
    for joint in JOINTS:
        given |= {f"joint__{joint}__max_velocity": MAX_VELOCITY, f"joint__{joint}__max_acceleration": MAX_ACCELERATION}
        given |= {f"joint__{joint}__min": -FARTHEST, f"joint__{joint}__max": FARTHEST}
        given |= {f"joint__{joint}__max_deviation": math.inf if joint == "grip" else 0.3}
    if parts:
        given |= {"state__topic": None, "state__topics": list(PARTS)}
    return robot_parameters(CAMERAS, **(given | changes))


@contextlib.contextmanager
def stage(directory: Path, interface: str, parts: bool = False, policy: Any = None, **changes: Any) -> Iterator[Stage]:
    """A node of that interface that commands its robot, until the block ends; `parts`: joint states on two topics."""
    options = policy or Options(
        cameras=tuple(CAMERAS), circle=0.4, environment=ENVIRONMENT, isolated=True, slow_s=1.5, chunk_size=30
    )
    drivers = PARTS if parts else None
    states = dict(PARTS) if parts else {"state": JOINTS}
    contract = contract_of(interface, states)
    given = parameters_of(interface, parts, **({"checkpoint": str(directory)} | changes))
    with running_policy_node(directory, given, options, "active|commanding", drivers=drivers) as stand:
        node, robot = stand.participant.node, stand.robot
        inputs: dict[str, tuple[str, Any]] = {
            "front": ("/front/image", Image),
            "side": ("/side/image", CompressedImage),
            "environment": ("/environment", Float64MultiArray),
        }
        inputs |= {name: (name if parts else "/joint_states", JointState) for name in states}
        witness = Listener(stand.participant.another_node("witness"), contract, inputs)
        environment = node.create_publisher(Float64MultiArray, "/environment", qos_profile_sensor_data)
        enable = node.create_publisher(Bool, "/enable", 10)
        beats = iter(range(10**9))

        def say(name: str, publisher: Any, message: Any) -> None:
            message = robot.distortions.get(name, lambda same: same)(message)
            if message is not None:
                publisher.publish(message)

        def tick() -> None:
            beat = next(beats)
            for camera in CAMERAS:
                pixels = robot.images[camera]
                pixels[40:60, 40:60] = beat % 240
            say("environment", environment, Float64MultiArray(data=[0.5] * ENVIRONMENT))
            if beat % 3 == 0:
                say("enable", enable, Bool(data=True))

        timer = node.create_timer(1.0 / 30.0, tick)
        try:
            yield Stage(stand, witness, contract)
        finally:
            node.destroy_timer(timer)
            witness.close()


def delayed_by(seconds: float, rate_hz: float = 30.0) -> Callable[[Any], Any]:
    """A distortion that hands each message on later, as it was."""
    waiting: deque[Any] = deque()

    def delay(message: Any) -> Any:
        waiting.append(message)
        return waiting.popleft() if len(waiting) > seconds * rate_hz else None

    return delay


def signal_process(pid: int, number: int) -> None:
    """Send a signal; a process that has ended meanwhile is none to send it to."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)
