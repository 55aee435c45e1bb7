"""The faults of copies: across splits, within one, and with contradicting annotations."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from archfront.search.profile.faults import Fault, FaultKind
from archfront.search.profile.gather import Gathered
from archfront.search.profile.near_copies import Look, equal_groups, near_pairs
from archfront.search.profile.split_rows import SplitRows, fault
from archfront.trainers.data.targets import Mask, Objects, class_counts
from archfront.trainers.words import count_of, join_words

SAME = 0.5  # IoU above which boxes of two copies are of the same object


@dataclass(frozen=True)
class Copies:
    """Images that are copies of each other.

    Attributes:
        rows: The images.
        is_equal: Whether their pixels are equal.
        contradict: Whether their annotations differ.
    """

    rows: list[int]
    is_equal: bool
    contradict: bool


def find_copies(found: Gathered, apart: Iterable[int]) -> list[Copies]:
    """Return groups of equal images, then of near copies.

    Args:
        found: What one pass over the images found.
        apart: Rows that are not compared, since it is known that they are alike.
    """
    equal = equal_groups(found.keys)
    first_of = {row: group[0] for group in equal for row in group}
    left_out = set(apart)
    unique = [
        row
        for row in range(len(found.entries))
        if first_of.get(row, row) == row and row not in left_out
    ]
    shorter = np.array([min(entry.size) for entry in found.entries], np.int64)
    pairs = near_pairs(Look(found.thumbs, found.traits[:, :3], shorter), unique)
    members = {group[0]: group for group in equal}
    near = [
        [row for first in group for row in members.get(first, [first])]
        for group in _connected(pairs)
    ]
    return [
        *(Copies(rows, True, _contradict(found, rows, is_equal=True)) for rows in equal),
        *(Copies(rows, False, _contradict(found, rows, is_equal=False)) for rows in near),
    ]


def _connected(pairs: Iterable[tuple[int, int]]) -> list[list[int]]:
    """Return the rows that pairs connect, each group ascending."""
    above: dict[int, int] = {}

    def top(row: int) -> int:
        while above.setdefault(row, row) != row:
            above[row] = above[above[row]]
            row = above[row]
        return row

    for first, second in pairs:
        low, high = sorted((top(first), top(second)))
        above[high] = low
    groups: defaultdict[int, list[int]] = defaultdict(list)
    for row in sorted(above):
        groups[top(row)].append(row)
    return list(groups.values())


def _contradict(found: Gathered, rows: Sequence[int], *, is_equal: bool) -> bool:
    """Return whether copies say different things: labels, or of equal images what is where."""
    targets = [found.entries[row].target for row in rows]
    if isinstance(targets[0], Mask):
        return is_equal and len({t.digest for t in targets if isinstance(t, Mask)}) > 1
    if isinstance(targets[0], Objects) and not is_equal:
        return False
    if len({tuple(sorted(class_counts(target).items())) for target in targets}) > 1:
        return True
    shown = [target for target in targets if isinstance(target, Objects)]
    return any(_is_alone(shown[0], one) or _is_alone(one, shown[0]) for one in shown[1:])


def _is_alone(some: Objects, others: Objects) -> bool:
    """Return whether some object has no partner: one of its class with enough in common."""
    partners, labels = others.boxes[~others.crowd], others.labels[~others.crowd]
    areas = np.prod(partners[:, 2:] - partners[:, :2], axis=1)
    single = ~some.crowd
    for box, label in zip(some.boxes[single], some.labels[single], strict=True):
        low, high = np.maximum(box[:2], partners[:, :2]), np.minimum(box[2:], partners[:, 2:])
        shared = np.prod((high - low).clip(0), axis=1)
        union = np.prod(box[2:] - box[:2]) + areas - shared
        if not ((shared > SAME * union) & (labels == label)).any():
            return True
    return False


def contradicting(rows: SplitRows, copies: Sequence[Copies]) -> list[Fault]:
    """Return the fault of copies whose annotations differ."""
    groups = [one.rows for one in copies if one.contradict]
    if not groups:
        return []
    n = sum(map(len, groups))
    return [
        fault(
            "contradicting labels",
            n,
            f"{count_of(n, 'image')} in {count_of(len(groups), 'group')} of copies have different "
            f"annotations, as {rows.names(groups[0])}",
            "Look at them and keep the right one; no network can learn both",
            [rows.refs(group) for group in groups],
        )
    ]


def leaks(rows: SplitRows, copies: Sequence[Copies]) -> list[Fault]:
    """Return the faults of copies that lie in several splits."""

    def several(groups: Sequence[list[int]]) -> str:
        between = Counter(join_words(rows.splits_of(group)) for group in groups)
        where = (f"{count_of(n, 'group')} in {names}" for names, n in between.most_common())
        return f"several splits ({', '.join(where)})"

    return _of_kinds(
        rows,
        [one for one in copies if len(rows.splits_of(one.rows)) > 1],
        ("copies across splits", "near copies across splits"),
        several,
        "Keep one of each group, or move each group to one split: what a network has learned by "
        "heart looks good in the other",
    )


def repeated(rows: SplitRows, copies: Sequence[Copies]) -> list[Fault]:
    """Return the faults of copies within one split that say the same."""
    within = (one for one in copies if len(rows.splits_of(one.rows)) == 1)
    return _of_kinds(
        rows,
        [one for one in within if not one.contradict],
        ("copies within a split", "near copies within a split"),
        lambda _: "one split",
        "Keep one of each group, unless it is to weigh more",
    )


def _of_kinds(
    rows: SplitRows,
    copies: Sequence[Copies],
    kinds: tuple[FaultKind, FaultKind],
    place: Callable[[Sequence[list[int]]], str],
    remedy: str,
) -> list[Fault]:
    """Return the fault of equal copies and that of near ones, where there are some.

    Args:
        rows: The images.
        copies: Those that the faults are of.
        kinds: Of equal copies and of near ones.
        place: Returns in words where groups lie.
        remedy: What to do, as a sentence.
    """
    faults = []
    whats = ("with equal pixels", "that hardly differ")
    for kind, is_equal, what in zip(kinds, (True, False), whats, strict=True):
        groups = [one.rows for one in copies if one.is_equal is is_equal]
        if groups:
            n = sum(map(len, groups))
            text = f"{count_of(n, 'image')} {what} lie in {place(groups)}"
            text += f", as {rows.names(groups[0])}"
            faults.append(fault(kind, n, text, remedy, [rows.refs(group) for group in groups]))
    return faults
