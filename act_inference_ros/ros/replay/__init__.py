"""replay_bag: publishes a recorded bag's sensor topics with the QoS with which they were recorded.

`evaluation.bags` reads the bag; this room publishes it.
"""
