"""What the user says of the robot, read from a file or a description and checked before anything moves.

Imports no ROS package and no PyTorch.
"""
