"""InferenceClient: one observation in, one action chunk out; the policy runs locally or on a Triton server.

`client` imports neither torch nor tritonclient; the module of each mode imports its packages when it is used.
"""

from act_inference_ros.inference.client import InferenceClient

__all__ = ["InferenceClient"]
