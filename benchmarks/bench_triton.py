"""Triton mode against a bare `tritonclient` call with the same tensors, on a server whose model does nothing.

Both run alternately against one server on this machine, so the ratio of medians is the cost or gain of the package.
Then: requests per second of 1 to 8 clients with and without dynamic batching, JPEG bytes per observation, and the
client's CPU seconds per 1000 observations.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # so that it also runs as a script

import numpy as np  # noqa: E402
import numpy.typing as npt  # noqa: E402

if TYPE_CHECKING:
    from act_inference_ros.serving.triton_process import TritonProcess
    from act_inference_ros.spec import PolicySpec

ROUND_TRIP_TARGET, SHARED_MEMORY_TARGET = 1.2, 0.7
CLIENTS = (1, 2, 4, 8)
WAYS = {"gRPC": ("raw", "off"), "shared memory": ("raw", "on"), "JPEG": ("jpeg", "off")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="few repetitions")
    parser.add_argument("--repeat", type=int, default=None, help="round trips of each kind (default 200, quick 50)")
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks" / "results" / "triton.json")
    arguments = parser.parse_args()
    repeat = arguments.repeat or (50 if arguments.quick else 200)
    duration_s = 1.0 if arguments.quick else 3.0
    results: dict[str, Any] = {"repeat": repeat, "round_trips": [], "throughput": []}
    with tempfile.TemporaryDirectory() as directory:
        address, server = start_server(Path(directory))
        with server:
            for cameras in (1, 4):
                results["round_trips"].append(measure_round_trips(address, cameras, repeat))
                print_round_trips(results["round_trips"][-1])
            for batching in (False, True):
                for clients in CLIENTS:
                    run: dict[str, Any] = {"batching": batching, "clients": clients}
                    run["requests_per_s"] = requests_per_s(address, batching, clients, duration_s)
                    results["throughput"].append(run)
                    kind = "with   " if batching else "without"
                    print(f"{clients} client(s) {kind} batching: {run['requests_per_s']:6.0f} requests/s", flush=True)
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(json.dumps(results, indent=1) + "\n")
    print(f"written to {arguments.output}")


def start_server(repository: Path) -> tuple[str, TritonProcess]:
    """A server with one model for each number of cameras and encoding, and one that batches."""
    from act_inference_ros.serving.triton_process import TritonProcess
    from test.inference.triton_models import policy_spec, write_model

    for cameras in (1, 4):
        for encoding in ("raw", "jpeg"):
            write_model(repository, policy_spec(cameras), f"{encoding}{cameras}", encoding)
    write_model(repository, policy_spec(1), "batching1", batching=True)
    server = TritonProcess(repository)
    server.wait_ready()
    return server.address, server


def measure_round_trips(address: str, cameras: int, repeat: int) -> dict[str, Any]:
    """Median seconds of each way, alternated with the bare call; CPU seconds of this process per 1000 observations."""
    from act_inference_ros.inference.client import InferenceClient
    from act_inference_ros.inference.images import encode_jpeg
    from test.inference.triton_models import policy_spec

    observation = camera_observation(policy_spec(cameras))
    jpegs = {key: encode_jpeg(x) if x.ndim == 3 else x for key, x in observation.items()}
    bare = bare_call(address, f"raw{cameras}", observation)
    clients = {
        way: InferenceClient.create(
            "triton", server=address, model=f"{encoding}{cameras}", shared_memory=shared, timeout_s=10.0
        )
        for way, (encoding, shared) in WAYS.items()
    }
    calls: dict[str, Callable[[], Any]] = {
        way: lambda c=client: c.predict(observation)  # type: ignore[misc]  # mypy infers no lambda with a default
        for way, client in clients.items()
    }
    calls |= {"bare tritonclient": bare, "JPEG as it came": lambda: clients["JPEG"].predict(jpegs)}
    for call in calls.values():
        call()
    seconds, cpu = measure_alternately(calls, repeat)
    for client in clients.values():
        client.close()
    baseline = seconds["bare tritonclient"]
    return {
        "cameras": cameras,
        "jpeg_bytes": sum(len(x) for x in jpegs.values() if isinstance(x, bytes)),
        "raw_bytes": sum(x.nbytes for x in observation.values()),
        "seconds": seconds,
        "ratio": {way: value / baseline for way, value in seconds.items()},
        "cpu_s_per_1000": cpu,
    }


def measure_alternately(calls: dict[str, Any], repeat: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Medians of wall seconds, and CPU seconds of this process per 1000 calls."""
    wall: dict[str, list[float]]
    wall, cpu = {name: [] for name in calls}, dict.fromkeys(calls, 0.0)
    for _ in range(repeat):
        for name, call in calls.items():
            began, began_cpu = time.perf_counter(), time.process_time()
            call()
            wall[name].append(time.perf_counter() - began)
            cpu[name] += time.process_time() - began_cpu
    return (
        {name: statistics.median(values) for name, values in wall.items()},
        {name: value / repeat * 1000 for name, value in cpu.items()},
    )


def bare_call(address: str, model: str, observation: dict[str, Any]) -> Callable[[], npt.NDArray[Any]]:
    """Return a call that uses tritonclient as its documentation shows."""
    import tritonclient.grpc as tritonclient

    client = tritonclient.InferenceServerClient(address)
    output = tritonclient.InferRequestedOutput("action")

    def call() -> npt.NDArray[Any]:
        inputs = []
        for key, array in observation.items():
            tensor = tritonclient.InferInput(key, [1, *array.shape], "FP32" if array.ndim == 1 else "UINT8")
            tensor.set_data_from_numpy(array[np.newaxis])
            inputs.append(tensor)
        return client.infer(model, inputs, outputs=[output]).as_numpy("action")[0]  # type: ignore[no-any-return]  # tritonclient has no types

    return call


def camera_observation(spec: PolicySpec) -> dict[str, Any]:
    """Return smooth images with sensor noise, so that JPEG sizes are like those of a real camera."""
    import cv2

    random = np.random.default_rng(0)
    observation = {key: np.zeros(dim, np.float32) for key, dim in spec.vectors.items()}
    for image in spec.images:
        coarse = random.integers(0, 256, (12, 16, 3), np.uint8)
        smooth = cv2.resize(coarse, (image.width, image.height), interpolation=cv2.INTER_CUBIC).astype(float)
        observation[image.key] = np.clip(smooth + random.normal(0.0, 3.0, smooth.shape), 0, 255).astype(np.uint8)
    return observation


def requests_per_s(address: str, batching: bool, clients: int, duration_s: float) -> float:
    """Answers per second to clients with one camera, each in a thread, over gRPC: as from other machines."""
    from act_inference_ros.inference.client import InferenceClient
    from test.inference.triton_models import policy_spec

    observation = camera_observation(policy_spec(1))
    counts = [0] * clients
    over = threading.Event()
    model = "batching1" if batching else "raw1"

    def run(index: int) -> None:
        with InferenceClient.create(
            "triton", server=address, model=model, shared_memory="off", timeout_s=10.0
        ) as client:
            while not over.is_set():
                client.predict(observation)
                counts[index] += 1

    threads = [threading.Thread(target=run, args=(i,)) for i in range(clients)]
    for thread in threads:
        thread.start()
    time.sleep(0.3)
    before, began = sum(counts), time.perf_counter()
    time.sleep(duration_s)
    rate = (sum(counts) - before) / (time.perf_counter() - began)
    over.set()
    for thread in threads:
        thread.join()
    return rate


def print_round_trips(run: dict[str, Any]) -> None:
    targets = {"gRPC": ROUND_TRIP_TARGET, "shared memory": SHARED_MEMORY_TARGET}
    print(f"{run['cameras']} camera(s): {run['raw_bytes']} bytes raw, {run['jpeg_bytes']} as JPEG")
    for way, seconds in run["seconds"].items():
        target = f" (target {targets[way]:.1f})" if way in targets else ""
        print(
            f"  {way:18} {seconds * 1e3:6.2f} ms, ratio {run['ratio'][way]:.2f}{target}, "
            f"CPU {run['cpu_s_per_1000'][way]:5.2f} s per 1000",
            flush=True,
        )


if __name__ == "__main__":
    main()
