"""The options of a space that are ``auto``, decided by its task and its data."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from archfront.search.config.option_types import AUTO
from archfront.search.config.schema import Config, SpaceConfig
from archfront.search.errors import ConfigError
from archfront.search.prepare.build_space import CELLS
from archfront.search.prepare.input_sizes import (
    USUAL_SIDE,
    FittedSizes,
    Side,
    classifying_sizes,
    locating_sizes,
)
from archfront.search.records.header import Chosen
from archfront.trainers.dataset_summary import LONGER_SIDE, DatasetSummary
from archfront.trainers.tasks import TASKS


@dataclass(frozen=True)
class FittedSpace:
    """A space without ``auto``.

    Attributes:
        config: Its options.
        chosen: The values of the options that were ``auto``, by their path below ``space``.
        notes: What was chosen and why, a line each.
    """

    config: SpaceConfig
    chosen: Chosen = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def fit_space(
    config: SpaceConfig, task: str, dataset: DatasetSummary | None = None
) -> FittedSpace:
    """Return the space with what fits its task and its data in the place of every ``auto``.

    Args:
        config: Options of the space.
        task: Name of the task.
        dataset: Summary of the data; None where there is none, and then images of a usual size
            are assumed.

    Raises:
        ConfigError: If no head takes the sizes that fit.
    """
    if config.input_sizes != AUTO:
        return FittedSpace(config)
    found = _sizes(config, task, dataset)
    shown = ", ".join(map(str, found.sizes))
    refused = {
        head: why["input_sizes"]
        for head in config.heads
        if (why := TASKS[task].grid(head).refused(sizes=found.sizes))
    }
    heads = tuple(head for head in config.heads if head not in refused)
    if not heads:
        reasons = "; ".join(f"{head} {reason}" for head, reason in refused.items())
        raise ConfigError(
            f"space.input_sizes: auto gives {shown} px, since {found.reason}, and no head takes "
            f"that: {reasons}. Give space.input_sizes=SIZES or space.heads=NAMES."
        )
    notes = [f"sizes     {shown} px: {found.reason}"]
    notes += [f"left out  the head {head}: {reason}" for head, reason in refused.items()]
    fitted = replace(config, input_sizes=found.sizes, heads=heads)
    return FittedSpace(fitted, {"input_sizes": found.sizes}, tuple(notes))


def as_chosen(config: Config, chosen: Chosen) -> Config:
    """Return a configuration with what a study chose when it began in the place of ``auto``."""
    values: dict[str, Any] = dict(chosen)
    return replace(config, space=replace(config.space, **values))


def _sizes(config: SpaceConfig, task: str, dataset: DatasetSummary | None) -> FittedSizes:
    """Return the sizes that fit the images and their objects."""
    longest, small_object = USUAL_SIDE, None
    if dataset is not None:
        longest = float(dataset.sizes[LONGER_SIDE].median)
        small_object = None if dataset.objects is None else dataset.objects.side_share.p10
    kind = TASKS[task]
    if kind.is_image_level:
        found = classifying_sizes(Side(longest), is_transfer=config.weights != "none")
    else:
        strides = [stride for head in config.heads for stride in kind.grid(head).finest]
        side = Side(longest, small_object, min(strides, default=0))
        found = locating_sizes(side, cells=CELLS)
    return found if dataset is not None else replace(found, reason="without images to ask")
