"""The process whose start bench_start measures: `python -m benchmarks.first_chunk OPTIONS`, as JSON for the client.

It imports nothing but what it uses. Prints when it had its first chunk (CLOCK_MONOTONIC, s) and its peak memory, or one
line on stderr that says why there is none.
"""

import json
import sys
import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from act_inference_ros.errors import ActInferenceError
from act_inference_ros.inference.client import InferenceClient
from act_inference_ros.program import exit_status
from benchmarks.program import peak_memory_mb


def main() -> int:
    try:
        print(json.dumps(first_chunk(json.loads(sys.argv[1]))), flush=True)
    except ActInferenceError as error:
        print(" ".join(str(error).splitlines()), file=sys.stderr)
        return exit_status.MISTAKE
    return exit_status.OK


def first_chunk(options: Mapping[str, Any]) -> dict[str, float]:
    times = {"imported_at": time.monotonic()}
    with InferenceClient.create("local", **options) as client:
        times["opened_at"] = time.monotonic()
        images = {image.key: np.zeros(image.shape, np.uint8) for image in client.spec.images}
        client.predict({**{key: np.zeros(dim, np.float32) for key, dim in client.spec.vectors.items()}, **images})
        times["chunk_at"] = time.monotonic()
    return {**times, "peak_memory_mb": peak_memory_mb()}


if __name__ == "__main__":
    sys.exit(main())
