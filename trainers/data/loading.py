"""From a ``DataRef`` to a ``Dataset``: read, decode everything once, check, split."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from pathlib import Path

import numpy as np

from archfront.trainers.data.checks import (
    check_names,
    check_shown,
    class_problems,
    without_unlabeled_test,
)
from archfront.trainers.data.decoded import decoded
from archfront.trainers.data.disk_cache import DiskCache
from archfront.trainers.data.divide import divided, division_text, planned_splits
from archfront.trainers.data.file_facts import file_facts
from archfront.trainers.data.folds import folded
from archfront.trainers.data.image_files import WHOLE_RANGE, ValueRange
from archfront.trainers.data.images import read_with_digest
from archfront.trainers.data.problem_text import (
    left_out_text,
    problems_text,
    too_few_classes_text,
)
from archfront.trainers.data.raw import RawData, RawSample, Skipped
from archfront.trainers.data.readers import CLASSES_MIN, read_raw
from archfront.trainers.data.ref import DataRef
from archfront.trainers.data.samples import Dataset, PixelCache, Samples
from archfront.trainers.data.targets import digest, relabeled
from archfront.trainers.data.tiles import Tiling, automatic
from archfront.trainers.data.value_range import value_range
from archfront.trainers.data.verify import Progress, Read, Sample, verify
from archfront.trainers.errors import DataError

ORDER = ("all", "train", "val", "test")
KEPT_SHARE = 0.5  # of the memory, for decoded images; the rest is for resized ones


def load(ref: DataRef, progress: Progress | None = None) -> Dataset:
    """Return the dataset, the same object for an equal ``ref`` in one process.

    Args:
        ref: Which data.
        progress: Called with the images decoded and in total; not at all when the data is
            remembered.

    Raises:
        DataError: If the data is not there, or it has problems and ``ref.on_error`` is ``stop``,
            or what is left cannot be used. Up to ten kinds of problems are shown at once.
    """
    return _load(_Request(ref, progress))


@dataclass(frozen=True)
class _Request:
    ref: DataRef
    progress: Progress | None = field(default=None, compare=False)


@lru_cache(maxsize=2)
def _load(request: _Request) -> Dataset:
    ref = request.ref
    if ref.fold is not None or ref.tiles is not None:
        return _made(request)
    raw = _read(ref)
    memory = int(ref.memory_mb * 1e6)
    disk_cache = (
        None if ref.shared is None else DiskCache(Path(ref.shared), int(ref.shared_mb * 1e6))
    )
    facts = file_facts(ref.shared, ref.root)
    found_range = value_range(ref, raw.parts, facts, raw.where)
    limit = replace(ref.pixel_limit, value_range=found_range.values or WHOLE_RANGE)
    mapped = (
        None
        if disk_cache is None
        else decoded(raw.parts, disk_cache, limit=limit, progress=request.progress)
    )
    read: Read | None = partial(read_with_digest, limit=limit)
    if facts.is_kept and _are_files(raw.parts):  # too many for memory, as they were for the cache
        read = None
    verified = verify(
        raw.parts,
        len(raw.class_names),
        keep_bytes=int(memory * KEPT_SHARE) if mapped is None else sys.maxsize,
        progress=request.progress,
        facts=facts,
        read=read if mapped is None else mapped.read,
        limit=limit,
    )
    facts.save()
    read_parts, unlabeled = without_unlabeled_test(verified.parts)
    plan = planned_splits(ref, read_parts)
    broken = [*raw.broken, *verified.broken]
    if not broken or ref.on_error == "skip":
        check_shown(read_parts, raw.where, left_out_text(broken))
    problems = class_problems(read_parts, raw.class_names, splits=list(plan) or ["train"])
    found = [*broken, *problems.values()]
    if found and ref.on_error == "stop":
        raise DataError(problems_text(raw.where, broken, list(problems.values())))
    kept = [label for label in range(len(raw.class_names)) if label not in problems]
    class_names = tuple(raw.class_names[label] for label in kept)
    if len(kept) < CLASSES_MIN[ref.target]:
        raise DataError(too_few_classes_text(raw.where, class_names, found, ref.target))
    parts = _relabeled(read_parts, kept) if problems else read_parts
    splits = divided(parts, plan, seed=ref.split_seed, group=ref.group)
    return _dataset(
        splits,
        class_names,
        channels=ref.channels,
        skipped=(*found, *raw.skipped, *unlabeled, *found_range.notes),
        value_range=found_range.values,
        memory_bytes=memory,
        division=division_text(parts, plan, splits, seed=ref.split_seed, group=ref.group),
        disk_cache=disk_cache,
        is_mapped=mapped is not None,
        has_own_val=not plan,
    )


def _read(ref: DataRef) -> RawData:
    """Return what a reader gives, its parts in order."""
    raw = read_raw(ref)
    check_names(raw.class_names, raw.where)
    return replace(raw, parts={part: raw.parts[part] for part in ORDER if part in raw.parts})


def _made(request: _Request) -> Dataset:
    """Return what is made of another dataset: tiles of the images, or a fold of them."""
    ref = request.ref
    if ref.fold is not None:
        return folded(_load(replace(request, ref=replace(ref, fold=None))), ref)
    return _cut(_load(replace(request, ref=replace(ref, tiles=None))), ref)


def _cut(dataset: Dataset, ref: DataRef) -> Dataset:
    """Return a dataset whose images are cut as asked for; its fingerprint is another one."""
    assert ref.tiles is not None
    tiling = (
        automatic(dataset.summary(), ref.tile_overlap)
        if ref.tiles == "auto"
        else Tiling(ref.tiles, ref.tile_overlap)
    )
    if tiling is None:
        return dataset
    content = f"{dataset.fingerprint} {tiling.size} {tiling.overlap}"
    fingerprint = hashlib.sha256(content.encode()).hexdigest()[:16]
    return replace(dataset, tiling=tiling, fingerprint=fingerprint)


def _are_files(parts: Mapping[str, Sequence[RawSample]]) -> bool:
    return all(isinstance(raw.source, Path) for samples in parts.values() for raw in samples)


def _relabeled(
    parts: Mapping[str, Sequence[Sample]], kept: Sequence[int]
) -> dict[str, list[Sample]]:
    """Return the samples with dense class indices, without images of which nothing is left."""
    labels = {label: new for new, label in enumerate(kept)}
    moved: dict[str, list[Sample]] = {}
    for part, samples in parts.items():
        targets = [(s, relabeled(s.target, labels)) for s in samples]
        moved[part] = [replace(s, target=target) for s, target in targets if target is not None]
    return moved


def _dataset(
    splits: Mapping[str, list[Sample]],
    class_names: tuple[str, ...],
    *,
    channels: int | None,
    skipped: tuple[Skipped, ...],
    memory_bytes: int,
    division: str,
    disk_cache: DiskCache | None,
    is_mapped: bool,
    has_own_val: bool,
    value_range: ValueRange | None,
) -> Dataset:
    samples = [sample for split in splits.values() for sample in split]
    is_grey = all(sample.is_grey for sample in samples)
    kept = [s.n_bytes for s in samples if isinstance(s.source, np.ndarray) and not is_mapped]
    fingerprint = _fingerprint(splits, class_names, value_range)
    sizes = [(sample.width, sample.height) for sample in samples]
    cache = PixelCache(max(memory_bytes - sum(kept), 0), sizes, disk_cache, fingerprint)
    return Dataset(
        class_names=class_names,
        splits={
            name: Samples(name, tuple(s), cache, len(class_names)) for name, s in splits.items()
        },
        channels=channels or (1 if is_grey else 3),
        skipped=skipped,
        fingerprint=fingerprint,
        division=division,
        value_range=value_range,
        has_own_val=has_own_val,
    )


def _fingerprint(
    splits: Mapping[str, list[Sample]],
    class_names: Sequence[str],
    value_range: ValueRange | None,
) -> str:
    content = hashlib.sha256(json.dumps(list(class_names)).encode())
    if value_range not in (None, WHOLE_RANGE):
        content.update(json.dumps(value_range).encode())
    for name in sorted(splits):
        for s in splits[name]:
            row = [name, s.name, digest(s.target), s.width, s.height, s.digest]
            content.update(json.dumps(row).encode())
    return content.hexdigest()[:16]
