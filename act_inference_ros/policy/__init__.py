"""ACT itself: a LeRobot checkpoint directory becomes a PolicySpec and one network from raw inputs to actions.

Imports torch and safetensors; knows nothing of ROS or Triton.
"""
