"""From action chunks to safe targets on the clock of the robot: the timeline that merges chunks, and the limits.

Pure functions and classes without threads; imports numpy only.
"""
