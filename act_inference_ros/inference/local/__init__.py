"""Local mode: the policy on this machine. Each engine imports its own packages only when it is used.

This file imports nothing, so that triton mode works on a machine without torch.
"""
