"""One observation in, one action chunk out: InferenceClient and its two modes, in this process or on a Triton server.

`client` imports neither torch nor tritonclient; each mode's own module does, when that mode is asked for.
"""

from act_inference_ros.inference.client import InferenceClient

__all__ = ["InferenceClient"]
