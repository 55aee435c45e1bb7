"""From a reference of data to its profile: read, look at every image once, divide, compare."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from archfront.search.profile.dataset_profile import (
    BETA,
    VERSION,
    Balance,
    Counted,
    DatasetProfile,
    SplitProfile,
)
from archfront.search.profile.divided import Divided, divide
from archfront.search.profile.faults import Examples, ImageRef
from archfront.search.profile.find_faults import find_faults
from archfront.search.profile.gather import Entry, Gathered, Progress, gather
from archfront.trainers.data.file_facts import file_facts
from archfront.trainers.data.image_files import PixelLimit
from archfront.trainers.data.loading import ORDER
from archfront.trainers.data.raw import RawData
from archfront.trainers.data.ref import DataRef
from archfront.trainers.data.symmetry import chosen_rows, told_apart
from archfront.trainers.data.targets import class_counts
from archfront.trainers.data.value_range import value_range
from archfront.trainers.dataset_summary import Symmetries
from archfront.trainers.errors import DataError

N_EXAMPLES, N_UNLIKE = 6, 12
# How the images least like the others are found: how many others each is compared with, which of
# the nearest counts, 0 being itself, and rows at a time.
N_COMPARED, NEIGHBOR, BLOCK = 1000, 4, 256
LEAST_SPREAD = 0.02  # where all images are alike, smaller differences are none
COUNTED: Mapping[str, Counted] = {"mask": "pixels", "boxes": "objects", "outlines": "objects"}


@dataclass(frozen=True)
class Title:
    """What a profile is called: its task, its data for people, and its fingerprint."""

    task: str
    data: str
    fingerprint: str


def found_limit(ref: DataRef, raw: RawData) -> PixelLimit:
    """Return how the images of a dataset are read, with the range of values that they use."""
    values = value_range(ref, raw.parts, file_facts(ref.shared, ref.root), raw.where).values
    return ref.pixel_limit if values is None else replace(ref.pixel_limit, value_range=values)


def make_profile(
    ref: DataRef, raw: RawData, title: Title, progress: Progress | None = None
) -> DatasetProfile:
    """Return the profile of a dataset; broken images and unusable classes are among its faults.

    Args:
        ref: Which data, and how it is divided.
        raw: Its images.
        title: What the profile is called.
        progress: Called with the images done and in total.

    Raises:
        DataError: If no image can be used.
    """
    found = gather(raw, found_limit(ref, raw), progress)
    if not found.entries:
        example = f", as {found.problems[0].name}: {found.problems[0].detail}"
        raise DataError(
            f"{raw.where}: none of the {sum(map(len, raw.parts.values())):,} images can be used"
            f"{example if found.problems else ''}. Check data.root and the annotations."
        )
    # The readers' records are the most of what is in memory, and no more than names is needed.
    raw = replace(raw, parts=dict.fromkeys(raw.parts, ()))
    division = divide(ref, raw, found.entries)
    names, counted = raw.class_names, COUNTED.get(ref.target, "images")
    order = sorted(division.splits, key=ORDER.index)
    splits = {name: _split(division.splits[name], names) for name in order}
    return DatasetProfile(
        version=VERSION,
        task=title.task,
        data=title.data,
        fingerprint=title.fingerprint,
        class_names=names,
        counted=counted,
        division=division.division,
        splits=splits,
        balance=_balance(splits, names),
        images=found.images,
        objects=found.objects,
        masks=found.masks,
        symmetries=_symmetries(found, division, names),
        faults=find_faults(raw, found, division),
        examples=_examples(names, found, division),
    )


def _symmetries(
    found: Gathered, division: Divided, class_names: Sequence[str]
) -> Symmetries | None:
    """Return how well flips of the training images are told; of all where there is no split."""
    trained = division.splits.get("train", found.entries)
    sizes = np.array([width * height for width, height in (entry.size for entry in trained)])
    chosen = [trained[row] for row in chosen_rows(sizes)]
    thumbs = found.thumbs[np.array([entry.index for entry in chosen], np.int64)]
    return told_apart(thumbs, [entry.target for entry in chosen], class_names)


def _split(entries: Sequence[Entry], class_names: Sequence[str]) -> SplitProfile:
    shown, images = Counter[int](), Counter[int]()
    empty = 0
    for entry in entries:
        counts = class_counts(entry.target)
        shown.update(counts)
        images.update(counts.keys())
        empty += not counts
    return SplitProfile(
        images=len(entries),
        without_objects=empty,
        per_class={name: shown[label] for label, name in enumerate(class_names)},
        images_per_class={name: images[label] for label, name in enumerate(class_names)},
    )


def _balance(splits: Mapping[str, SplitProfile], class_names: Sequence[str]) -> Balance:
    totals = {name: sum(s.per_class[name] for s in splits.values()) for name in class_names}
    shown = {name: count for name, count in totals.items() if count}
    trained = splits.get("train") or next(iter(splits.values()))
    effective = {
        name: (1 - BETA**count) / (1 - BETA) for name, count in trained.images_per_class.items()
    }
    if not shown:
        return Balance(1.0, "", "", 1.0, effective)
    least, most = min(shown, key=shown.__getitem__), max(shown, key=shown.__getitem__)
    shares = [count / sum(shown.values()) for count in shown.values()]
    entropy = -sum(share * math.log(share) for share in shares)
    evenness = entropy / math.log(len(class_names)) if len(class_names) > 1 else 1.0
    return Balance(shown[most] / shown[least], least, most, evenness, effective)


def _examples(class_names: Sequence[str], found: Gathered, division: Divided) -> Examples:
    """Return images of each class, evenly from all there are, and the odd ones."""
    of_class: defaultdict[int, list[int]] = defaultdict(list)
    for entries in division.splits.values():
        for entry in entries:
            for label in class_counts(entry.target):
                of_class[label].append(entry.index)
    splits = division.split_of(len(found.entries))

    def ref(row: int) -> ImageRef:
        entry = found.entries[row]
        return ImageRef(splits[row] or entry.part, entry.name)

    return Examples(
        per_class={
            name: tuple(map(ref, _spread(of_class[label], N_EXAMPLES)))
            for label, name in enumerate(class_names)
            if of_class[label]
        },
        smallest=found.smallest,
        unlike=tuple(map(ref, _unlike(found))),
    )


def _spread(rows: Sequence[int], n: int) -> list[int]:
    if len(rows) <= n:
        return list(rows)
    return [rows[round(i * (len(rows) - 1) / (n - 1))] for i in range(n)]


def _unlike(found: Gathered) -> list[int]:
    """Return the rows of the images that are farthest from their nearest others.

    By colors, texture and shape; the distance is that to the fourth nearest of some images, so
    that a few images of one kind are far from the others, too.
    """
    sizes = np.log([entry.size for entry in found.entries])
    shapes = np.stack([sizes[:, 0] - sizes[:, 1], sizes.sum(axis=1)], axis=1)
    rows = np.concatenate([found.traits, shapes], axis=1).astype(np.float32)
    rows /= rows.std(axis=0) + LEAST_SPREAD
    chosen = np.random.default_rng(0).permutation(len(rows))[:N_COMPARED]
    nearest = np.empty(len(rows))
    for start in range(0, len(rows), BLOCK):
        some = rows[start : start + BLOCK]
        distances = np.linalg.norm(some[:, None] - rows[chosen], axis=2)
        place = min(NEIGHBOR, len(chosen) - 1)
        nearest[start : start + BLOCK] = np.partition(distances, place, axis=1)[:, place]
    return [int(row) for row in np.argsort(-nearest, kind="stable")[:N_UNLIKE]]
