"""policy_node: topics, timers, threads and parameters around the supervisor and the inference client.

What is decided is decided in the other rooms.
"""
