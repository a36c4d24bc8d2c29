"""replay_bag: publishes a recorded bag's sensor topics, as they were recorded, for machines without `ros2 bag`."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import rclpy
from builtin_interfaces.msg import Time
from rclpy.duration import Duration
from rclpy.node import Node
from rosgraph_msgs.msg import Clock

from act_inference_ros.errors import ActInferenceError, ConfigurationError, MissingDependencyError
from act_inference_ros.evaluation.bags.serialized import BagSource, Topic
from act_inference_ros.program.exit_status import MISTAKE, OK
from act_inference_ros.program.installed_files import share_directory
from act_inference_ros.program.signals import StoppedBySignal, StopSignals
from act_inference_ros.ros.command_line import initialise_rclpy, options_in, readable_ros_errors
from act_inference_ros.ros.messages import message_class
from act_inference_ros.ros.replay.replay_qos import offered_qos

NODE_NAME = "replay_bag"
CLOCK_RATE = 100.0
"""Smallest rate of /clock; it holds for the larger of the rates in wall time and in the bag's time."""
ACKNOWLEDGE_S = 1.0
"""How long the last messages may take to reach reliable subscribers."""
SETTLED_S = 2.0
"""A node that subscribes to one topic subscribes to its others within this time."""

_POLL_S = 0.05
_LONGEST_WAIT_S = 3600.0
"""A bag may have a pause of years, and a system call does not take all of them at once."""
_NANOSECONDS = 1_000_000_000


class Replay:
    """Publishers for the chosen topics of a bag (and /clock), paced by the monotonic clock.

    `signals` tell it to stop: methods that wait then raise StoppedBySignal.
    """

    def __init__(
        self,
        node: Node,
        source: BagSource,
        topics: Sequence[Topic],
        rate: float,
        clock: bool,
        signals: StopSignals,
    ) -> None:
        self.published = 0
        self.behind_s = 0.0
        self._source = source
        self._topics = topics
        self._rate = rate
        self._signals = signals
        self._publishers = {
            topic.name: node.create_publisher(message_type(topic), topic.name, offered_qos(topic.qos))
            for topic in topics
        }
        self._clock = node.create_publisher(Clock, "/clock", 10) if clock else None
        self._clock_period_ns = round(min(1.0, rate) * _NANOSECONDS / CLOCK_RATE)

    def wait_for_subscribers(self, timeout_s: float) -> None:
        """Return when every topic has a subscriber, or no further ones come after the first, or after `timeout_s`.

        Raises StoppedBySignal.
        """
        subscribed, since = 0, time.monotonic()
        deadline = since + timeout_s
        while time.monotonic() < deadline:
            now_subscribed = sum(publisher.get_subscription_count() > 0 for publisher in self._publishers.values())
            if now_subscribed != subscribed:
                subscribed, since = now_subscribed, time.monotonic()
            if subscribed == len(self._publishers) or (subscribed and time.monotonic() - since > SETTLED_S):
                return
            self._wait(_POLL_S)

    def run(self) -> None:
        """Publish everything once. Raises StoppedBySignal."""
        begin_ns: int | None = None
        for message in self._source.messages(self._topics):
            if begin_ns is None:
                begin_ns = clock_ns = message.time_ns
                begin = time.monotonic()
            while self._clock is not None and clock_ns < message.time_ns:
                self._wait_until(begin + (clock_ns - begin_ns) / _NANOSECONDS / self._rate)
                self._publish_clock(clock_ns)
                clock_ns += self._clock_period_ns
            self._wait_until(begin + (message.time_ns - begin_ns) / _NANOSECONDS / self._rate)
            # Publish the time first, so that no message seems to come from the future.
            self._publish_clock(message.time_ns)
            self._publishers[message.topic].publish(message.data)
            self.published += 1

    def flush(self) -> None:
        """Wait until reliable subscribers have everything, at most ACKNOWLEDGE_S."""
        for publisher in (*self._publishers.values(), *filter(None, [self._clock])):
            publisher.wait_for_all_acked(Duration(seconds=ACKNOWLEDGE_S))

    def _wait_until(self, due: float) -> None:
        left = due - time.monotonic()
        self.behind_s = max(self.behind_s, -left)
        while left > _LONGEST_WAIT_S:
            self._wait(_LONGEST_WAIT_S)
            left = due - time.monotonic()
        self._wait(max(0.0, left))

    def _wait(self, seconds: float) -> None:
        self._signals.wait(seconds)
        self._signals.check()

    def _publish_clock(self, time_ns: int) -> None:
        if self._clock is not None:
            self._clock.publish(Clock(clock=Time(sec=time_ns // _NANOSECONDS, nanosec=time_ns % _NANOSECONDS)))


def message_type(topic: Topic) -> Any:
    """Return the class of a topic's messages. Raises ConfigurationError, naming the topic, if it is not installed."""
    try:
        return message_class(topic.type)
    except MissingDependencyError as error:
        raise ConfigurationError(f"{topic.name}: {error}, or name other topics with --topics") from error


def main(args: list[str] | None = None) -> int:
    """Replay a bag; returns the exit status."""
    arguments = [NODE_NAME, *(sys.argv[1:] if args is None else args)]
    signals = StopSignals()
    try:
        options = options_in(arguments, _parser())
        with BagSource(options.bag) as source:
            topics = source.chosen(options.topics)
            _use_transport_profile()
            initialise_rclpy(arguments)
            with readable_ros_errors():
                node = rclpy.create_node(NODE_NAME)
            replay = Replay(node, source, topics, options.rate, options.clock, signals)
            return _replay(replay, source, topics, options)
    except StoppedBySignal:
        return OK
    except ActInferenceError as error:
        print(f"{NODE_NAME}: {error}", file=sys.stderr)
        return MISTAKE
    finally:
        rclpy.try_shutdown()


def _replay(replay: Replay, source: BagSource, topics: Sequence[Topic], options: argparse.Namespace) -> int:
    _say(f"publishing {', '.join(topic.name for topic in topics)}")
    left_out = [topic.name for topic in source.topics if topic not in topics]
    if left_out:
        _say(f"left out: {', '.join(left_out)} (--topics publishes what you name)")
    started = time.monotonic()
    try:
        replay.wait_for_subscribers(options.wait)
        started = time.monotonic()
        replay.run()
        while options.loop:
            _say("from the beginning")
            replay.run()
        replay.flush()
    finally:
        behind = f", up to {replay.behind_s:.2f} s behind the bag's pace" if replay.behind_s > _POLL_S else ""
        _say(f"published {replay.published} messages in {time.monotonic() - started:.1f} s{behind}")
    return OK


def _use_transport_profile() -> None:
    """Set this package's DDS profile, unless the user has set one: with Fast DDS's defaults most images are lost."""
    if not {"FASTDDS_DEFAULT_PROFILES_FILE", "FASTRTPS_DEFAULT_PROFILES_FILE"} & set(os.environ):
        os.environ["FASTDDS_DEFAULT_PROFILES_FILE"] = str(share_directory() / "config" / "fastdds.xml")


def _say(text: str) -> None:
    print(f"{NODE_NAME}: {text}", flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=NODE_NAME,
        description="Publishes a recorded bag's sensor topics (sensor_msgs, tf2_msgs) with the QoS they were recorded "
        "with. Commands in the bag stay unpublished: the policy node gives them. Where there is `ros2 bag play`, that "
        "does the same.",
    )
    parser.add_argument("--bag", type=Path, required=True, metavar="DIR", help="the recording: sqlite3 or mcap")
    parser.add_argument("--rate", type=_rate, default=1.0, help="speed, 1 is as recorded (default: 1)")
    parser.add_argument("--clock", action="store_true", help="publish /clock, for nodes with use_sim_time")
    parser.add_argument("--loop", action="store_true", help="begin again at the end, until stopped")
    parser.add_argument("--topics", nargs="+", default=[], metavar="TOPIC", help="these topics and no others")
    parser.add_argument(
        "--wait", type=_seconds, default=0.0, metavar="S", help="wait for subscribers first, S at most (default: 0)"
    )
    return parser


def _rate(text: str) -> float:
    return _number(text, 0.01, 100.0)


def _seconds(text: str) -> float:
    return _number(text, 0.0, 3600.0)


def _number(text: str, lowest: float, highest: float) -> float:
    try:
        number = float(text)
    except ValueError:
        number = float("nan")
    if not lowest <= number <= highest:
        raise argparse.ArgumentTypeError(f"expected a number from {lowest:g} to {highest:g}, got {text!r}")
    return number


if __name__ == "__main__":
    sys.exit(main())
