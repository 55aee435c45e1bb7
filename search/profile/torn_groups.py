"""Groups of images, as the frames of a video or the tiles of a slide, torn apart by a split.

A group is found by the names of its images and confirmed by their pixels: images of one group are
more alike than images of the same class from other groups. Names alone prove nothing, since most
datasets number their images.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import PurePath

import numpy as np
from numpy.typing import NDArray

from archfront.search.profile.stored_rows import PixelRows
from archfront.trainers.data.group_split import PATTERNS, groups_of, without_hash
from archfront.trainers.errors import DataError

# The text before the last number of a name, and the number.
LAST_NUMBER = re.compile(r"^(.*?)(\d+)\D*$")
# Share of pairs of images within groups that are more alike than one between groups.
ALIKE = 0.9
# Groups and pairs below which nothing is told.
LEAST_GROUPS, LEAST_PAIRS = 3, 12
MOST_PAIRS = 4000
N_COLORS = 3  # of the traits, which begin with them
# Images of one counter that are neighbors where their numbers differ by no more.
NEXT = 2

Pairs = NDArray[np.int64]


@dataclass(frozen=True)
class Shown:
    """What groups are found by.

    Attributes:
        names: Of the images.
        classes: What of each image has to be equal in the pairs that are compared, as its label.
        splits: Of each image; empty for none.
        thumbs: Grey values in small, uint8 ``(N, T, T)``.
        traits: Colors and texture, ``(N, F)``.
    """

    names: Sequence[str]
    classes: Sequence[object]
    splits: Sequence[str]
    thumbs: PixelRows
    traits: NDArray[np.float32]


@dataclass(frozen=True)
class TornGroups:
    """Groups that lie in several splits.

    Attributes:
        pattern: What ``data.group`` has to be to keep the groups whole; None where images of one
            counter are alike with no name that separates groups.
        groups: Rows of each torn group, the largest first.
        alike: Share of pairs within groups that are more alike than pairs between groups.
    """

    pattern: str | None
    groups: list[list[int]]
    alike: float


def torn_groups(shown: Shown) -> TornGroups | None:
    """Return the groups of images that a split tears apart; None without any."""
    found = [_by_name(shown, pattern) for pattern in PATTERNS]
    named = [torn for torn in found if torn is not None]
    if named:
        return max(named, key=lambda torn: torn.alike)
    return _by_counter(shown)


def _by_name(shown: Shown, pattern: str) -> TornGroups | None:
    """Return torn groups of names that a pattern finds."""
    try:
        groups = groups_of(shown.names, pattern)
    except DataError:  # no name has it
        return None
    rows_of: defaultdict[str, list[int]] = defaultdict(list)
    for row, group in enumerate(groups):
        rows_of[group].append(row)
    large = [rows for rows in rows_of.values() if len(rows) > 1]
    n_inside = sum(map(len, large))
    if len(large) < LEAST_GROUPS or n_inside < len(shown.names) / 2:
        return None
    torn = [rows for rows in large if _n_splits(shown, rows) > 1]
    if not torn:
        return None
    rng = np.random.default_rng(0)
    group_of = {row: number for number, rows in enumerate(large) for row in rows}
    within = _within(large, shown.classes, rng)
    between = _between(group_of, shown.classes, rng)
    alike = _alike(shown, within, between)
    if alike < ALIKE:
        return None
    return TornGroups(pattern, sorted(torn, key=len, reverse=True), alike)


def _by_counter(shown: Shown) -> TornGroups | None:
    """Return torn runs of images that one counter numbers, as the frames of one long video.

    Each folder has counters of its own, one for each text before the number.
    """
    runs: defaultdict[tuple[PurePath, str], list[tuple[int, int]]] = defaultdict(list)
    for row, name in enumerate(shown.names):
        path = PurePath(without_hash(name))
        match = LAST_NUMBER.match(path.stem)
        if match is not None:
            runs[path.parent, match.group(1)].append((int(match.group(2)), row))
    near, far = [], []
    rng = np.random.default_rng(0)
    for numbered in runs.values():
        numbered.sort()
        for (number, row), (after, other) in pairwise(numbered):
            if 0 < after - number <= NEXT and shown.classes[row] == shown.classes[other]:
                near.append((row, other))
        far += _far(numbered, shown.classes, rng)
    if min(len(near), len(far)) < LEAST_PAIRS:
        return None
    alike = _alike(shown, _sampled(near, rng), _sampled(far, rng))
    torn = [list(pair) for pair in near if _n_splits(shown, pair) > 1]
    if alike < ALIKE or not torn:
        return None
    return TornGroups(None, _joined(torn), alike)


def _far(
    numbered: Sequence[tuple[int, int]], classes: Sequence[object], rng: np.random.Generator
) -> list[tuple[int, int]]:
    """Return pairs of one counter that are a quarter of its length or more apart."""
    n = len(numbered)
    found = []
    for first, second in rng.integers(0, n, (min(4 * n, MOST_PAIRS), 2)).tolist():
        row, other = numbered[first][1], numbered[second][1]
        if abs(first - second) >= max(n / 4, 3) and classes[row] == classes[other]:
            found.append((row, other))
    return found


def _joined(pairs: Sequence[Sequence[int]]) -> list[list[int]]:
    """Return pairs as runs, those with a common row as one, the longest first."""
    runs: list[list[int]] = []
    for pair in pairs:
        if runs and runs[-1][-1] == pair[0]:
            runs[-1].append(pair[1])
        else:
            runs.append(list(pair))
    return sorted(runs, key=len, reverse=True)


def _n_splits(shown: Shown, rows: Sequence[int]) -> int:
    return len({shown.splits[row] for row in rows} - {""})


def _within(
    groups: Sequence[Sequence[int]], classes: Sequence[object], rng: np.random.Generator
) -> Pairs:
    """Return pairs of one group and class, each group with as many as it has images."""
    found = []
    for rows in groups:
        for first, second in rng.integers(0, len(rows), (2 * len(rows), 2)).tolist():
            if first != second and classes[rows[first]] == classes[rows[second]]:
                found.append((rows[first], rows[second]))
    return _sampled(found, rng)


def _between(
    group_of: Mapping[int, int], classes: Sequence[object], rng: np.random.Generator
) -> Pairs:
    """Return pairs of one class from different groups."""
    rows_of: defaultdict[object, list[int]] = defaultdict(list)
    for row in group_of:
        rows_of[classes[row]].append(row)
    found = []
    for rows in rows_of.values():
        for first, second in rng.integers(0, len(rows), (2 * len(rows), 2)).tolist():
            if group_of[rows[first]] != group_of[rows[second]]:
                found.append((rows[first], rows[second]))
    return _sampled(found, rng)


def _sampled(pairs: Sequence[tuple[int, int]], rng: np.random.Generator) -> Pairs:
    found = np.array(pairs, np.int64).reshape(-1, 2)
    if len(found) <= MOST_PAIRS:
        return found
    return found[rng.choice(len(found), MOST_PAIRS, replace=False)]


def _alike(shown: Shown, within: Pairs, between: Pairs) -> float:
    """Return the share of pairs within groups that are more alike than those between.

    By the thumbnails, by colors, or by colors and texture, whichever tells more: the frames of a
    video show the same, the tiles of a slide have the same colors.
    """
    if min(len(within), len(between)) < LEAST_PAIRS:
        return 0.0
    measures: tuple[Callable[[Shown, Pairs], NDArray[np.float64]], ...] = (
        _unlike_thumbs,
        lambda shown, pairs: _apart(shown.traits[:, :N_COLORS], pairs),
        lambda shown, pairs: _apart(shown.traits, pairs),
    )
    return max(_share_below(by(shown, within), by(shown, between)) for by in measures)


def _unlike_thumbs(shown: Shown, pairs: Pairs) -> NDArray[np.float64]:
    found = np.empty(len(pairs))
    for start in range(0, len(pairs), 256):
        some = pairs[start : start + 256]
        first, second = (shown.thumbs[column].astype(np.float32) for column in some.T)
        found[start : start + 256] = np.abs(first - second).mean(axis=(1, 2))
    return found


def _apart(traits: NDArray[np.float32], pairs: Pairs) -> NDArray[np.float64]:
    spread = traits.std(axis=0) + 1e-3
    first, second = (traits[column] / spread for column in pairs.T)
    distances: NDArray[np.float64] = np.linalg.norm(first - second, axis=1).astype(np.float64)
    return distances


def _share_below(low: NDArray[np.float64], high: NDArray[np.float64]) -> float:
    """Return how often a number of the first is below one of the second; ties count half.

    Source: Mann and Whitney 1947.
    """
    ordered = np.sort(high)
    above = len(high) - np.searchsorted(ordered, low, "right")
    ties = np.searchsorted(ordered, low, "right") - np.searchsorted(ordered, low, "left")
    return float((above + ties / 2).mean() / len(high))
