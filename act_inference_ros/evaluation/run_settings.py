"""What an evaluation was run with, as plain data."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class RunSettings:
    """What produced the numbers: if two runs differ in one setting, their numbers differ because of it.

    `mode` is local or triton; `policy` the checkpoint, or model@server, `policy_id` which policy that was (64
    hexadecimal digits; empty where nobody knows). `engine`, `precision`, `device` and `providers` are what computed it,
    `precision_error` how far its chunks are from those of float32, as the backend says it; empty where it does not.
    `bags` the bags as given, `dataset` the data set's directory, empty for bags. `truth` is what was asked for (auto,
    commands or state; each episode says what was used); `latency` the rule for a chunk's arrival (`0`, seconds, or
    `measured`); `commanded_by` whose commands are the truth (operator or anyone); `joints` the action's joints in the
    policy's order, `units` what the policy counts them in, as `policy = scale * ros + offset` or the shorthand.
    `max_plan_age_s` is 0 where it goes by the inference; `max_velocity`, `max_acceleration` and `max_deviation` are in
    ROS units (and s), nan for no limit. `created` is an ISO 8601 time, UTC.
    """

    mode: str
    policy: str
    policy_id: str = ""
    engine: str = ""
    precision: str = ""
    device: str = ""
    providers: str = ""
    precision_error: str = ""
    bags: tuple[str, ...] = ()
    dataset: str = ""
    parameter_files: tuple[str, ...] = ()
    truth: str = "auto"
    latency: str = "0"
    commanded_by: str = "operator"
    fps: float = math.nan
    inference_rate: float = math.nan
    merge: str = ""
    blend_time_s: float = math.nan
    ensemble_coeff: float = math.nan
    max_age_s: float = math.nan
    max_skew_s: float = math.nan
    stamps: str = ""
    resize: bool = False
    chunk_size: int = 0
    joints: tuple[str, ...] = ()
    units: Mapping[str, str] = field(default_factory=dict)
    cameras: tuple[str, ...] = ()
    max_plan_age_s: float = math.nan
    coast_time_s: float = math.nan
    following_lag_s: float = math.nan
    max_velocity: Mapping[str, float] = field(default_factory=dict)
    max_acceleration: Mapping[str, float] = field(default_factory=dict)
    max_deviation: Mapping[str, float] = field(default_factory=dict)
    package_version: str = ""
    created: str = ""
