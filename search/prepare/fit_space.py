"""The options of a space that are ``auto``, decided by its task and its data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from archfront.search.config.option_types import AUTO
from archfront.search.config.schema import Config, SpaceConfig
from archfront.search.config.space_options import RecipeConfig
from archfront.search.errors import ConfigError
from archfront.search.prepare.build_space import CELLS
from archfront.search.prepare.input_sizes import (
    USUAL_SIDE,
    FittedSizes,
    Side,
    classifying_sizes,
    locating_sizes,
)
from archfront.search.prepare.recipe_grids import recipe_grids
from archfront.search.records.header import RECIPE, Chosen
from archfront.trainers.dataset_summary import LONGER_SIDE, DatasetSummary
from archfront.trainers.tasks import TASKS
from archfront.trainers.words import count_of

# Training images that are assumed where there are none to count.
USUAL_IMAGES = 5000
# The axes of a recipe that are told; the other ones are fixed.
SHOWN_AXES = ("lr", "batch_size", "augment")


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
    sized = _with_sizes(config, task, dataset)
    recipe, chosen = _recipe(config, task, dataset)
    if not chosen:
        return sized
    return FittedSpace(
        replace(sized.config, recipe=recipe),
        {**sized.chosen, **{f"{RECIPE}.{axis}": values for axis, values in chosen.items()}},
        (*sized.notes, _recipe_note(chosen, is_transfer=config.weights != "none")),
    )


def as_chosen(config: Config, chosen: Chosen) -> Config:
    """Return a configuration with what a study chose when it began in the place of ``auto``."""
    values: dict[str, Any] = {name: v for name, v in chosen.items() if "." not in name}
    recipe: dict[str, Any] = {
        name.removeprefix(f"{RECIPE}."): v for name, v in chosen.items() if name not in values
    }
    space = config.space
    return replace(config, space=replace(space, recipe=replace(space.recipe, **recipe), **values))


def _recipe(
    config: SpaceConfig, task: str, dataset: DatasetSummary | None
) -> tuple[RecipeConfig, Chosen]:
    """Return the grids of the recipe, and those of them that were ``auto``."""
    n_train = USUAL_IMAGES if dataset is None else dataset.splits["train"].images
    fitting = recipe_grids(task, is_transfer=config.weights != "none", n_train=n_train)
    chosen: dict[str, Any] = {
        axis.name: getattr(fitting, axis.name)
        for axis in fields(RecipeConfig)
        if getattr(config.recipe, axis.name) == AUTO
    }
    return replace(config.recipe, **chosen), chosen


def _recipe_note(chosen: Mapping[str, Any], *, is_transfer: bool) -> str:
    """Return the line of the recipes that were chosen."""
    words = [
        f"{axis.replace('_', ' ')} {' or '.join(map(str, chosen[axis]))}"
        for axis in SHOWN_AXES
        if axis in chosen
    ]
    shown = ", ".join(words) or f"the grids of {count_of(len(chosen), 'axis', 'axes')}"
    return f"recipes   {shown}: for {'fine-tuning' if is_transfer else 'training from scratch'}"


def _with_sizes(config: SpaceConfig, task: str, dataset: DatasetSummary | None) -> FittedSpace:
    """Return the space with input sizes, and without heads that take none of them."""
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
