"""LeRobot data sets (v2.1 and v3.0) as a source of episodes: read frame by frame and compared with the policy.

May import everything below the evaluation, and the bags' room, whose replay it uses; pyarrow and PyAV only where used.
"""
