"""The demo's scripted expert as a policy: it plays an operator whose episodes are recorded as demonstrations."""

from __future__ import annotations

import numpy as np

from act_inference_ros.evaluation.episodes.closed_loop import Policy
from act_inference_ros.simulation.expert import Expert
from act_inference_ros.simulation.scene import DemoArm
from act_inference_ros.spec import Chunk, ImageSpec, Observation, PolicySpec

CHUNK_SIZE = 20
IMAGE_SIZE = 96

EXPERT_SPEC = PolicySpec(
    chunk_size=CHUNK_SIZE,
    action_dim=len(DemoArm.JOINTS),
    images=(ImageSpec("observation.images.front", IMAGE_SIZE, IMAGE_SIZE),),
    state_dim=len(DemoArm.JOINTS),
)


def expert_policy(arm: DemoArm) -> Policy:
    """Return a policy that knows the cube's position. It plans when an episode begins, and then returns that plan."""
    expert = Expert()
    plan = np.empty((0, len(DemoArm.JOINTS)))

    def predict(_: Observation) -> Chunk:
        nonlocal plan
        now = round(arm.time_s * DemoArm.FPS)
        if now == 0:
            plan = expert.plan(arm.positions, arm.cube_position_m)
        rows = np.minimum(now + np.arange(CHUNK_SIZE), len(plan) - 1)
        chunk: Chunk = plan[rows].astype(np.float32)
        return chunk

    return Policy(EXPERT_SPEC, predict, plays_operator=True)
