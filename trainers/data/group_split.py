"""Splits that keep groups of images whole, as the frames of a video or the tiles of a slide."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from archfront.trainers.errors import DataError
from archfront.trainers.words import count_of

# Images that no split asks for; they are shared out like another split.
REST = ""
# Words for common patterns: the name of a file without its last number, or up to its first one,
# and the folder. They find ``video1_``, ``video1`` and ``cam`` in ``cam/video1_0001.png``.
PATTERNS: Mapping[str, str] = {
    "stem": r"([^/]*?)[0-9]+[^0-9/]*$",
    "prefix": r"([^/0-9]*[0-9]+)[^/0-9][^/]*$",
    "folder": r"^(.*)/",
}

# What Roboflow puts before the ending of an exported name: no digit of it numbers a frame.
EXPORT_HASH = re.compile(r"\.rf\.[0-9a-f]{32}(?=\.|$)")

# What stands before the name of a column of a table that says which group an image is of.
COLUMN = "column:"


def column_of(group: str | None) -> str | None:
    """Return the column that ``data.group`` names; None where it is a pattern or nothing."""
    return group.removeprefix(COLUMN) if group is not None and group.startswith(COLUMN) else None


def without_hash(name: str) -> str:
    """Return the name of an image without the hash that Roboflow put into it."""
    return EXPORT_HASH.sub("", name)


def groups_of(names: Sequence[str], pattern: str) -> list[str]:
    """Return the group of each image: what a pattern finds in its name.

    The first parenthesis of the pattern is the group, without any all that it matches. An image
    in whose name it finds nothing is a group of its own. Words look at names without the hashes of
    Roboflow, a regular expression at whole names.

    Args:
        names: Of the images, with their folders.
        pattern: A word of ``PATTERNS``, or a regular expression.

    Raises:
        DataError: If it finds nothing in any name.
    """
    compiled = re.compile(PATTERNS.get(pattern, pattern))
    is_word = pattern in PATTERNS
    found = [compiled.search(without_hash(name) if is_word else name) for name in names]
    if not any(found):
        raise DataError(
            f"data.group: {pattern!r} finds nothing in any of the {len(names):,} names of images, "
            f"as {names[0]!r}. Give {', '.join(PATTERNS)}, or a pattern whose first parenthesis "
            "is what the images of one group have in common."
        )
    return [
        f"image {name}" if match is None else f"group {match.group(min(compiled.groups, 1))}"
        for name, match in zip(names, found, strict=True)
    ]


def grouped(
    groups: Sequence[str], strata: NDArray[np.int64], sizes: Mapping[str, int], *, seed: int
) -> list[NDArray[np.int64]]:
    """Return the sorted indices of each split, every group in one of them.

    The largest groups come first, and each goes to the split that then lacks least of what it
    should have of every stratum. Source: scikit-learn's ``StratifiedGroupKFold``.

    Args:
        groups: Of each image.
        strata: What is to be shared out in proportion, by image, ``(n_images,)``.
        sizes: Images that each split should have, about.
        seed: Decides among groups of one size.

    Raises:
        DataError: If there are fewer groups than splits.
    """
    names, members = np.unique(np.array(groups), return_inverse=True)
    if len(names) < len(sizes):
        raise DataError(
            f"data.group makes {count_of(len(names), 'group')} of {len(groups):,} images, too few "
            f"for {', '.join(sizes)}. Give a pattern that tells more groups apart."
        )
    wanted = {**sizes, REST: len(groups) - sum(sizes.values())}
    wanted = {name: size for name, size in wanted.items() if size > 0}
    kinds, kind_of = np.unique(strata, return_inverse=True)
    counts = np.zeros((len(names), len(kinds) + 1))
    np.add.at(counts, (members, kind_of), 1)
    counts[:, -1] = counts.sum(axis=1)  # images, of whatever stratum
    total = counts.sum(axis=0)
    shares = np.array(list(wanted.values())) / len(groups)
    lacking = shares[:, None] * total
    order = np.random.default_rng(seed).permutation(len(names))
    order = order[np.argsort(-counts[order, -1], kind="stable")]
    split_of = np.zeros(len(names), np.int64)
    n_left = len(order)
    empty = set(range(len(sizes)))
    for group in order.tolist():
        # What each split lacks more than its share, after this group as before it.
        worth = ((lacking**2 - (lacking - counts[group]) ** 2) / total).sum(axis=1)
        able = sorted(empty) if n_left <= len(empty) else range(len(wanted))
        chosen = max(able, key=lambda split: (worth[split], -split))
        lacking[chosen] -= counts[group]
        split_of[group] = chosen
        empty.discard(chosen)
        n_left -= 1
    return [np.flatnonzero(split_of[members] == split) for split in range(len(sizes))]
