"""The last minute of a policy node, kept by another process, which writes it as a bag (mcap) when something happens.

Depends neither on ROS nor on the recorded types. Imports `program` and `errors` only, and rosbags to write a bag.
"""
