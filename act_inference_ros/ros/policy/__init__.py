"""policy_node: topics, timers, threads and parameters around the supervisor and the inference client.

The other rooms make all decisions.
"""
