"""When the arm may be commanded, and when an observation is taken: the rules, without ROS, locks or a clock of its own.

The node, the bag evaluator and the simulated episodes run the same code. Imports numpy only.
"""
