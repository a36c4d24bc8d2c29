"""Triton mode: the policy on one or several NVIDIA Triton servers, over gRPC.

This file imports nothing, and `options` imports nothing of Triton, so that local mode works without tritonclient.
"""
