"""Recorded bags as a source of episodes: finds, reads and salvages them, and runs them through the node's code.

Imports rosbags where a bag is opened; no ROS installation is needed.
"""
