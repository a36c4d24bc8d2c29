"""Getting a policy onto NVIDIA Triton: export to ONNX, the model repository, starting a server.

Exporting imports `policy`, `inference.local`, torch and onnx; `check_server` `inference.triton`, and torch only for a
checkpoint; `triton_process` and `triton_server` the standard library only.
`triton_model.py` is no part of the package at run time: it is copied into the repository and runs inside Triton.
"""
