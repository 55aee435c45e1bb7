"""The answers about a study: its trials, its front, what was left out and how it went.

A number that is not known is null; times are seconds since the epoch.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import ConfigDict, Field

from archfront.search.service.bodies import Body

TrialState = Literal["trained", "rejected", "failed", "waiting", "stopped"]


class Recorded(Body):
    """A body with the fields of a record, of which a later version may have more."""

    model_config = ConfigDict(extra="allow")


class ObjectiveAnswer(Body):
    """A value that a study searches by; the metric is the first one."""

    name: str
    direction: Literal["maximize", "minimize"]
    unit: str


class TrialRow(Body):
    """A trial in short.

    Of a trial that was trained to several rungs, the metric is that of the training that counts
    for the front, and the state that of the last one: ``waiting`` may be trained further,
    ``stopped`` will not.
    """

    trial: int
    state: TrialState
    label: str
    candidate_id: str
    backbone: str
    head: str
    input_size: int
    metric: float | None
    metric_low: float | None
    metric_high: float | None
    trained: str | None = Field(description="as 'full', 'probe' or '2 of 6 epochs'")
    is_full: bool
    is_on_front: bool
    latency_ms: float | None
    params_m: float | None
    macs_g: float | None
    size_mb: float | None
    reason: str | None = Field(description="why it was rejected or has failed")
    seconds: float
    started: float
    ended: float


ROW_EXAMPLE: dict[str, Any] = {
    "trial": 3,
    "state": "trained",
    "label": "resnet18@64 avg",
    "candidate_id": "9f0c1a2b3c4d",
    "backbone": "resnet18",
    "head": "avg",
    "input_size": 64,
    "metric": 0.931,
    "metric_low": 0.917,
    "metric_high": 0.944,
    "trained": "2 of 6 epochs",
    "is_full": False,
    "is_on_front": True,
    "latency_ms": 4.2,
    "params_m": 11.2,
    "macs_g": 0.15,
    "size_mb": 44.7,
    "reason": None,
    "seconds": 14.0,
    "started": 1800000000.0,
    "ended": 1800000014.0,
}


class TrialPage(Body):
    """Some of a study's trials, by number."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"total": 24, "offset": 0, "limit": 1, "trials": [ROW_EXAMPLE]}]
        },
    )

    total: int = Field(description="trials in the states that were asked for")
    offset: int
    limit: int
    trials: list[TrialRow]


class RungAnswer(Body):
    """What one attempt at a trial on one rung gave."""

    rung: int
    attempt: int
    outcome: Literal["trained", "rejected", "failed"]
    trained: str | None
    metric: float | None
    metric_low: float | None
    metric_high: float | None
    reason: str | None
    started: float
    seconds: float


class ProposalAnswer(Recorded):
    """Why a sampler proposed a trial, and what it expected of it."""

    text: str
    chosen_by: str
    costs: dict[str, float | None]
    are_measured: bool
    metric: float | None
    metric_low: float | None
    metric_high: float | None
    gain: float | None
    train_s: float | None


class ExpectedLatency(Recorded):
    """The latency that was expected before it was measured: nine of ten lie in the band."""

    p50_ms: float
    low_ms: float
    high_ms: float
    least_ms: float


class LatencyAnswer(Body):
    """The time of one prediction, as it was measured on the exported artifact."""

    p50_ms: float | None
    p95_ms: float | None
    spread: float | None = Field(description="interquartile range over the median")
    interval: float | None = Field(description="half the 95 % interval of the median, over it")
    drift: float | None
    repeats: int
    warmup: int
    threads: int
    batch_size: int
    runtime: str
    runtime_version: str
    precision: str
    device: str
    is_stable: bool
    source: Literal["measured", "remembered", "imported"]
    parity: float | None
    n_tiles: int | None


class TrialFiles(Body):
    """Which pictures there are of the predictions of a trial, below ``/trials/NUMBER/``."""

    gallery: bool = False
    mistakes: bool = False
    details: bool = False


class TrialDetail(TrialRow):
    """All that is recorded of a trial."""

    candidate: dict[str, Any]
    recipe: str
    metrics: dict[str, float | None]
    test: dict[str, float | None] | None = Field(description="metrics on the test split")
    curve: list[dict[str, Any]] = Field(description="a row per epoch of the last training")
    rungs: list[RungAnswer]
    latency: LatencyAnswer | None
    expected_latency: ExpectedLatency | None
    proposal: ProposalAnswer | None
    memory_mb: float | None
    throughput_ips: float | None
    energy_mj: float | None
    exceeded: dict[str, tuple[float | None, float]] = Field(
        description="of a rejected trial: value and limit by name"
    )
    files: TrialFiles


class MemberAnswer(Recorded):
    """A member of a front: the columns of ``archfront front --json``, with its label."""

    trial: int
    label: str
    candidate_id: str
    backbone: str
    head: str
    input_size: int
    rung: int
    metric: float
    metric_low: float
    metric_high: float
    latency_ms: float | None
    latency_p95_ms: float | None
    params_m: float | None
    macs_g: float | None
    size_mb: float | None
    memory_mb: float | None
    throughput_ips: float | None
    energy_mj: float | None
    is_knee: bool
    ties: list[int] = Field(description="members whose metric is no different, as far as is known")
    not_better_than: str = Field(description="a baseline that it does not beat; else empty")
    is_stable: bool
    neck: str
    width: int
    depth: int
    finest: int
    lr: float
    weight_decay: float
    batch_size: int
    augment: str
    dropout: float
    freeze: bool
    loss: str
    weights: str
    weights_tag: str | None
    trained: str
    is_full: bool
    test: dict[str, float | None] | None


class FrontAnswer(Body):
    """The front of a study, fastest first."""

    study: str
    metric: str
    objectives: list[ObjectiveAnswer]
    limits: dict[str, float | None]
    under: dict[str, float] = Field(description="the limits of this request")
    members: list[MemberAnswer]
    named: dict[Literal["fastest", "knee", "best"], int] = Field(
        description="trials that have a name, which a front without any good member gives to none"
    )
    hypervolume: float | None
    reference: dict[str, float]
    baselines: dict[str, float] = Field(description="metrics of answers that need no image")
    notes: list[str] = Field(description="what ties, baselines and short trainings mean, in words")


class HistoryPoint(Body):
    """The front after one more training."""

    trial: int
    rung: int
    ended: float
    seconds: float = Field(description="in which the study ran, until then")
    hypervolume: float
    best: float = Field(description="the best metric so far")
    front: list[int] = Field(description="trials of the front, fastest first")


class HistoryAnswer(Body):
    """How the front of a study grew: a point per training that changed it, and the last one."""

    study: str
    metric: str
    reference: dict[str, float]
    points: list[HistoryPoint]


class RejectionRow(Body):
    """The trials over one limit; a trial over two limits counts in both."""

    limit: str
    allowed: float
    count: int
    least: float | None = Field(description="smallest excess, as a share of the limit")
    middle: float | None
    most: float | None
    smallest: float | None = Field(description="smallest value that was over")
    trials: list[int]


class FailureRow(Body):
    """The trials that failed for one reason."""

    kind: str
    message: str
    count: int
    trials: list[int]
    is_passing: bool = Field(description="whether the machine failed, so that it is tried again")


class RejectedAnswer(Body):
    """What was not trained, or not to its end, and why."""

    study: str
    n_rejected: int
    n_failed: int
    rejections: list[RejectionRow]
    failures: list[FailureRow]
    dropped: list[str] = Field(description="what was left out of the space before the search")


Why = Literal[
    "on_front",
    "trained",
    "rejected",
    "failed",
    "waiting",
    "not_proposed",
    "left_out",
    "unknown",
]


class WhyAnswer(Body):
    """Why a backbone was not tried, or what became of it."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "backbone": "vit_huge_patch14_224",
                    "why": "left_out",
                    "text": "vit_huge_patch14_224 (631 million parameters, of the family "
                    "vision_transformer) is left out: over space.params_m_max=30.",
                    "trials": [],
                }
            ]
        },
    )

    backbone: str
    why: Why
    text: str
    trials: list[int]
