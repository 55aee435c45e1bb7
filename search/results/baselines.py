"""The answers that need no image: what a model has to be better than."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from archfront.search.front.members import Baseline, FrontMember
from archfront.search.records.header import StudyHeader
from archfront.trainers.tasks import TASKS
from archfront.trainers.words import join_words


def baselines(header: StudyHeader) -> dict[str, float]:
    """Return the metric of each baseline on the validation split, the best first.

    They follow from the classes that the header counts; one that does not, has none.
    """
    split = header.dataset.splits.get("val")
    if split is None or not sum(split.per_class.values()):
        return {}
    counts = header.dataset.class_counts("val")
    found = TASKS[header.task].baselines(header.metric, counts, split.images)
    return dict(sorted(found.items(), key=lambda item: -item[1]))


def best_baseline(header: StudyHeader) -> Baseline | None:
    """Return the best baseline of a study; None where it has none."""
    found = baselines(header)
    return Baseline(*next(iter(found.items()))) if found else None


def baseline_line(values: Mapping[str, float], metric: str) -> str:
    """Return one line on what needs no image, to stand below a front; empty without any."""
    if not values:
        return ""
    words = join_words([f"{name} {value:.4f}" for name, value in values.items()])
    return f"Without looking at an image, {metric.replace('_', ' ')}: {words}."


def warnings(members: Sequence[FrontMember]) -> list[str]:
    """Return a plain warning about each member that is not better than a baseline."""
    return [
        f"warning: trial {member.trial} is not better than {member.not_better_than}: its "
        f"interval {member.metric_low:.4f} to {member.metric_high:.4f} does not lie above it."
        for member in members
        if member.not_better_than
    ]
