"""From a configuration and rows of the catalog to the space of candidates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import product

from archfront.search.catalog import Backbone
from archfront.search.config.option_types import AUTO
from archfront.search.config.schema import SpaceConfig
from archfront.search.config.space_options import RecipeConfig
from archfront.search.errors import ConfigError
from archfront.search.formats.formats import FORMATS
from archfront.search.prepare.select_backbones import has_licence
from archfront.search.space.axes import Axes
from archfront.search.space.decoders import FIXED, Decoders
from archfront.search.space.space import Space
from archfront.trainers.networks.hf.names import is_hub
from archfront.trainers.spec import DETECTIONS, Architecture, Recipe, Weights
from archfront.trainers.tasks import TASKS, Grid
from archfront.trainers.tasks.protocol import Task
from archfront.trainers.words import join_words


def build_space(
    config: SpaceConfig,
    backbones: Sequence[Backbone],
    weights: Mapping[str, Weights],
    *,
    task: str,
    classes: int,
    channels: int,
    dropped: tuple[str, ...] = (),
    small_object: float | None = None,
) -> Space:
    """Return the space over backbones whose weights are known to be there.

    Args:
        config: The configuration of the space, which ``fit_space`` has left without ``auto``.
        backbones: The backbones that ``select`` returned and that have weights.
        weights: First weights by backbone.
        task: Name of the task.
        classes: Classes of the dataset.
        channels: Channels of its images.
        dropped: The backbones left out before, in words.
        small_object: Side of a small object as a share of its image's; None where that is not
            known, and then a head's coarsest stride is taken.

    Raises:
        ConfigError: When no combination is left.
    """
    heads, refusals = exportable_heads(config, task, channels)
    config = replace(config, heads=heads)
    axes, left_out = [], [*dropped, *refusals]
    for backbone in backbones:
        name = backbone.name
        if not has_licence(backbone, config, weights[name]):
            licence = backbone.licence(weights[name].tag)
            left_out.append(f"{name}: its weights are {licence}, not of space.licences")
            continue
        heads, misfits = _heads(backbone, config, TASKS[task])
        sizes, reasons = _sizes(backbone, config)
        reasons += misfits
        if not heads:
            why = f": {misfits[0]}" if misfits else ""
            left_out.append(f"{name}: has no head of {', '.join(config.heads)}{why}")
            continue
        left_out += [f"{name}: {reason}" for reason in reasons]
        if sizes:
            decoders = {
                head: decoders_of(config, TASKS[task].grid(head), backbone, sizes, small_object)
                for head in heads
            }
            changing = {head: open_ for head, open_ in decoders.items() if open_ != FIXED}
            axes.append(Axes(backbone, heads, sizes, changing))
    if not axes:
        raise ConfigError(f"space: nothing is left: {'; '.join(left_out)}.")
    recipes = _recipes(config.recipe)
    chosen = {a.backbone.name: weights[a.backbone.name] for a in axes}
    found = Space(tuple(axes), recipes, chosen, task, classes, channels, tuple(left_out))
    return replace(found, detections=_detections(config, TASKS[task]))


def _detections(config: SpaceConfig, task: Task) -> int:
    """Return how many objects of an image a detector finds; the usual number for other tasks."""
    if task.target not in ("boxes", "outlines") or config.detections == AUTO:
        return DETECTIONS
    return config.detections


def _heads(
    backbone: Backbone, config: SpaceConfig, task: Task
) -> tuple[tuple[str, ...], list[str]]:
    """Return the heads that a backbone carries, and the reasons against the others."""
    if task.is_image_level:  # the catalog has tried each of them
        kept_heads = backbone.heads_among(config.heads)
        is_own = is_hub(backbone.name) and not kept_heads
        return kept_heads, ["transformers' classifiers carry their own: timm"] if is_own else []
    if is_hub(backbone.name):
        return (), ["transformers' image classifiers give no feature maps"]
    kept, reasons = [], []
    for head in config.heads:
        misfit = task.misfit(head, backbone.family, backbone.strides)
        if misfit is None:
            kept.append(head)
        else:
            reasons.append(f"not with {head}: {misfit}")
    return tuple(kept), reasons


def exportable_heads(
    config: SpaceConfig, task: str, channels: int
) -> tuple[tuple[str, ...], list[str]]:
    """Return the heads that every format asked for takes, and the reasons against others.

    Raises:
        ConfigError: If none is left, with each reason once.
    """
    refused: dict[str, list[str]] = {}
    for name in config.exportable:
        for head, reason in _refused(name, config.heads, task, channels).items():
            refused.setdefault(head, []).append(f"space.exportable={name}, and {reason}")
    heads = tuple(head for head in config.heads if head not in refused)
    if not heads:
        reasons = dict.fromkeys(reason for several in refused.values() for reason in several)
        start = f"space: no head of {', '.join(config.heads)} is left"
        raise ConfigError(*(f"{start}: {reason}." for reason in reasons))
    return heads, [f"the head {head}: {'; '.join(why)}" for head, why in refused.items()]


def export_notes(config: SpaceConfig, task: str, channels: int) -> list[str]:
    """Return a line for each format that was not asked for and takes not all of the candidates.

    A format that takes no network of the task, whatever its head and channels, is not told of.
    """
    lines = []
    for name in FORMATS:
        refused = _refused(name, config.heads, task, channels)
        takes = [head for head in config.heads if head not in refused]
        is_of_task = len(_refused(name, config.heads, task, 3)) < len(config.heads)
        if name in config.exportable or not refused or not is_of_task:
            continue
        if takes:
            many = "heads" if len(takes) > 1 else "head"
            lines.append(
                f"exports   {name} takes the {many} {join_words(takes)} only; "
                f"space.exportable='[{name}]' keeps the study to that"
            )
        else:
            why = "; ".join(dict.fromkeys(refused.values()))
            lines.append(f"exports   {name} takes none of these candidates: {why}")
    return lines


def _refused(name: str, heads: Sequence[str], task: str, channels: int) -> dict[str, str]:
    """Return the reasons of a format against heads.

    Neither the backbone nor the size decides, so that one stands for all.
    """
    reasons = {h: FORMATS[name].refuses(Architecture(task, "", h, 32, 2, channels)) for h in heads}
    return {head: reason for head, reason in reasons.items() if reason is not None}


def _sizes(backbone: Backbone, config: SpaceConfig) -> tuple[tuple[int, ...], list[str]]:
    """Return the input sizes of a backbone within the limits, and the reasons against others."""
    reasons = []
    asked = config.input_sizes
    assert asked != AUTO, "fit_space comes first"
    takes = [size for size in asked if backbone.takes(size)]
    if len(takes) < len(asked):
        others = [f"{size}" for size in asked if size not in takes]
        reasons.append(f"not at {', '.join(others)} px: takes {backbone.size_rule}")
    limit = config.macs_g_max
    left = [size for size in takes if limit is None or backbone.costs_at(size).macs_g <= limit]
    if len(left) < len(takes):
        others = [f"{size}" for size in takes if size not in left]
        reasons.append(f"not at {', '.join(others)} px: over space.macs_g_max={limit:g}")
    return tuple(left), reasons


def _recipes(config: RecipeConfig) -> tuple[Recipe, ...]:
    grids = {name: getattr(config, name) for name in Recipe.__dataclass_fields__}
    assert AUTO not in grids.values(), "fit_space comes first"
    return tuple(
        Recipe(**dict(zip(grids, values, strict=True))) for values in product(*grids.values())
    )


# Lin et al. 2017 (FPN) give objects of 8 cells a side to a level; at 2, neighbors still have
# cells of their own.
CELLS = 2.0


def decoders_of(
    config: SpaceConfig,
    grid: Grid,
    backbone: Backbone,
    sizes: Sequence[int],
    small_object: float | None,
) -> Decoders:
    """Return the open choices of a head, within the configuration."""
    asked = [neck for neck in config.necks if neck in grid.neck]
    has = [stride for stride in grid.finest if stride in backbone.strides]
    finest = {size: _finest(has, (small_object or 1.0) * size) for size in sizes} if has else {}
    return Decoders(
        neck=tuple(asked) or grid.neck[:1],
        width=config.widths if grid.width else FIXED.width,
        depth=config.depths if grid.depth else FIXED.depth,
        finest=finest,
    )


def _finest(strides: Sequence[int], small_px: float) -> int:
    """Return the coarsest stride on which a small object still covers ``CELLS`` cells a side."""
    fitting = [stride for stride in strides if small_px >= CELLS * stride]
    return max(fitting, default=min(strides))
