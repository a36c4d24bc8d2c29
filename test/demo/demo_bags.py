"""The recording of a demo, written without ROS: the arm moves up and down for some seconds in a known way."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from act_inference_ros.demo import recording
from act_inference_ros.evaluation.episodes.bag_writer import BagWriter
from act_inference_ros.simulation.episode_rules import Outcome
from act_inference_ros.simulation.scene import JOINT_STATE_ORDER, DemoArm

START_NS = 1_700_000_000_000_000_000
CYCLE_NS = 10_000_000
PAUSE = 300
"""Cycles between two episodes; the arm jumps home in the middle of them."""
INFERENCE_MS = 43.2


@dataclass
class Written:
    """What was written: for each episode the commanded and the measured positions (cycles, 6)."""

    told: list[npt.NDArray[np.float64]] = field(default_factory=list)
    measured: list[npt.NDArray[np.float64]] = field(default_factory=list)
    lost: int = 0


def write_recording(bag: Path, cycles: tuple[int, ...] = (100, 150), lose: int = 0) -> Written:
    """Write episodes of these numbers of cycles; the last succeeds, and `lose` setpoints of the first are missing."""
    written = Written(lost=lose)
    arm = DemoArm(0)
    with BagWriter(bag, compressed=True) as writer:
        for topic, kind in recording.topics("joint_trajectory").items():
            writer.add(topic, kind, best_effort=False)
        now_ns = START_NS
        for index, count in enumerate(cycles, 1):
            arm.reset(index)
            told, measured = [], []
            for cycle in range(-PAUSE // 2, count + 1 + PAUSE // 2):
                inside = 0 <= cycle <= count
                target = np.array(DemoArm.HOME) + (0.3 * np.sin(max(cycle, 0) * 0.05) if inside else 0.5)
                target[-1] = DemoArm.HOME[-1]
                arm.step(target, 0.01)
                if inside:
                    told.append(target)
                    measured.append(arm.positions.astype(np.float64))
                if not (index == 1 and inside and count // 2 <= cycle < count // 2 + lose):
                    _write(writer, recording.SETPOINTS, now_ns, _joints(writer, now_ns, DemoArm.JOINTS, target))
                if cycle % 2 == 0:
                    _write_state(writer, arm, now_ns)
                if cycle % 5 == 0:
                    _write(writer, recording.IMAGES, now_ns, _image(writer, now_ns, arm.render()))
                if cycle == count:
                    outcome = Outcome(index, index == len(cycles), count * 0.01, 0, 0, now_ns)
                    text = writer.store.types["std_msgs/msg/String"](data=outcome.to_json())
                    _write(writer, recording.EPISODES, now_ns, text)
                now_ns += CYCLE_NS
            written.told.append(np.array(told))
            written.measured.append(np.array(measured))
        _write(writer, recording.DIAGNOSTICS, now_ns, _diagnostics(writer, now_ns))
    arm.close()
    return written


def _write_state(writer: BagWriter, arm: DemoArm, now_ns: int) -> None:
    places = [DemoArm.JOINTS.index(name) for name in JOINT_STATE_ORDER]
    positions = arm.positions.astype(np.float64)[places]
    _write(writer, recording.STATES, now_ns, _joints(writer, now_ns, JOINT_STATE_ORDER, positions))
    types = writer.store.types
    x, y, z, w, i, j, k = arm.cube_pose.tolist()
    pose = types["geometry_msgs/msg/Pose"](
        position=types["geometry_msgs/msg/Point"](x=x, y=y, z=z),
        orientation=types["geometry_msgs/msg/Quaternion"](x=i, y=j, z=k, w=w),
    )
    stamped = types["geometry_msgs/msg/PoseStamped"](header=_header(writer, now_ns), pose=pose)
    _write(writer, recording.CUBE, now_ns, stamped)


def _write(writer: BagWriter, topic: str, now_ns: int, message: Any) -> None:
    writer.write(topic, now_ns, writer.store.serialize_cdr(message, message.__msgtype__))


def _header(writer: BagWriter, now_ns: int) -> Any:
    stamp = writer.store.types["builtin_interfaces/msg/Time"](sec=now_ns // 10**9, nanosec=now_ns % 10**9)
    return writer.store.types["std_msgs/msg/Header"](stamp=stamp, frame_id="")


def _joints(writer: BagWriter, now_ns: int, names: tuple[str, ...], positions: npt.NDArray[np.float64]) -> Any:
    kind = writer.store.types["sensor_msgs/msg/JointState"]
    nothing = np.empty(0)
    return kind(header=_header(writer, now_ns), name=list(names), position=positions, velocity=nothing, effort=nothing)


def _image(writer: BagWriter, now_ns: int, pixels: npt.NDArray[np.uint8]) -> Any:
    height, width, _ = pixels.shape
    return writer.store.types["sensor_msgs/msg/Image"](
        header=_header(writer, now_ns),
        height=height,
        width=width,
        encoding="rgb8",
        is_bigendian=0,
        step=3 * width,
        data=pixels.reshape(-1),
    )


def _diagnostics(writer: BagWriter, now_ns: int) -> Any:
    types = writer.store.types
    pair = types["diagnostic_msgs/msg/KeyValue"](key="inference time p50 [ms]", value=str(INFERENCE_MS))
    status = types["diagnostic_msgs/msg/DiagnosticStatus"](
        level=0, name="policy_node: policy", message="commanding", hardware_id="", values=[pair]
    )
    return types["diagnostic_msgs/msg/DiagnosticArray"](header=_header(writer, now_ns), status=[status])
