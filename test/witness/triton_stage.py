"""A stage whose policy runs on a real Triton, behind a network that can be made to fail."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from act_inference_ros.spec import ImageSpec, PolicySpec
from test.inference.triton_models import write_model
from test.inference.triton_process import RunningTriton
from test.ros.policy_stand_in import Behaviour, Options, circle
from test.ros.robot_stand_in import HEIGHT, JOINTS, WIDTH
from test.witness.network import Network
from test.witness.stage import CAMERAS, ENVIRONMENT, Stage, stage

SPEC = PolicySpec(
    30,
    len(JOINTS),
    images=tuple(ImageSpec(f"observation.images.{name}", HEIGHT, WIDTH) for name in CAMERAS),
    state_dim=len(JOINTS),
    environment_state_dim=ENVIRONMENT,
)
FPS, RADIUS, SLOW_S = 20.0, 0.4, 1.5
TIMEOUT_S = 0.4
"""`request_timeout` of the node."""
SERVER, NETWORK = "server", "network"
"""What the stage has beside: a RunningTriton, a Network."""

_MODEL = f"""

class TritonPythonModel:
    def execute(self, requests):
        return [self.answer(request) for request in requests]

    def answer(self, request):
        if request.is_cancelled():  # as the model of this package looks
            return pb.InferenceResponse(error=pb.TritonError("cancelled", pb.TritonError.CANCELLED))
        inputs = {{tensor.name(): tensor.as_numpy()[0] for tensor in request.inputs()}}
        behaviour = max(int(pixels[0, 0, 0]) for name, pixels in inputs.items() if "images" in name)
        chunk = circle(inputs["observation.state"], np.arange({SPEC.chunk_size}) / {FPS}, {RADIUS})
        if behaviour == {Behaviour.NOT_FINITE:d}:
            chunk[3, 2] = np.nan
        elif behaviour == {Behaviour.WRONG_SHAPE:d}:
            chunk = chunk[:, 1:]
        elif behaviour == {Behaviour.SLOW:d}:
            time.sleep({SLOW_S})
        return pb.InferenceResponse(output_tensors=[pb.Tensor("action", chunk[None])])
"""


def write_policy(repository: Path) -> Path:
    """Write the stand-in's policy as a model of a Python backend, and return the repository."""
    write_model(repository, SPEC)
    imports = "from __future__ import annotations\nimport time\nimport numpy as np\n"
    imports += "import triton_python_backend_utils as pb\n\n"
    (repository / "act_policy" / "1" / "model.py").write_text(imports + inspect.getsource(circle) + _MODEL)
    return repository


@contextlib.contextmanager
def triton_stage(directory: Path, interface: str, *flags: str, **changes: Any) -> Iterator[Stage]:
    """A node of that interface that asks a server over a network, until the block ends.

    `flags` are the server's, `changes` the node's parameters.
    """
    with (
        RunningTriton(write_policy(directory / "models"), *flags) as server,
        Network(server.wait_ready(deadline_s=120.0).address) as network,
        stage(
            directory, interface, policy=Options(), mode="triton", server=network.address, shared_memory="off",
            request_timeout=TIMEOUT_S, checkpoint=None, **changes,
        ) as on,
    ):  # fmt: skip
        on.extra |= {SERVER: server, NETWORK: network}
        yield on
