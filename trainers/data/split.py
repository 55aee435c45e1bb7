"""Seeded stratified splits with exactly the asked totals."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from archfront.trainers.errors import DataError
from archfront.trainers.words import count_of

Counts = NDArray[np.int64]


def split_sizes(n_images: int, wanted: Mapping[str, float], *, least: int = 0) -> dict[str, int]:
    """Return the number of images of each split.

    Shares that add up to 1 use every image; the first split takes what rounding leaves.

    Args:
        n_images: Images to split.
        wanted: Share in (0, 1) or count from 1 of each split.
        least: Splits that are given as shares get at least so many images from the larger ones,
            where there are enough.

    Raises:
        DataError: If a value is neither, or more images are asked for than there are.
    """
    for name, value in wanted.items():
        if not (0 < value < 1 or (value >= 1 and value == int(value))):
            raise DataError(
                f"data.{name} is {value:g}; it must be a share between 0 and 1, as 0.8, or a "
                "whole number of images from 1."
            )
    sizes = {n: round(v * n_images) if v < 1 else int(v) for n, v in wanted.items()}
    first = next(iter(sizes))
    shares = sum(value for value in wanted.values() if value < 1)
    if all(value < 1 for value in wanted.values()) and abs(shares - 1) < 1e-6:
        sizes[first] = n_images - sum(size for name, size in sizes.items() if name != first)
    if sum(sizes.values()) > n_images:
        parts = " + ".join(f"{name} {size:,}" for name, size in sizes.items())
        raise DataError(
            f"The split asks for {parts} = {sum(sizes.values()):,} images, but there are "
            f"{n_images:,}. Lower {' or '.join(f'data.{name}' for name in sizes)}."
        )
    return _enlarged(sizes, [name for name, value in wanted.items() if value < 1], least)


def _enlarged(sizes: Mapping[str, int], shares: Sequence[str], least: int) -> dict[str, int]:
    enlarged = dict(sizes)
    if sum(sizes[name] for name in shares) < least * len(shares):
        return enlarged
    for name in shares:
        while enlarged[name] < least:
            enlarged[max(shares, key=lambda other: enlarged[other])] -= 1
            enlarged[name] += 1
    return enlarged


def strata_of(shown: Sequence[Mapping[int, int]], n_splits: int) -> Counts:
    """Return for each image a number that images to be shared out alike have in common.

    The rarest class that it shows, by the number of images that show it, so that every split gets
    its part of the rare ones; images that show nothing have a number of their own. Classes of
    which too few images are left go with the next rarest.

    Args:
        shown: What each image shows of each class, only the classes that it shows.
        n_splits: Splits to make; a stratum has at least as many images.
    """
    counts = Counter(label for image in shown for label in image)
    rarity = sorted(counts, key=lambda label: (counts[label], label))
    rank = {label: place for place, label in enumerate(rarity)}
    places = np.array([min((rank[c] for c in image), default=len(rank)) for image in shown])
    members = Counter(places.tolist())
    for place in range(len(rank)):
        if 0 < members[place] < n_splits:
            places[places == place] = place + 1
            members[place + 1] += members.pop(place)
    if 0 < members[len(rank)] < n_splits:  # the last one has none after it
        others = [place for place in members if place < len(rank) and members[place]]
        places[places == len(rank)] = max(others, default=len(rank))
    return np.array([rarity[p] if p < len(rank) else -1 for p in places.tolist()], np.int64)


def stratified(
    labels: NDArray[np.int64], sizes: Sequence[int], *, seed: int
) -> list[NDArray[np.int64]]:
    """Return disjoint, sorted indices of each split, every class shared out in proportion.

    Each split has exactly its size and at least one image of every class. Images that no split
    asks for belong to none.

    Args:
        labels: Class of each image, ``(n_images,)``; every class occurs.
        sizes: Images of each split.
        seed: Decides which images of a class go where.

    Raises:
        DataError: If a class has fewer images than there are splits, or a split fewer images
            than there are classes.
    """
    classes, members = np.unique(labels, return_counts=True)
    if members.min() < len(sizes):
        raise DataError(
            f"A class with {count_of(members.min(), 'image')} cannot be split {len(sizes)} ways: "
            "each split needs at least one of every class."
        )
    if min(sizes) < len(classes):
        raise DataError(
            f"A split of {count_of(min(sizes), 'image')} cannot hold one of each of the "
            f"{len(classes)} classes. Raise the smallest of data.train, data.val and data.test."
        )
    shuffled = [
        np.random.default_rng([seed, position]).permutation(np.flatnonzero(labels == value))
        for position, value in enumerate(classes)
    ]
    taken = np.zeros(len(classes), np.int64)
    splits = []
    for later, size in zip(reversed(range(len(sizes))), sizes, strict=True):
        share = _apportion(members - taken, size, reserve=later)
        parts = [
            images[start : start + count]
            for images, start, count in zip(shuffled, taken, share, strict=True)
        ]
        splits.append(np.sort(np.concatenate(parts)))
        taken += share
    return splits


def completed(
    splits: Sequence[NDArray[np.int64]], shown: Sequence[Mapping[int, int]]
) -> list[NDArray[np.int64]]:
    """Return the splits after swaps that give each of them every class, where there are enough.

    Images that show several classes are shared out by their rarest, which can leave a split
    without a class that is nearly as rare. Such a split then gets an image that shows the class,
    from the split with the most of them, for one whose classes it has elsewhere.
    """
    members = [indices.tolist() for indices in splits]
    counts = [Counter(label for i in split for label in shown[i]) for split in members]
    totals: Counter[int] = sum(counts, Counter())
    for label in sorted(totals, key=lambda label: (totals[label], label)):
        for place in range(len(members)):
            if counts[place][label]:
                continue
            giver = max(range(len(members)), key=lambda other: counts[other][label])
            given = _spare(members[giver], counts[giver], shown, having=label)
            taken = _spare(members[place], counts[place], shown)
            if given is None or taken is None:
                continue
            for image, here, there in ((given, giver, place), (taken, place, giver)):
                members[here].remove(image)
                members[there].append(image)
                counts[here].subtract(dict.fromkeys(shown[image], 1))
                counts[there].update(dict.fromkeys(shown[image], 1))
    return [np.sort(np.array(split, np.int64)) for split in members]


def _spare(
    images: Sequence[int],
    counts: Mapping[int, int],
    shown: Sequence[Mapping[int, int]],
    *,
    having: int | None = None,
) -> int | None:
    """Return the image with the fewest classes that a split can give without losing one."""
    able = [
        image
        for image in images
        if (having is None or having in shown[image])
        and all(counts[label] > 1 for label in shown[image])
    ]
    return min(able, key=lambda image: (len(shown[image]), image), default=None)


def _apportion(left: Counts, size: int, *, reserve: int) -> Counts:
    """Return the number of images of each class in one split, ``size`` in total.

    Largest remainders, between 1 and what leaves ``reserve`` images of the class for the splits
    to come; ties go to the class that comes first.
    """
    quota = size * left / left.sum()
    most = left - reserve
    share: Counts = np.clip(np.floor(quota).astype(np.int64), 1, most)
    while (missing := size - int(share.sum())) != 0:
        step = 1 if missing > 0 else -1
        is_open = share < most if step > 0 else share > 1
        gap = np.where(is_open, step * (quota - share), -np.inf)
        chosen = np.argsort(-gap, kind="stable")[: min(abs(missing), int(is_open.sum()))]
        share[chosen] += step
    return share
