"""The records of a study, written once and never changed."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

from archfront.search.records.candidate import Candidate
from archfront.search.records.codec import LEFT_OUT, decode, encode
from archfront.search.records.failure_kinds import PASSING, FailureKind
from archfront.search.records.image_tiles import ImageTiles
from archfront.search.records.proposal import Proposal

# Values that a measurement has only where they were asked for or cost little.
SOMETIMES = ("memory_mb", "throughput_ips", "energy_mj")
OutcomeKind = Literal["trained", "rejected", "failed"]


@dataclass(frozen=True)
class Latency:
    """The time of one prediction on one device, as measured on the exported artifact.

    Of images that are cut into tiles it is the time of all tiles of one, and of putting their
    answers together.

    Attributes:
        p50_ms: Median of the repeats.
        p95_ms: 95th percentile of the repeats.
        spread: Interquartile range over the median.
        repeats: Timed runs.
        warmup: Runs before them.
        threads: Intra-op threads of the runtime.
        batch_size: Images per run.
        runtime: Key of ``search.latency.RUNTIMES``.
        runtime_version: Version of the runtime's library.
        precision: Numeric precision of the artifact.
        device: Id of the device's fingerprint.
        exporter: What exported the network; ``none`` for eager.
        is_stable: Whether the two halves of the repeats agree and nothing interfered.
        source: ``measured`` in this study, ``remembered`` from the device's table, ``imported``.
        affinity: Logical cores that the process might run on; None where that is not known.
        interval: Half the 95 % confidence interval of the median, over the median.
        drift: Relative change of the reference kernel from before to after.
        parity: Largest difference of the artifact from eager, in units of the outputs' spread.
        tiles: The predictions that it is the time of; None for a single one.
    """

    p50_ms: float
    p95_ms: float
    spread: float
    repeats: int
    warmup: int
    threads: int
    batch_size: int
    runtime: str
    runtime_version: str
    precision: str
    device: str
    exporter: str
    is_stable: bool
    source: Literal["measured", "remembered", "imported"] = "measured"
    affinity: tuple[int, ...] | None = None
    interval: float | None = None
    drift: float | None = None
    parity: float | None = None
    tiles: ImageTiles | None = field(default=None, metadata={LEFT_OUT: True})


@dataclass(frozen=True)
class Measurement:
    """What is known of an architecture before training, each value a possible limit.

    Attributes:
        latency: Time of one prediction; its ``p50_ms`` is ``latency_ms``.
        params_m: Parameters in millions.
        macs_g: Multiply-accumulates of one image in billions.
        size_mb: Size of the artifact file (of the float32 state for eager) in 10^6 bytes.
        seconds: What building, exporting and measuring took.
        memory_mb: Peak memory of loading and running the artifact, in 10^6 bytes; None where it
            was not measured, as the next ones.
        throughput_ips: Images per second, so many at a time:
        throughput_batch: ``hardware.throughput_batch`` as it was then.
        energy_mj: Energy of one image in millijoules.
    """

    latency: Latency
    params_m: float
    macs_g: float
    size_mb: float
    seconds: float
    memory_mb: float | None = None
    throughput_ips: float | None = None
    throughput_batch: int | None = None
    energy_mj: float | None = None

    def value(self, name: str) -> float:
        """Return the measured value of a limit or objective by its configuration name.

        NaN where it was not measured.
        """
        value = self.latency.p50_ms if name == "latency_ms" else getattr(self, name)
        return math.nan if value is None else float(value)

    def has(self, names: Iterable[str]) -> bool:
        """Return whether every one of these values was measured."""
        return not any(math.isnan(self.value(name)) for name in names)


@dataclass(frozen=True)
class Prediction:
    """What the latency of an architecture was expected to be before it was measured, in ms.

    Attributes:
        p50_ms: The expected p50.
        low_ms: Lower end of the band that nine of ten lie in.
        high_ms: Its upper end.
        least_ms: What nearly none is faster than.
    """

    p50_ms: float
    low_ms: float
    high_ms: float
    least_ms: float

    def __str__(self) -> str:
        """Return it for people, as ``4.2 ms (3.6 to 4.9)``."""
        return f"{self.p50_ms:.3g} ms ({self.low_ms:.3g} to {self.high_ms:.3g})"


@dataclass(frozen=True)
class Fidelity:
    """How far a training went: what a metric is of.

    Attributes:
        epochs: Epochs that were trained; 0 for a solved head on a frozen backbone.
        horizon: Epochs of a full training.
        share: Share of the training images that an epoch sees.
        kept_epoch: The epoch whose weights are kept.
    """

    epochs: int
    horizon: int
    share: float
    kept_epoch: int

    @property
    def is_full(self) -> bool:
        """Return whether this is a full training."""
        return self.epochs == self.horizon

    def __str__(self) -> str:
        """Return it for people, as ``probe`` or ``2 of 6 epochs``."""
        if self.epochs == 0:
            return "probe"
        if self.kept_epoch == 0:
            return f"probe (kept over {self.epochs} of {self.horizon} epochs)"
        of = f"{self.epochs} of {self.horizon} epochs"
        return of if self.share == 1 else f"{of} of {self.share:.2g} of the images"


@dataclass(frozen=True)
class Trained:
    """A finished training.

    Attributes:
        metric: The study's metric on the validation split.
        metric_low: Lower end of its bootstrap interval.
        metric_high: Upper end of its bootstrap interval.
        metrics: Every metric of the task.
        curve: One mapping per epoch: epoch, train_loss, lr, seconds, metrics.
        seconds: Wall seconds of training and validation, without those in which a measurement
            held it up, and without those of the rungs below.
        predictions: Path of the validation predictions, relative to the study's folder.
        weights: Path of the weights, relative to the study's folder.
        resume: Path of what a training goes on from, relative to it; None at the top rung.
        micro_batch: Images that went through the network at a time, where memory did not hold a
            whole batch. With norms over the batch that is another recipe than was asked for.
        fidelity: How far the training went; None in studies whose front is of full trainings only.
        knn: Share of the training images that their nearest neighbor's label fits, by the features
            of a probe; None of other trainings.
    """

    metric: float
    metric_low: float
    metric_high: float
    metrics: dict[str, float]
    curve: tuple[dict[str, Any], ...]
    seconds: float
    predictions: str
    weights: str
    resume: str | None = None
    micro_batch: int | None = None
    fidelity: Fidelity | None = None
    knn: float | None = field(default=None, metadata={LEFT_OUT: True})


@dataclass(frozen=True)
class Rejected:
    """A candidate over a limit: no training second was spent on it.

    Attributes:
        exceeded: ``{limit: (value, allowed)}`` of every limit that was exceeded.
        is_predicted: It was not measured: the value is the least that was to be expected.
    """

    exceeded: dict[str, tuple[float, float]]
    is_predicted: bool = False

    def __str__(self) -> str:
        """Return which limits were exceeded and by how much."""
        word = "of at least (predicted) " if self.is_predicted else ""
        parts = (
            f"{name} could not be measured, {allowed:g} is allowed"
            if math.isnan(value)
            else f"{name} {word}{value:.3g} is over {allowed:g} by {value / allowed - 1:.0%}"
            for name, (value, allowed) in self.exceeded.items()
        )
        return "; ".join(parts)


@dataclass(frozen=True)
class Failed:
    """A candidate that could not be measured or trained, in a person's words.

    ``is_remembered``: it was not tried, since the architecture is known to fail on this device.
    """

    kind: FailureKind
    message: str
    is_remembered: bool = False

    @property
    def is_passing(self) -> bool:
        """Return whether the machine failed, so that another run tries the candidate again."""
        return self.kind in PASSING and not self.is_remembered

    def __str__(self) -> str:
        """Return the kind and the reason."""
        return f"{self.kind}: {self.message}"


Outcome = Trained | Rejected | Failed


@dataclass(frozen=True)
class Evaluation:
    """What one attempt at one candidate on one rung gave: the unit of record.

    Attributes:
        trial: Number of the Optuna trial.
        candidate: What was tried.
        rung: Index of the fidelity, 0 the lowest.
        seed: Seed of the training.
        attempt: 0 for the first try; counts up when a driver died during one.
        measurement: None when measuring failed.
        outcome: Exactly one of trained, rejected, failed.
        started: Seconds since the epoch.
        seconds: Wall seconds from proposal to outcome; from the rung below on a higher one.
        expected: The latency that was expected before it was measured; None where nothing could
            be expected, or it was not measured in this study.
        proposal: Why it was proposed; None from a sampler that does not say.
        n_rungs: How many rungs the study has.
        trained_on: Name of the cluster's node that trained it; None on the driver's machine.
        measured_on: The same of its measurement in this study.
    """

    trial: int
    candidate: Candidate
    rung: int
    seed: int
    attempt: int
    measurement: Measurement | None
    outcome: Outcome
    started: float
    seconds: float
    expected: Prediction | None = None
    proposal: Proposal | None = None
    n_rungs: int = 1
    trained_on: str | None = field(default=None, metadata={LEFT_OUT: True})
    measured_on: str | None = field(default=None, metadata={LEFT_OUT: True})

    @property
    def is_top(self) -> bool:
        """Return whether this was the top rung: a full training."""
        return self.rung == self.n_rungs - 1

    @property
    def can_join_front(self) -> bool:
        """Return whether this is a network of a front: trained, in full where that is asked."""
        outcome = self.outcome
        return isinstance(outcome, Trained) and (self.is_top or outcome.fidelity is not None)

    @property
    def kind(self) -> OutcomeKind:
        """Return which of the three outcomes this is."""
        return _KINDS[type(self.outcome)]

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON content; ``from_dict`` gives the equal record back."""
        return {**encode(self), "kind": self.kind}

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> Evaluation:
        """Return the record whose ``as_dict`` some content is.

        Raises:
            ValueError: If it is none.
        """
        # The outcome says itself of which kind it is: no two kinds have the same keys.
        return decode(cls, {key: value for key, value in content.items() if key != "kind"})


_KINDS: dict[type, OutcomeKind] = {Trained: "trained", Rejected: "rejected", Failed: "failed"}


def trained_outcome(evaluation: Evaluation) -> Trained:
    """Return the outcome of a trained candidate.

    Raises:
        ValueError: If the candidate was rejected or failed.
    """
    if not isinstance(evaluation.outcome, Trained):
        raise ValueError(f"Trial {evaluation.trial} was {evaluation.kind}, not trained.")
    return evaluation.outcome


def is_below_top(evaluation: Evaluation) -> bool:
    """Return whether a candidate was trained, but not in full."""
    return isinstance(evaluation.outcome, Trained) and not evaluation.is_top


def is_passing(evaluation: Evaluation) -> bool:
    """Return whether the machine failed in an attempt, so that another run tries it again."""
    return isinstance(evaluation.outcome, Failed) and evaluation.outcome.is_passing


def counted(evaluations: Iterable[Evaluation]) -> list[Evaluation]:
    """Return evaluations without those in which the machine failed and that were repeated.

    Args:
        evaluations: Those of a candidate in their order, whatever is between them.
    """
    found = list(evaluations)
    last = {evaluation.candidate.id: evaluation for evaluation in found}
    return [e for e in found if not is_passing(e) or e is last[e.candidate.id]]
