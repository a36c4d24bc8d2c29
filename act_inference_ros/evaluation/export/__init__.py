"""Evaluated episodes as files for other tools: the policy's images, measured, commanded and planned positions.

Imports the writer of bags from `episodes/`; the evaluation knows only the interface in `evaluation/watch.py`.
"""
