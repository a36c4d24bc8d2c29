"""Converts recorded bags to a LeRobot data set v3.0: frames at a steady rate, taken by the node's own inputs.

May import the rooms of bags and data sets and what they use; pyarrow and PyAV are imported where they are used.
"""
