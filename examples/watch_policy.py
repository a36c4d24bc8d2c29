"""Watches a policy node: prints how far each action chunk reaches into the future, and where it wants the joints.

    python examples/watch_policy.py
    python examples/watch_policy.py --topic /policy_node/action_chunk --count 10

A chunk comes as trajectory_msgs/JointTrajectory: its stamp is the time of the observation, its points are the policy's
actions, raw, in the policy's units. It is for people and recordings; the arm gets merged and limited targets instead.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any

import rclpy
from rclpy.duration import Duration
from rclpy.executors import ExternalShutdownException
from rclpy.time import Time
from rclpy.utilities import remove_ros_args
from trajectory_msgs.msg import JointTrajectory

NANOSECONDS = 1e9


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a line for each chunk until Ctrl-C, or until `--count` came; return the exit status."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        # ROS takes `--ros-args -p use_sim_time:=true` and the like, the parser takes the rest.
        options = _parser().parse_args(remove_ros_args(given))
        rclpy.init(args=given)
        node = rclpy.create_node("watch_policy")
        node.resolve_topic_name(options.topic)  # raises RuntimeError for what is no name
    except RuntimeError as problem:
        text = str(problem).splitlines()[0].partition(", at ")[0]  # what follows is a trace into rcl's code
        print(f"watch_policy: {text}", file=sys.stderr)
        rclpy.try_shutdown()
        return 2
    seen = 0

    def on_chunk(chunk: JointTrajectory) -> None:
        nonlocal seen
        seen += 1
        print(describe(chunk, node.get_clock().now()), flush=True)

    node.create_subscription(JointTrajectory, options.topic, on_chunk, 10)
    print(f"waiting for chunks on {options.topic}", flush=True)
    try:
        while options.count == 0 or seen < options.count:
            rclpy.spin_once(node)
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    finally:
        node.destroy_node()
        rclpy.try_shutdown()
    return 0


def describe(chunk: JointTrajectory, now: Any) -> str:
    """Return the line for a chunk: its lead, and the joints where its last action wants them."""
    observed = Time.from_msg(chunk.header.stamp, clock_type=now.clock_type)
    end = observed + Duration.from_msg(chunk.points[-1].time_from_start)
    age_s = (now - observed).nanoseconds / NANOSECONDS
    # The lead is what the arm could still do if no other chunk came: it must outlast the wait for the next one.
    lead_s = (end - now).nanoseconds / NANOSECONDS
    joints = zip(chunk.joint_names, chunk.points[-1].positions, strict=True)
    targets = " ".join(f"{name}={position:.3f}" for name, position in joints)
    return f"observed {age_s:.2f} s ago, lead {lead_s:.2f} s, then at {targets}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Prints the lead and the joints of each action chunk.")
    parser.add_argument("--topic", default="/policy_node/action_chunk", help="default: /policy_node/action_chunk")
    parser.add_argument("--count", type=int, default=0, help="end after so many chunks (default: 0, go on)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
