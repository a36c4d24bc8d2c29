"""The result of an evaluation as plain data: settings, metrics per episode and in total, bounded series for plots.

Everything here is frozen, holds numbers, strings and tuples only, and goes through JSON and back unchanged (except the
thumbnails' pixels, which are for the report). A number that does not exist is nan, `null` in JSON.

Positions and their errors are in **ROS units** (rad or m, as the joint's limits in the parameter file): commands and
limits have these units, and they are the same for two policies trained in different units. Names end in `_ros_units`.
An error is predicted minus commanded (or measured) position.
"""

from __future__ import annotations

import json
import reprlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from act_inference_ros.errors import ConfigurationError
from act_inference_ros.evaluation import codec, plausible
from act_inference_ros.evaluation.run_settings import RunSettings
from act_inference_ros.evaluation.statistics import (
    ErrorStatistics,
    HorizonError,
    LimitStatistics,
    ShiftedError,
    SmoothnessStatistics,
    TimeStatistics,
)
from act_inference_ros.program.bounded_json import load_json

METRICS_VERSION = 3
"""Version of metrics.json; it increases when a name or a definition changes."""

_MOST_LISTS, _MOST_VALUES = 2**21, 2**24
"""In a metrics.json; an episode of two arms has about 15,000 lists and objects, and 130,000 values."""

COMPLETE, PARTIAL, FAILED = plausible.STATUSES


@dataclass(frozen=True)
class MergeResult:
    """The executed plan with one way of merging; joint -> statistics.

    `executed` is the error of the commanded plan, after merging and limits, on the grid of 1 / fps;
    `smoothness` is of the same motion, sampled more densely.
    """

    executed: Mapping[str, ErrorStatistics]
    smoothness: Mapping[str, SmoothnessStatistics]
    limits: Mapping[str, LimitStatistics]


@dataclass(frozen=True)
class Finding:
    """A systematic difference that explains most of some joints' error, or a policy that hardly reacts.

    `kind` and `value`: `offset` (ROS units, predicted - truth), `delay` (steps of 1 / fps by which the truth comes
    after the plan; negative: before), `shift` (the same, for the recording as a whole), `scale` (predicted / truth;
    `text` names the unit if it is a known one), `swapped` (two joints; value nan), `follows` (the first joint's plan
    follows the second's truth; value nan), `unresponsive` (over the observations what is predicted varies by that share
    of what the truth does; nothing is explained: nan).
    `explained` is the share of the mean squared error, 0..1, that vanishes when the difference is taken out.
    """

    kind: str
    joints: tuple[str, ...]
    value: float
    explained: float
    text: str


@dataclass(frozen=True)
class Metrics:
    """The numbers of one episode, or of all together (sums over the pairs of all episodes, not means of means).

    `chunk_error` and `horizon_error` are of the raw chunks, every row against the truth at its instant, joint -> ...;
    `shift` is the same against the truth some steps earlier or later;
    `by_merge` has an entry for every way of merging that the plan was executed with, the configured one among them.
    `demonstration` has the same figures of smoothness of what the operator did while the plan was executed, to compare
    with; no chunk joins it, so it has no figures of seams.
    `inference_time` is the wall time of `predict`; `observation_age` the time from the observation's stamp to the
    chunk's arrival, on the bag's clock; `observation_skew` the time between the earliest and the latest input of an
    observation.
    `refused` counts messages and observations not used, by `reason: input` as the node's diagnostics do, and
    `refused_examples` has the first detail of each; `failed_inferences` counts by the exception's name; `holds` counts
    by reason how often the node would have stopped the arm.
    """

    observations: int
    chunks: int
    chunk_error: Mapping[str, ErrorStatistics]
    shift: ShiftedError
    horizon_error: Mapping[str, HorizonError]
    by_merge: Mapping[str, MergeResult]
    demonstration: Mapping[str, SmoothnessStatistics]
    inference_time: TimeStatistics
    observation_age: TimeStatistics
    observation_skew: TimeStatistics
    refused: Mapping[str, int]
    refused_examples: Mapping[str, str]
    failed_inferences: Mapping[str, int]
    holds: Mapping[str, int]
    findings: tuple[Finding, ...]


@dataclass(frozen=True)
class SampledChunk:
    """One of the chunks kept for plots: row i of `rows` (chunk_size, joints), ROS units, is for t_s + i / fps."""

    t_s: float
    rows: tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class Thumbnail:
    """A camera's image of an observation whose chunk had a large error: `png` is a small PNG.

    `error_ros_units` is the largest error of the chunk, of joint `joint`, `ahead_s` after the observation.
    """

    t_s: float
    camera: str
    joint: str
    error_ros_units: float
    ahead_s: float
    png: bytes


@dataclass(frozen=True)
class Splice:
    """A motion around a seam: the setpoint every SETPOINT_PERIOD_S, `times_s` (n,) after the seam, which is at `t_s`.

    It is the seam of an episode with the largest jerk, which `joint` has. `setpoints` and `demonstration` (n, joints)
    are in ROS units, nan where there is none; there is no demonstration in simulated episodes.
    """

    t_s: float
    joint: str
    jerk_ros_units_per_s3: float
    times_s: tuple[float, ...]
    setpoints: tuple[tuple[float, ...], ...]
    demonstration: tuple[tuple[float, ...], ...] = ()


@dataclass(frozen=True)
class Series:
    """An episode over time, thinned evenly to a bounded size; seconds are since the bag's first message.

    `plan` (executed, after limits) and `truth` (n, joints) in ROS units at `plan_times_s` (n,), nan where there is
    none; at most PLAN_POINTS. `chunks`: at most CHUNKS_KEPT. `inference_s` and `age_s` (m,) at `inference_times_s`
    (m,), of each stretch its worst. Thumbnails: worst first, of at most THUMBNAILS_KEPT observations; not in JSON.
    `splice` is None where no chunk joined a motion.
    """

    plan_times_s: tuple[float, ...] = ()
    plan: tuple[tuple[float, ...], ...] = ()
    truth: tuple[tuple[float, ...], ...] = ()
    chunks: tuple[SampledChunk, ...] = ()
    inference_times_s: tuple[float, ...] = ()
    inference_s: tuple[float, ...] = ()
    age_s: tuple[float, ...] = ()
    thumbnails: tuple[Thumbnail, ...] = field(default=(), metadata=codec.NOT_IN_JSON)
    splice: Splice | None = None


PLAN_POINTS = 2000
CHUNKS_KEPT = 40
LATENCIES_KEPT = 2000
THUMBNAILS_KEPT = 4


@dataclass(frozen=True)
class EpisodeResult:
    """One bag, or one episode of a data set (whose messages are its frames).

    `status` is `complete`, `partial` (some of it, or a joint, could not be evaluated: `reasons` say what and why; the
    numbers are of the rest) or `failed` (nothing could be compared). `notes` are worth knowing but nothing is missing.
    `truth` maps each controller to what its joints were compared with: commands, state, or none. `duration_s` is that
    of the bag as far as it was read. `commanded_s` maps each word of `comparison.who_commanded` to the
    seconds in which that one commanded; it is empty where no policy ran. `flattering_s` are the seconds in which the
    truth may be the policy's own commands, which makes its error look too small.
    """

    name: str
    path: str
    status: str
    reasons: tuple[str, ...]
    notes: tuple[str, ...]
    start_time_s: float
    duration_s: float
    messages: int
    truth: Mapping[str, str]
    metrics: Metrics
    series: Series
    commanded_s: Mapping[str, float] = field(default_factory=dict)
    flattering_s: float = 0.0


@dataclass(frozen=True)
class SimulatedEpisode:
    """One closed-loop episode in the demo simulator.

    `commanded_steps` are those in which the policy commanded the arm; `holds` counts why that ended, by reason.
    `largest_deviation` is each joint's from what it had been told lately, ROS units. `smoothness` is of the setpoints
    of the arm's controllers.
    """

    seed: int
    success: bool
    steps: int
    predictions: int
    cube_height_m: float
    commanded_steps: int = 0
    holds: Mapping[str, int] = field(default_factory=dict)
    largest_deviation: Mapping[str, float] = field(default_factory=dict)
    smoothness: Mapping[str, SmoothnessStatistics] = field(default_factory=dict)


@dataclass(frozen=True)
class SimulationResult:
    """Closed-loop episodes: successes, and the bounds (0..1) of Wilson's 95 % interval of the success rate.

    `smoothness` is of all episodes together.
    """

    episodes: tuple[SimulatedEpisode, ...]
    successes: int
    success_rate: float
    success_rate_low: float
    success_rate_high: float
    inference_time: TimeStatistics
    smoothness: Mapping[str, SmoothnessStatistics] = field(default_factory=dict)


@dataclass(frozen=True)
class EvaluationResult:
    """Everything one run found. Bags: `episodes` and `total` (None without bags); simulator: `simulation`.

    `status` is the worst of the episodes' (a run that was interrupted is partial); `reasons` those of the run itself.
    """

    settings: RunSettings
    status: str = COMPLETE
    reasons: tuple[str, ...] = ()
    episodes: tuple[EpisodeResult, ...] = ()
    total: Metrics | None = None
    simulation: SimulationResult | None = None
    version: int = METRICS_VERSION

    def to_json(self) -> str:
        """Return everything except the thumbnails as strict JSON; `from_json` is the inverse."""
        return json.dumps(codec.to_plain(self), indent=1, allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> EvaluationResult:
        """Read the output of `to_json`.

        Raises ConfigurationError for anything else, another version, and values that no evaluation gives (`plausible`).
        """
        try:
            plain = load_json(text, _MOST_LISTS, _MOST_VALUES)
            version = plain["version"]
        except (ValueError, KeyError, TypeError) as error:
            raise ConfigurationError(f"not a metrics.json of eval_policy: {text[:80]!r}") from error
        if version != METRICS_VERSION:
            raise ConfigurationError(
                f"metrics.json has version {reprlib.repr(version)}, this eval_policy reads {METRICS_VERSION}; "
                "evaluate again"
            )
        result = codec.from_plain(cls, plain)
        plausible.check_result(result)
        return result


def never_compared(metrics: Metrics) -> list[str]:
    """The joints for which no predicted position could be compared, in the action's order."""
    return [joint for joint, error in metrics.chunk_error.items() if not error.count]
