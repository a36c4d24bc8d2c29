"""Rules for when the arm may be commanded and when an observation is taken; no ROS, locks or clock of their own.

The node, the bag evaluator and the simulated episodes run the same code. Imports numpy only.
"""
