"""Rows of images by split, named for people, and the fault that they make."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from archfront.search.profile.faults import Fault, FaultKind, ImageRef
from archfront.search.profile.gather import Entry

# Groups of images that a fault shows, images of each, and names in its text.
N_GROUPS, N_IN_GROUP, N_NAMED = 12, 4, 3


@dataclass(frozen=True)
class SplitRows:
    """Images and the split of each; empty for those in none."""

    entries: Sequence[Entry]
    splits: Sequence[str]

    def splits_of(self, rows: Iterable[int]) -> list[str]:
        """Return the names of the splits in which rows lie, in alphabetical order."""
        return sorted({self.splits[row] for row in rows} - {""})

    def refs(self, rows: Sequence[int]) -> tuple[ImageRef, ...]:
        """Return the first of some rows as images to show."""
        entries = [self.entries[row] for row in rows[:N_IN_GROUP]]
        return tuple(ImageRef(self.splits[e.index] or e.part, e.name) for e in entries)

    def names(self, rows: Sequence[int]) -> str:
        """Return the names of the first of some rows, each with its split."""
        named = [f"{ref.name} ({ref.split})" for ref in self.refs(rows)[:N_NAMED]]
        return ", ".join([*named, *(["..."] if len(rows) > N_NAMED else [])])


def fault(
    kind: FaultKind,
    count: int,
    text: str,
    remedy: str,
    groups: Sequence[tuple[ImageRef, ...]] = (),
) -> Fault:
    """Return a fault whose text and remedy are sentences without their full stop."""
    return Fault(kind, count, f"{text}.", f"{remedy}.", tuple(groups[:N_GROUPS]))
