"""replay_bag: publishes a recorded bag's sensor topics with the QoS with which they were recorded.

Reading the bag is done by `evaluation.bags`; here is what publishes.
"""
