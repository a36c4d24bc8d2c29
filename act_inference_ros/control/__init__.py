"""From action chunks to safe motion on the clock of the robot: merging chunks, cubics that were told, and the limits.

Pure functions and classes without threads; imports numpy only.
"""
