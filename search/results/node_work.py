"""What each node of a cluster did for a study, and what waiting cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from archfront.search.records.evaluation import Evaluation, Trained
from archfront.search.records.seconds import active_seconds, waiting_seconds
from archfront.trainers.words import count_of, duration

# The name of what ran on no node of a cluster.
DRIVER = "the driver's machine"


@dataclass(frozen=True)
class NodeWork:
    """The work of a node.

    Attributes:
        node: Its name.
        n_trained: Trainings that came to their end there, of each rung.
        training_s: Their seconds.
        n_measured: Measurements there.
        measuring_s: Their seconds.
        busy: Jobs at a time there, on average over the time in which any trial was in flight.
    """

    node: str
    n_trained: int
    training_s: float
    n_measured: int
    measuring_s: float
    busy: float

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain values."""
        return asdict(self)

    def __str__(self) -> str:
        """Return it in a line."""
        return (
            f"{self.node}: {count_of(self.n_trained, 'training')} in {duration(self.training_s)}, "
            f"{count_of(self.n_measured, 'measurement')} in {duration(self.measuring_s)}, "
            f"{self.busy:.2f} jobs at a time"
        )


def node_work(evaluations: Sequence[Evaluation]) -> list[NodeWork]:
    """Return the work of each node by name; none of a study that no cluster ran.

    What failed counts with neither its job nor its seconds, nor what the end of a study measures
    again.
    """
    training: dict[str | None, list[float]] = {}
    measuring: dict[str | None, list[float]] = {}
    for e in evaluations:
        if isinstance(e.outcome, Trained):
            training.setdefault(e.trained_on, []).append(e.outcome.seconds)
        # Without a node it is a latency that was known, also of another trial.
        if e.rung == 0 and e.measurement is not None and e.measured_on is not None:
            measuring.setdefault(e.measured_on, []).append(e.measurement.seconds)
    names = {*training, *measuring}
    if not names - {None}:
        return []
    active_s = active_seconds(evaluations)
    return [
        NodeWork(
            name or DRIVER,
            len(training.get(name, [])),
            sum(training.get(name, [])),
            len(measuring.get(name, [])),
            sum(measuring.get(name, [])),
            (sum(training.get(name, [])) + sum(measuring.get(name, []))) / max(active_s, 1e-9),
        )
        for name in sorted(names, key=lambda name: (name is None, name or ""))
    ]


def waiting_sentence(evaluations: Sequence[Evaluation]) -> str:
    """Return in words what trained candidates waited; empty where none were trained."""
    trained = [e for e in evaluations if isinstance(e.outcome, Trained)]
    total_s, waited_s = sum(e.seconds for e in trained), sum(map(waiting_seconds, trained))
    if not total_s:
        return ""
    return (
        f"Trained candidates were in flight for {duration(total_s)} in all, of which they waited "
        f"{duration(waited_s)} ({waited_s / total_s:.0%}): for a node that is free, or since a "
        "node was lost and their job was done again."
    )
