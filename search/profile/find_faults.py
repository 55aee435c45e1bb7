"""The faults of a dataset, each as a sentence with what to do, the worst first."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from archfront.search.profile.copy_faults import contradicting, find_copies, leaks, repeated
from archfront.search.profile.divided import Divided
from archfront.search.profile.faults import Fault, FaultKind
from archfront.search.profile.gather import Entry, Gathered
from archfront.search.profile.near_copies import equal_groups
from archfront.search.profile.split_rows import N_NAMED, SplitRows, fault
from archfront.search.profile.stored_rows import SomeRows
from archfront.search.profile.torn_groups import Shown, TornGroups, torn_groups
from archfront.trainers.data.checks import EMPTY
from archfront.trainers.data.raw import RawData, Skipped
from archfront.trainers.data.readers.paths import SPLIT_NAMES
from archfront.trainers.data.targets import class_counts
from archfront.trainers.words import count_of

# An image is odd when its area is so many times the median, up or down, and few are.
ODD_AREA, ODD_SHARE = 16, 0.02


def find_faults(raw: RawData, found: Gathered, division: Divided) -> tuple[Fault, ...]:
    """Return what is wrong with a dataset, the worst first.

    Args:
        raw: What the reader gave.
        found: What one pass over the images found.
        division: The splits.
    """
    splits = division.split_of(len(found.entries))
    rows = SplitRows(found.entries, splits)
    torn = _torn_groups(found, splits)
    copies = find_copies(found, [row for group in (torn.groups if torn else []) for row in group])
    faults = [
        *_broken([*found.problems, *raw.broken]),
        *contradicting(rows, copies),
        *leaks(rows, copies),
        *_torn(rows, torn, is_given=division.is_given),
        *_classes(division.class_problems),
        *repeated(rows, copies),
        *_odd_sizes(rows),
    ]
    return tuple(faults)


def _torn_groups(found: Gathered, splits: Sequence[str]) -> TornGroups | None:
    """Return the groups that the splits tear apart, found without the copies of an image."""
    copies = {row for group in equal_groups(found.keys) for row in group[1:]}
    unique = np.array([row for row in range(len(found.keys)) if row not in copies], np.int64)
    entries = [found.entries[row] for row in unique]
    torn = torn_groups(
        Shown(
            [_without_split(entry.name) for entry in entries],
            [_compared(entry) for entry in entries],
            [splits[row] for row in unique],
            SomeRows(found.thumbs, unique),
            found.traits[unique],
        )
    )
    if torn is None:
        return None
    return replace(torn, groups=[unique[group].tolist() for group in torn.groups])


def _without_split(name: str) -> str:
    """Return the name of an image without the folders that say in which split it is."""
    *folders, file = name.split("/")
    return "/".join([*(f for f in folders if f.lower() not in SPLIT_NAMES), file])


def _compared(entry: Entry) -> object:
    """Return what images have to share to be compared: the classes that they show."""
    return frozenset(class_counts(entry.target))


def _torn(rows: SplitRows, torn: TornGroups | None, *, is_given: bool) -> list[Fault]:
    """Return the fault of groups that lie in several splits."""
    if torn is None:
        return []
    n = sum(map(len, torn.groups))
    if torn.pattern is None:
        what = f"{count_of(n, 'image')} that are numbered one after the other"
        remedy = "Give each split a block of consecutive numbers, in folders of its own"
    else:
        what = f"{count_of(n, 'image')} of {count_of(len(torn.groups), 'group')} by name"
        remedy = (
            "Move each group to one split"
            if is_given
            else f"Keep each group in one split: data.group={torn.pattern}"
        )
    return [
        fault(
            "groups torn apart",
            n,
            f"{what} lie in several splits and are alike, as frames of one video are: "
            f"{rows.names(_across(rows, torn.groups[0]))}",
            f"{remedy}; now the metric says how well the groups are known, and not new ones",
            [rows.refs(_across(rows, group)) for group in torn.groups],
        )
    ]


def _across(rows: SplitRows, group: Sequence[int]) -> list[int]:
    """Return the rows of a group, the first of each split before all others."""
    firsts = list({rows.splits[row]: row for row in reversed(group)}.values())[::-1]
    return [*firsts, *(row for row in group if row not in firsts)]


def _broken(problems: Sequence[Skipped]) -> list[Fault]:
    """Return the faults of files and annotations that cannot be used."""
    kinds: dict[FaultKind, list[Skipped]] = {"broken files": [], "broken annotations": []}
    for problem in problems:
        is_file = problem.reason in ("broken image", "broken mask")
        kinds["broken files" if is_file else "broken annotations"].append(problem)
    faults = []
    for kind, some in kinds.items():
        if some:
            reasons = Counter(problem.reason for problem in some)
            shown = ", ".join(f"{reason}: {count:,}" for reason, count in reasons.most_common(4))
            first = some[0]
            name = "" if first.name in first.detail else f"{first.name}: "
            faults.append(
                fault(
                    kind,
                    len(some),
                    f"{count_of(len(some), 'file' if kind == 'broken files' else 'problem')} "
                    f"({shown}), as {name}{first.detail}",
                    "Repair or remove them; data.on_error=skip leaves them out of a study",
                )
            )
    return faults


def _classes(problems: Sequence[Skipped]) -> list[Fault]:
    """Return the faults of classes that cannot be learned or scored."""
    empty = [problem.name for problem in problems if problem.reason == EMPTY]
    others = [problem for problem in problems if problem.reason != EMPTY]
    faults = []
    if empty:
        named = ", ".join(map(repr, empty[:N_NAMED])) + (", ..." if len(empty) > N_NAMED else "")
        faults.append(
            fault(
                "empty classes",
                len(empty),
                f"{count_of(len(empty), 'class', 'classes')} without any image ({named})",
                "Add images or remove them; a head would have outputs that nothing teaches",
            )
        )
    if others:
        faults.append(
            fault(
                "unusable classes",
                len(others),
                f"{count_of(len(others), 'class or split', 'classes or splits')} that cannot be "
                f"learned or scored: {others[0].detail}",
                "Mend that, or leave them out with data.on_error=skip",
            )
        )
    return faults


def _odd_sizes(rows: SplitRows) -> list[Fault]:
    """Return the fault of few images that are much larger or smaller than the others."""
    entries = rows.entries
    areas = np.array([entry.size[0] * entry.size[1] for entry in entries], np.float64)
    middle = float(np.median(areas))
    odd = np.flatnonzero((areas > ODD_AREA * middle) | (areas * ODD_AREA < middle))
    if not len(odd) or len(odd) > max(1, ODD_SHARE * len(entries)):
        return []
    order = sorted(odd.tolist(), key=lambda row: -abs(math.log(areas[row] / middle)))
    first, usual = entries[order[0]], entries[int(np.argsort(areas)[len(areas) // 2])]
    return [
        fault(
            "odd image sizes",
            len(order),
            f"{count_of(len(order), 'image has', 'images have')} another size than the others, as "
            f"{first.name} with {first.size[0]:,} x {first.size[1]:,} px where "
            f"{usual.size[0]:,} x {usual.size[1]:,} px are usual",
            "Crop, tile or scale them like the others: all are resized to one input size, so what "
            "they show would be of another size",
            [rows.refs([row]) for row in order],
        )
    ]
