"""The plan against what the operator did: the truth at any instant, the executed plan, and how the two compare.

Knows messages by their fields only, so that it does not matter where an episode comes from.
"""
