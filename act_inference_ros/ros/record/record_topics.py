"""record_topics: writes what passes on some topics as a bag (mcap), with the times of the ROS clock.

    python -m act_inference_ros.ros.record.record_topics --bag DIR --topics TOPIC=TYPE ... [--ros-args ...]

It is a process of its own, decodes nothing and asks nobody for anything, so that whom it listens to goes on as without
it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy

from act_inference_ros.errors import ActInferenceError
from act_inference_ros.evaluation.episodes.bag_writer import BagWriter
from act_inference_ros.program import exit_status
from act_inference_ros.program.exit_status import OK
from act_inference_ros.program.signals import StopSignals
from act_inference_ros.ros.command_line import initialise_rclpy, options_in, readable_ros_errors
from act_inference_ros.ros.messages import message_class

NODE_NAME = "record_topics"

_QUEUE = 1000
"""Messages of one topic that wait while this process is busy."""
_IMAGES = ("sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage")
"""Published as sensor data, which nobody sends again."""
_POLL_S = 0.1


class Recorder:
    """Subscribes and writes. Before the ROS clock has a time nothing is written.

    `count` is of the messages written; `unheard` are those of the topics `hear` of which none was.
    """

    def __init__(self, node: Node, topics: Mapping[str, str], writer: BagWriter, hear: Collection[str] = ()) -> None:
        self.count = 0
        self.unheard = set(hear)
        self._node = node
        self._writer = writer
        for topic, kind in topics.items():
            best_effort = kind in _IMAGES
            qos = QoSProfile(
                depth=_QUEUE,
                reliability=ReliabilityPolicy.BEST_EFFORT if best_effort else ReliabilityPolicy.RELIABLE,
            )
            writer.add(topic, kind, best_effort)
            node.create_subscription(message_class(kind), topic, self._taker(topic), qos, raw=True)

    def _taker(self, topic: str) -> Any:
        def take(data: bytes) -> None:
            now_ns = self._node.get_clock().now().nanoseconds
            if now_ns > 0:
                self._writer.write(topic, now_ns, bytes(data))
                self.count += 1
                self.unheard.discard(topic)

        return take


def main(args: list[str] | None = None) -> int:
    """Record until a stop signal comes; returns the exit status."""
    arguments = [NODE_NAME, *(sys.argv[1:] if args is None else args)]
    signals = StopSignals()
    try:
        options = options_in(arguments, _parser())
        initialise_rclpy(arguments)
        with readable_ros_errors():
            node = rclpy.create_node(NODE_NAME)
        executor = SingleThreadedExecutor()
        executor.add_node(node)
        with BagWriter(options.bag, compressed=True) as writer:
            recorder = Recorder(node, dict(options.topics), writer, options.hear)
            silent = True
            while not signals.given:
                executor.spin_once(timeout_sec=_POLL_S)
                if silent and not recorder.unheard:
                    silent = False
                    print(f"{NODE_NAME}: hears {' '.join(options.hear)}, records {len(options.topics)}", flush=True)
        print(f"{NODE_NAME}: {recorder.count} messages in {options.bag}", flush=True)
        return OK
    except ActInferenceError as error:
        print(f"{NODE_NAME}: {error}", file=sys.stderr)
        return exit_status.of_error(error)
    finally:
        rclpy.try_shutdown()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=NODE_NAME, description="Writes what passes on some topics as a bag (mcap).")
    parser.add_argument("--bag", type=Path, required=True, help="a directory that does not exist yet")
    parser.add_argument("--hear", nargs="*", default=(), metavar="TOPIC", help="say so when all of these are heard")
    example = "such as /tf=tf2_msgs/msg/TFMessage"
    parser.add_argument("--topics", nargs="+", type=_topic, required=True, metavar="TOPIC=TYPE", help=example)
    return parser


def _topic(text: str) -> tuple[str, str]:
    topic, _, kind = text.partition("=")
    if not topic.startswith("/") or kind.count("/") != 2:
        raise argparse.ArgumentTypeError(f"expected TOPIC=TYPE such as /tf=tf2_msgs/msg/TFMessage, got {text}")
    return topic, kind


if __name__ == "__main__":
    sys.exit(main())
