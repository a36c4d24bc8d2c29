"""Brings a policy to NVIDIA Triton: export to ONNX, the model repository, starting a server.

Exporting imports `policy`, `inference.local`, torch and onnx; `check_server` imports `inference.triton`, and torch only
for a checkpoint; `triton_process` and `triton_server` import only the standard library. `triton_model.py` is not used
by the package itself: it is copied into the repository and runs inside Triton.
"""
