"""Local mode: the policy on this machine. Each engine imports its own packages, when it is asked for.

This file imports nothing, so that triton mode works on a machine without torch.
"""
