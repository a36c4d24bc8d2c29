"""Local mode against the same network written plainly, on this machine's CPU, in one run.

Baseline: `plain ACT` (test/plain_act.py): the operations of LeRobot's eager model, contiguous images, batch norms
unfolded, nothing precomputed. Both run alternately with the same weights, observation and threads; the ratio of medians
is what counts, for it depends little on how fast or busy the machine is. The weights are random.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # so that it also runs as a script

import numpy as np  # noqa: E402
import numpy.typing as npt  # noqa: E402

if TYPE_CHECKING:  # how long it takes to import torch is measured
    import torch

ACTION_DIM = 14
HEIGHT, WIDTH = 480, 640
EAGER_TARGET, COMPILED_TARGET, MEMORY_TARGET_MB = 0.85, 0.70, 800


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one camera, eager, few repetitions")
    parser.add_argument("--repeat", type=int, default=None, help="chunks of each kind (default 15, quick 5)")
    parser.add_argument("--threads", type=int, default=min(2, os.cpu_count() or 1), help="CPU threads")
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks" / "results" / "local.json")
    parser.add_argument("--load", metavar="CHECKPOINT", help=argparse.SUPPRESS)  # the fresh process for load and memory
    arguments = parser.parse_args()
    if arguments.load:
        print(json.dumps(measure_load(arguments.load, arguments.threads)))
        return
    repeat = arguments.repeat or (5 if arguments.quick else 15)
    cameras = (1,) if arguments.quick else (1, 4)
    results = {"threads": arguments.threads, "repeat": repeat, "processor": processor(), "runs": []}
    for n_cameras in cameras:
        with tempfile.TemporaryDirectory() as directory:
            write_checkpoint(Path(directory), n_cameras)
            load = load_in_fresh_process(directory, arguments.threads)
            for compile_ in (False,) if arguments.quick else (False, True):
                times = measure_chunks(directory, n_cameras, compile_, repeat, arguments.threads)
                results["runs"].append(
                    {"cameras": n_cameras, "compile": compile_, **times, **({} if compile_ else load)}
                )
                print_run(results["runs"][-1])
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(json.dumps(results, indent=1) + "\n")
    print(f"written to {arguments.output}")


def write_checkpoint(directory: Path, n_cameras: int) -> None:
    """A checkpoint of ACT's standard size with random weights and statistics."""
    import torch
    from safetensors.torch import save_file

    from act_inference_ros.policy.config import read_config
    from act_inference_ros.policy.network import ActNetwork

    image = {"type": "VISUAL", "shape": [3, HEIGHT, WIDTH]}
    vector = {"type": "STATE", "shape": [ACTION_DIM]}
    inputs = {"observation.state": vector, **{f"observation.images.cam{i}": image for i in range(n_cameras)}}
    outputs = {"action": {"type": "ACTION", "shape": [ACTION_DIM]}}
    config = {"type": "act", "input_features": inputs, "output_features": outputs}
    (directory / "config.json").write_text(json.dumps(config))
    torch.manual_seed(0)
    tensors = {f"model.{name}": tensor for name, tensor in ActNetwork(read_config(directory)).state_dict().items()}
    for key, feature in {**inputs, **outputs}.items():
        side = "unnormalize_outputs" if key == "action" else "normalize_inputs"
        shape = (3, 1, 1) if feature["type"] == "VISUAL" else (ACTION_DIM,)
        for statistic, value in (("mean", 0.45), ("std", 0.25)):
            tensors[f"{side}.buffer_{key.replace('.', '_')}.{statistic}"] = torch.full(shape, value)
    save_file(tensors, directory / "model.safetensors")


def observation_of(n_cameras: int) -> dict[str, Any]:
    random = np.random.default_rng(0)
    images = {
        f"observation.images.cam{i}": random.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
        for i in range(n_cameras)
    }
    return {"observation.state": random.normal(size=ACTION_DIM).astype(np.float32), **images}


def measure_chunks(directory: str, n_cameras: int, compile_: bool, repeat: int, threads: int) -> dict[str, Any]:
    """Median seconds per chunk of local mode and of the baseline, alternated; and their largest difference."""
    from act_inference_ros.inference.client import InferenceClient

    observation = observation_of(n_cameras)
    plain = plain_policy(directory)
    with InferenceClient.create(
        "local", checkpoint=directory, device="cpu", threads=threads, compile=compile_
    ) as client:
        difference = float(np.abs(client.predict(observation) - plain(observation)).max())
        ours, baseline = [], []
        for _ in range(repeat):
            ours.append(seconds(client.predict, observation))
            baseline.append(seconds(plain, observation))
    median, median_baseline = statistics.median(ours), statistics.median(baseline)
    return {
        "chunk_s": median,
        "chunk_first_s": ours[0],
        "chunk_min_s": min(ours),
        "plain_chunk_s": median_baseline,
        "ratio": median / median_baseline,
        "ratio_of_fastest": min(ours) / min(baseline),  # what is left of it on a busy machine
        "max_difference": difference,
    }


def plain_policy(directory: str) -> Callable[[dict[str, npt.NDArray[Any]]], npt.NDArray[Any]]:
    """The baseline from raw observation to un-normalised chunk, as LeRobot's eager pipeline does it."""
    import torch
    from safetensors.torch import load_file

    from test.plain_act import PlainAct

    weights = load_file(Path(directory) / "model.safetensors")
    config = {
        "vision_backbone": "resnet18", "replace_final_stride_with_dilation": False, "pre_norm": False, "latent_dim": 32,
        "dim_model": 512, "n_heads": 8, "feedforward_activation": "relu", "n_encoder_layers": 4, "n_decoder_layers": 1,
    }  # fmt: skip
    network = PlainAct(config, weights)

    def statistics_of(side: str, key: str) -> tuple[torch.Tensor, torch.Tensor]:
        prefix = f"{side}.buffer_{key.replace('.', '_')}"
        return weights[f"{prefix}.mean"], weights[f"{prefix}.std"]

    def predict(observation: dict[str, Any]) -> npt.NDArray[Any]:
        with torch.inference_mode():
            inputs = {}
            for key, array in observation.items():
                x = torch.from_numpy(array)
                x = (x.float() / 255).permute(2, 0, 1).contiguous() if array.ndim == 3 else x
                mean, std = statistics_of("normalize_inputs", key)
                inputs[key] = (x.unsqueeze(0) - mean) / (std + 1e-8)
            state = inputs.pop("observation.state")
            mean, std = statistics_of("unnormalize_outputs", "action")
            return (network(list(inputs.values()), state) * std + mean)[0].numpy()

    return predict


def seconds(call: Callable[..., Any], *arguments: Any) -> float:
    start = time.perf_counter()
    call(*arguments)
    return time.perf_counter() - start


def load_in_fresh_process(directory: str, threads: int) -> dict[str, Any]:
    command = [sys.executable, str(Path(__file__).resolve()), "--load", directory, "--threads", str(threads)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)  # type: ignore[no-any-return]  # JSON


def measure_load(directory: str, threads: int) -> dict[str, Any]:
    """Seconds to import and load, and the peak memory after a chunk; for a process that does nothing else."""
    from act_inference_ros.inference.client import InferenceClient

    start = time.perf_counter()
    import torch  # noqa: F401

    imported = time.perf_counter()
    with InferenceClient.create("local", checkpoint=directory, device="cpu", threads=threads) as client:
        loaded = time.perf_counter()
        client.predict(observation_of(len(client.spec.images)))
    # Not getrusage's: that begins with what the parent had when it forked.
    status = Path("/proc/self/status").read_text()
    peak = int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))) / 1024
    return {"import_torch_s": imported - start, "load_s": loaded - imported, "peak_memory_mb": peak}


def processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor()


def print_run(run: dict[str, Any]) -> None:
    target = COMPILED_TARGET if run["compile"] else EAGER_TARGET
    kind = "compiled" if run["compile"] else "eager   "
    print(
        f"{run['cameras']} camera(s) {kind}: chunk {run['chunk_s'] * 1e3:5.0f} ms, "
        f"plain ACT {run['plain_chunk_s'] * 1e3:5.0f} ms, ratio {run['ratio']:.2f} "
        f"(of the fastest {run['ratio_of_fastest']:.2f}, target {target:.2f}), "
        f"largest difference {run['max_difference']:.1e}",
        flush=True,
    )
    if "load_s" in run:
        print(
            f"  fresh process: import torch {run['import_torch_s']:.1f} s, load and warm-up {run['load_s']:.1f} s, "
            f"peak memory {run['peak_memory_mb']:.0f} MB (target {MEMORY_TARGET_MB})",
            flush=True,
        )


if __name__ == "__main__":
    main()
