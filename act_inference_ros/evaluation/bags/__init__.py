"""Recorded bags as a source of episodes: found, read, salvaged, and run through the node's own code.

Imports rosbags where a bag is opened; no ROS installation is needed.
"""
