"""What happened in a study, counted and put into words for its report."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from archfront.search.front.members import FrontMember
from archfront.search.records.evaluation import (
    Evaluation,
    Failed,
    Measurement,
    Prediction,
    Rejected,
    Trained,
    is_below_top,
)
from archfront.search.records.proposal import Proposal
from archfront.trainers.dataset_summary import DatasetSummary, ObjectSummary, SplitSummary
from archfront.trainers.words import join_words


@dataclass(frozen=True)
class Rejections:
    """The candidates over one limit; a candidate over two limits counts in both.

    Attributes:
        limit: Name of the limit.
        allowed: What it allows.
        count: Candidates over it.
        least: Smallest excess, as a share of the limit.
        middle: Median excess.
        most: Largest excess.
        smallest: Smallest value that was over.
    """

    limit: str
    allowed: float
    count: int
    least: float
    middle: float
    most: float
    smallest: float


def rejections(evaluations: Iterable[Evaluation]) -> list[Rejections]:
    """Return one row per limit that rejected candidates, the busiest first."""
    over: defaultdict[tuple[str, float], list[float]] = defaultdict(list)
    for evaluation in evaluations:
        if isinstance(evaluation.outcome, Rejected):
            for name, (value, allowed) in evaluation.outcome.exceeded.items():
                over[name, allowed].append(value)
    rows = [
        Rejections(
            limit=name,
            allowed=allowed,
            count=len(values),
            least=min(values) / allowed - 1,
            middle=median(values) / allowed - 1,
            most=max(values) / allowed - 1,
            smallest=min(values),
        )
        for (name, allowed), values in over.items()
    ]
    return sorted(rows, key=lambda row: (-row.count, row.limit))


def counts(
    evaluations: Iterable[Evaluation], waiting: Container[int] = frozenset()
) -> dict[str, int]:
    """Return the number of trials by outcome.

    Trained are those that were trained in full; of the others that were trained, where there are
    any, those that may be trained further are ``waiting``, and the rest is ``stopped``.

    Args:
        evaluations: All of a study.
        waiting: Trials that have not ended.
    """
    ends: dict[int, Evaluation] = {}
    for evaluation in evaluations:
        held = ends.setdefault(evaluation.trial, evaluation)
        if (evaluation.rung, evaluation.attempt) > (held.rung, held.attempt):
            ends[evaluation.trial] = evaluation
    below = {True: "waiting", False: "stopped"}
    kinds = [
        below[end.trial in waiting] if is_below_top(end) else end.kind for end in ends.values()
    ]
    found = {kind: kinds.count(kind) for kind in ("trained", "rejected", "failed")}
    return found | {kind: kinds.count(kind) for kind in below.values() if kind in kinds}


def expected_pairs(evaluations: Iterable[Evaluation]) -> list[tuple[Prediction, Measurement]]:
    """Return what was expected of latencies with what was measured then."""
    return [
        (evaluation.expected, evaluation.measurement)
        for evaluation in evaluations
        if evaluation.expected is not None
        and evaluation.measurement is not None
        and evaluation.rung == 0
    ]


def proposal_pairs(evaluations: Iterable[Evaluation]) -> list[tuple[Proposal, float]]:
    """Return what a sampler predicted of the metric with what a full training gave."""
    return [
        (evaluation.proposal, evaluation.outcome.metric)
        for evaluation in evaluations
        if evaluation.proposal is not None
        and evaluation.proposal.metric is not None
        and isinstance(evaluation.outcome, Trained)
        and evaluation.is_top
    ]


def failures(evaluations: Iterable[Evaluation]) -> dict[str, list[Evaluation]]:
    """Return the failed evaluations by kind, the most frequent kind first."""
    kinds: defaultdict[str, list[Evaluation]] = defaultdict(list)
    for evaluation in evaluations:
        if isinstance(evaluation.outcome, Failed):
            kinds[evaluation.outcome.kind].append(evaluation)
    return dict(sorted(kinds.items(), key=lambda item: (-len(item[1]), item[0])))


def tie_sentence(members: Sequence[FrontMember], metric: str) -> str:
    """Return what the ties mean for a choice: the fastest member that ties with the best one."""
    if len(members) < 2:
        return ""
    name = metric.replace("_", " ")
    best = max(members, key=lambda member: member.metric)
    tied = [member for member in members if member.trial in best.ties]
    if not tied:
        return (
            f"No other member is a statistical tie with the best one (trial {best.trial}): its "
            f"{name} is higher by more than chance explains."
        )
    fastest = min(tied, key=lambda member: member.latency_ms)
    trials = join_words([str(member.trial) for member in tied])
    saved = 1 - fastest.latency_ms / best.latency_ms
    gain = f", {saved:.0%} less" if saved >= 0.005 else ""
    who = (
        f"The fastest of them, trial {fastest.trial},"
        if len(tied) > 1
        else f"Trial {fastest.trial}"
    )
    return (
        f"On these validation images the {name} of the best (trial {best.trial}) cannot be told "
        f"apart from that of trial{'s' if len(tied) > 1 else ''} {trials}: a statistical tie. "
        f"{who} takes {fastest.latency_ms:.3g} ms{gain}."
    )


def provisional_sentence(members: Sequence[FrontMember]) -> str:
    """Return what it means that members were not trained in full; empty where all were."""
    lower = [member for member in members if not member.is_full]
    if not lower:
        return ""
    trials = join_words([str(member.trial) for member in lower])
    if len(lower) == len(members):
        start = "The front is provisional: no member was trained in full."
    else:
        start = f"Not trained in full: trial{'s' if len(lower) > 1 else ''} {trials}."
    whose, them = "Their metrics are those of the networks as they are", "them"
    if len(lower) == 1:
        whose, them = "Its metrics are those of the network as it is", "it"
    return f"{start} {whose}; more minutes, or 'archfront refit', train {them} further."


def class_rows(dataset: DatasetSummary) -> list[tuple[str, dict[str, int], int]]:
    """Return name, number per split and number in all of each class of a dataset's summary.

    ``counted`` of the summary says what the numbers are of.
    """
    rows = []
    for name in dataset.class_names:
        counts = {split: part.per_class.get(name, 0) for split, part in dataset.splits.items()}
        rows.append((name, counts, sum(counts.values())))
    return rows


def dataset_facts(dataset: DatasetSummary) -> dict[str, str]:
    """Return the lines about a dataset that are not a table."""
    facts = {}
    if dataset.splits:
        facts["images"] = join_words([f"{s.images:,} {n}" for n, s in dataset.splits.items()])
    if dataset.class_names:
        facts["classes"] = f"{len(dataset.class_names):,}"
    if dataset.objects is not None:
        facts |= _object_facts(dataset.objects, dataset.splits)
    if dataset.channels is not None:
        facts["channels"] = f"{dataset.channels} ({_color(dataset.channels)})"
    for side, spread in dataset.sizes.items():
        low, middle, high = (f"{end:g}" for end in (spread.min, spread.median, spread.max))
        facts[side] = f"{low} px" if low == high else f"{low} to {high} px, median {middle}"
    if dataset.division:
        facts["division"] = dataset.division
    if dataset.fingerprint is not None:
        facts["fingerprint"] = dataset.fingerprint
    return facts


def _object_facts(objects: ObjectSummary, splits: Mapping[str, SplitSummary]) -> dict[str, str]:
    """Return how many objects there are, how many in an image and of which size."""
    per_image, share = objects.per_image, objects.side_share
    counts = [f"{sum(part.per_class.values()):,} {name}" for name, part in splits.items()]
    return {
        "objects": join_words(counts),
        "objects per image": (
            f"{per_image.min:g} to {per_image.max:g}, median {per_image.median:g}"
        ),
        "object size": (
            f"median {share.median:.1%} of the image's longer side; 8 in 10 from "
            f"{share.p10:.1%} to {share.p90:.1%}"
        ),
    }


def _color(channels: int) -> str:
    return "gray" if channels == 1 else "color"
