"""Which splits are made of the parts that a dataset has, and how that is told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol, TypeVar

import numpy as np

from archfront.trainers.data.group_split import column_of, grouped, groups_of
from archfront.trainers.data.ref import DataRef
from archfront.trainers.data.split import completed, split_sizes, strata_of, stratified
from archfront.trainers.data.targets import Target, class_counts


class HasTarget(Protocol):
    """Something with the target of an image."""

    @property
    def target(self) -> Target:
        """Return what the image shows."""


class Divisible(HasTarget, Protocol):
    """What can be divided: something with name, target and group of an image."""

    @property
    def name(self) -> str:
        """Return the name of the image, with its folder."""

    @property
    def group(self) -> str:
        """Return what the data itself says that the image belongs to; empty for nothing."""


Named = TypeVar("Named", bound=Divisible)
Targeted = TypeVar("Targeted", bound=HasTarget)


def planned_splits(ref: DataRef, parts: Mapping[str, object]) -> dict[str, float]:
    """Return the splits to make of the first part, with their sizes; none if val is there."""
    wanted = {"train": ref.train, "val": ref.val, "test": ref.test}
    if "val" in parts:
        return {}
    if "test" in parts or ref.test == 0:
        del wanted["test"]
    shares = {name: value for name, value in wanted.items() if value < 1}
    if "test" in parts and ref.test < 1 and len(shares) == len(wanted):
        # The shares of train and val were meant beside that of test, which is already apart.
        rest = 1 - ref.test
        return {name: value / rest for name, value in wanted.items()}
    return wanted


def divided(
    parts: Mapping[str, list[Named]],
    plan: Mapping[str, float],
    *,
    seed: int,
    group: str | None = None,
) -> dict[str, list[Named]]:
    """Return the splits: the first part as planned, the others as they are.

    Args:
        parts: The images by the splits that the data itself has.
        plan: Splits to make of the first part, with their sizes; none to leave all as it is.
        seed: Decides which images go where.
        group: Pattern in the names of images that stay in one split; None for none.

    Raises:
        DataError: If there are too few images, or too few groups, for these splits.
    """
    if not plan:
        return dict(parts)
    first, *others = parts
    samples = parts[first]
    shown = [class_counts(sample.target) for sample in samples]
    strata = strata_of(shown, len(plan))
    if group is not None:
        sizes = split_sizes(len(samples), plan)
        names = [sample.name for sample in samples]
        if column_of(group) is None:
            groups = groups_of(names, group)
        else:
            said = [sample.group for sample in samples]
            groups = [one or f"image {name}" for one, name in zip(said, names, strict=True)]
        indices = grouped(groups, strata, sizes, seed=seed)
    else:
        sizes = split_sizes(len(samples), plan, least=len(np.unique(strata)))
        indices = completed(stratified(strata, list(sizes.values()), seed=seed), shown)
    made = {name: [samples[i] for i in idx] for name, idx in zip(sizes, indices, strict=True)}
    return {**made, **{name: parts[name] for name in others}}


def division_text(
    parts: Mapping[str, Sequence[object]],
    plan: Mapping[str, float],
    splits: Mapping[str, Sequence[object]],
    *,
    seed: int,
    group: str | None = None,
) -> str:
    """Return in words how the splits came about."""
    if not plan:
        return "as the data gives it" + ("" if group is None else ", without data.group")
    given = [name for name in parts if name not in ("all", "train")]
    beside = f"; {' and '.join(given)} as the data gives it" if given else ""
    if group is not None:
        n = f"groups by {group!r}, each in one split"
        return f"divided into {', '.join(plan)} with seed {seed}, {n}{beside}"
    asked = split_sizes(len(next(iter(parts.values()))), plan)
    enlarged = [name for name, size in asked.items() if len(splits[name]) > size]
    beyond = (
        f"; {' and '.join(enlarged)} enlarged beyond the asked share, to have each class"
        if enlarged
        else ""
    )
    return f"stratified into {', '.join(plan)} with seed {seed}{beyond}{beside}"
