"""The splits that a study would have of the images that can be used."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from archfront.search.profile.gather import Entry
from archfront.trainers.data.checks import class_problems, without_unlabeled_test
from archfront.trainers.data.divide import divided, division_text, planned_splits
from archfront.trainers.data.loading import ORDER
from archfront.trainers.data.raw import RawData, Skipped
from archfront.trainers.data.ref import DataRef
from archfront.trainers.data.targets import Target, relabeled
from archfront.trainers.errors import DataError


@dataclass(frozen=True, eq=False, slots=True)
class _Usable:
    """An image with what is left of its target without the classes that cannot be used."""

    entry: Entry
    target: Target

    @property
    def name(self) -> str:
        """Return the name of the image."""
        return self.entry.name

    @property
    def group(self) -> str:
        """Return what the data itself says that the image belongs to."""
        return self.entry.group


@dataclass(frozen=True)
class Divided:
    """The images that can be used, by split.

    Attributes:
        splits: Rows of ``Gathered`` by split.
        division: How the splits came about, for people.
        is_given: Whether the data itself has all splits.
        class_problems: Classes that cannot be learned or scored.
    """

    splits: dict[str, list[Entry]]
    division: str
    is_given: bool
    class_problems: list[Skipped]

    def split_of(self, n: int) -> list[str]:
        """Return the split of each of n rows; empty for those in none."""
        names = [""] * n
        for name, entries in self.splits.items():
            for entry in entries:
                names[entry.index] = name
        return names


def divide(ref: DataRef, raw: RawData, entries: Sequence[Entry]) -> Divided:
    """Return the splits that a study has of the images that can be used."""
    by_part: dict[str, list[Entry]] = {part: [] for part in ORDER if part in raw.parts}
    for entry in entries:
        by_part[entry.part].append(entry)
    by_part, unlabeled = without_unlabeled_test(by_part)
    plan = planned_splits(ref, by_part)
    problems = class_problems(by_part, raw.class_names, splits=list(plan) or ["train"])
    kept = {label: label for label in range(len(raw.class_names)) if label not in problems}
    usable: dict[str, list[_Usable]] = {}
    for part, some in by_part.items():
        left = (
            (entry, relabeled(entry.target, kept) if problems else entry.target) for entry in some
        )
        usable[part] = [_Usable(entry, target) for entry, target in left if target is not None]
    first = next(iter(usable))
    if not usable[first]:
        why = (
            "no class has enough images" if by_part[first] else f"no image of {first} can be used"
        )
        rest = {part: some for part, some in by_part.items() if some}
        return Divided(rest, f"not divided: {why}", True, [*problems.values()])
    try:
        splits = divided(usable, plan, seed=ref.split_seed, group=ref.group)
        text = division_text(usable, plan, splits, seed=ref.split_seed, group=ref.group)
    except DataError as error:
        splits, text = usable, f"not divided: {error}"
    return Divided(
        {name: [one.entry for one in some] for name, some in splits.items()},
        text,
        not plan,
        [*problems.values(), *unlabeled],
    )
