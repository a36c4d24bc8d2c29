"""Simulated closed-loop episodes: the demo robot in this process, on simulated time, driven by the node's own code.

Imports MuJoCo through `simulation/`; each episode can be recorded as a bag.
"""
