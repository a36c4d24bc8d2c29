"""Puts trained ACT policies (LeRobot checkpoints) on ROS 2 robots."""
