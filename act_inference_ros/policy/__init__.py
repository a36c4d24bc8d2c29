"""ACT itself: turns a LeRobot checkpoint directory into a PolicySpec and one network from raw inputs to actions.

Imports torch and safetensors, but nothing of ROS or Triton. `description.py` and its imports need no torch.
"""
