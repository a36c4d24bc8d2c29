"""Compares the plan with the operator's motion: the truth at any instant, the executed plan, and their differences.

Reads messages by their fields only, so that an episode may come from any source.
"""
