"""From action chunks to safe motion on the robot's clock: merging of chunks, the commanded cubics, and the limits.

Pure functions and classes without threads; imports numpy only.
"""
