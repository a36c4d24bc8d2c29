"""Puts trained ACT policies (LeRobot checkpoints) on ROS 2 robots."""

from act_inference_ros.inference.client import InferenceClient
from act_inference_ros.spec import PolicySpec

__all__ = ["InferenceClient", "PolicySpec"]
