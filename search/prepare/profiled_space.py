"""The objects of a profiled dataset at the input sizes of a space."""

from __future__ import annotations

from dataclasses import replace

from archfront.search.config.schema import Config
from archfront.search.errors import ConfigError
from archfront.search.prepare.fit_space import fit_space
from archfront.search.profile.dataset_profile import DatasetProfile, ObjectProfile
from archfront.search.profile.distribution import Distribution
from archfront.trainers.data.tiles import automatic
from archfront.trainers.dataset_summary import (
    LONGER_SIDE,
    DatasetSummary,
    ObjectSummary,
    SideShare,
    SplitSummary,
    Spread,
)
from archfront.trainers.tasks import TASKS


def with_space(profile: DatasetProfile, config: Config) -> DatasetProfile:
    """Return a profile whose objects are told at each input size that the space would have.

    A space that does not fit the data leaves the profile as it is; a study says why.
    """
    if profile.objects is None or not profile.objects.side_share.n:
        return profile
    task, summary, side = config.task.name, summary_of(profile), config.data.tiles
    tiling = automatic(summary, config.data.tile_overlap) if side == "auto" else None
    tile = side if isinstance(side, int) else tiling.size if tiling is not None else None
    if tile is not None:
        summary = _cut(profile.objects, summary, tile)
    try:
        fitted = fit_space(config.space, task, summary).config
    except ConfigError:
        return profile
    strides = [stride for head in fitted.heads for stride in TASKS[task].grid(head).finest]
    sizes = fitted.input_sizes
    if not strides or isinstance(sizes, str):
        return profile
    told = tuple(profile.objects.at(size, min(strides), tile) for size in sizes)
    return replace(profile, objects=replace(profile.objects, at_sizes=told))


def _cut(objects: ObjectProfile, summary: DatasetSummary, tile: int) -> DatasetSummary:
    """Return the summary of tiles in the place of images, none of which is cut here."""
    side = objects.side_px
    shares = SideShare(*(min(1.0, px / tile) for px in (side.p10, side.p50, side.p90)))
    seen = None if summary.objects is None else replace(summary.objects, side_share=shares)
    longer = summary.sizes[LONGER_SIDE]
    spread = Spread(*(min(tile, px) for px in (longer.min, longer.median, longer.max)))
    return replace(summary, objects=seen, sizes={**summary.sizes, LONGER_SIDE: spread})


def summary_of(profile: DatasetProfile) -> DatasetSummary:
    """Return the summary by which a space is fitted to the data."""
    images, objects = profile.images, profile.objects
    splits = {name: SplitSummary(s.images, s.per_class) for name, s in profile.splits.items()}
    if "train" not in splits:  # of data that could not be divided
        splits["train"] = next(iter(splits.values()))
    share = None if objects is None else objects.side_share
    return DatasetSummary(
        class_names=profile.class_names,
        channels=images.channels,
        division=profile.division,
        counted=profile.counted,
        splits=splits,
        objects=None
        if objects is None or share is None
        else ObjectSummary(_spread(objects.per_image), SideShare(share.p10, share.p50, share.p90)),
        sizes={
            "width": _spread(images.width),
            "height": _spread(images.height),
            LONGER_SIDE: _spread(images.longer_side),
        },
    )


def _spread(numbers: Distribution) -> Spread:
    return Spread(numbers.min, numbers.p50, numbers.max)
