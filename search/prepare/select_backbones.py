"""The selection of a configuration's backbones, from the catalog alone."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from archfront.search.catalog import Backbone, catalog, match, near, timm_version
from archfront.search.config.schema import SpaceConfig
from archfront.search.errors import ConfigError, unknown
from archfront.search.records.paths import default_root
from archfront.trainers.networks.hf.names import is_hub
from archfront.trainers.spec import Weights
from archfront.trainers.words import quoted

# What other tools put before a name on the hub of Hugging Face.
HUB_PREFIX = re.compile(r"^(?:hf[-_]hub:|https?://huggingface\.co/)")
# timm's own choice among the weights of a name.
DEFAULT = Weights("pretrained")


@dataclass(frozen=True)
class Selection:
    """The backbones of the catalog that patterns and limits leave.

    Attributes:
        backbones: Those that are left, in the catalog's order.
        left_out: Number of the backbones of ``space.backbones`` that were left out, by reason.
    """

    backbones: tuple[Backbone, ...]
    left_out: dict[str, int]


def select(config: SpaceConfig, root: Path | None = None) -> list[Backbone]:
    """Return the backbones that patterns and limits leave.

    Torch is imported only for names that begin with ``hf:`` and were not seen before.

    Args:
        config: The configuration of the space.
        root: Folder of all studies, in which the rows of such names are remembered.

    Raises:
        ConfigError: For every pattern that matches nothing, or when nothing is left.
    """
    return list(selection(config, root).backbones)


def selection(config: SpaceConfig, root: Path | None = None) -> Selection:
    """Return the backbones that are left, and the number of the others by reason.

    Each backbone that is left out counts for the first reason.

    Raises:
        ConfigError: Like ``select``.
    """
    rows = catalog()
    hub = {row.name: row for row in _hub(config, root)}
    patterns = [pattern for pattern in config.backbones if not is_hub(pattern)]
    _check_patterns(config, patterns, rows, hub)
    left = [rows[name] for name in match(patterns, list(rows))] + list(hub.values())
    left_out: dict[str, int] = {}
    for reason, is_kept in _rules(config, [*rows, *hub]):
        kept = [row for row in left if is_kept(row)]
        if len(kept) < len(left):
            left_out[reason] = len(left) - len(kept)
        left = kept
    if not left:
        words = ", ".join(f"{count} {why}" for why, count in left_out.items())
        raise ConfigError(f"space: no backbone is left: {words}. Widen the patterns or limits.")
    return Selection(tuple(left), left_out)


def left_out_by(config: SpaceConfig, row: Backbone) -> str | None:
    """Return why patterns and limits leave a backbone of timm out; None where they keep it."""
    if not match(config.backbones, [row.name]):
        return f"not of space.backbones={','.join(config.backbones)}"
    rules = _rules(config, [row.name])
    return next((reason for reason, is_kept in rules if not is_kept(row)), None)


def _hub(config: SpaceConfig, root: Path | None) -> list[Backbone]:
    """Return the rows of the names that begin with ``hf:``, which are no patterns."""
    names = [name for name in config.backbones if is_hub(name)]
    if not names:
        return []
    from archfront.search.catalog.hub import hub_rows

    return hub_rows(names, (root or default_root()) / "cache" / "hub.json")


def _check_patterns(
    config: SpaceConfig,
    patterns: list[str],
    rows: dict[str, Backbone],
    hub: dict[str, Backbone],
) -> None:
    names, every = list(rows), [*rows.values(), *hub.values()]
    families = sorted({row.family for row in every})
    of = f"The catalog has {len(names)} of timm {timm_version()}."
    problems = [
        f"space.backbones: no timm architecture is called {quoted(pattern)}"
        f"{_hint(pattern, names)}. {of}"
        for pattern in patterns
        if not match([pattern], names)
    ]
    problems += [
        f"space.families: {unknown('family', pattern, families)}"
        for pattern in config.families
        if not match([pattern], families)
    ]
    licences = sorted({tag.licence for row in every for tag in row.tags})
    problems += [
        f"space.licences: {unknown('license', pattern, licences)}"
        for pattern in config.licences
        if not match([pattern], [*licences, "?"])
    ]
    if problems:
        raise ConfigError(*problems)


def _hint(pattern: str, names: Sequence[str]) -> str:
    """Return what a name that is none of the catalog may mean, for an error."""
    on_hub = HUB_PREFIX.sub("", pattern)
    base = on_hub.removeprefix("timm/").partition(".")[0]
    if base != pattern and base in names:
        return (
            f"; give timm's own name, space.backbones={base}, whose weights follow from "
            "space.weights"
        )
    if on_hub != pattern and not on_hub.startswith("timm/"):
        return f"; give a network of transformers as space.backbones=hf:{on_hub}"
    return near(base, names)


def _rules(config: SpaceConfig, names: list[str]) -> list[tuple[str, Callable[[Backbone], bool]]]:
    """Return every reason to leave a backbone out, with the rule that keeps it."""
    excluded = set(match(config.exclude, names))
    limit = math.inf if config.params_m_max is None else config.params_m_max
    return [
        ("excluded by space.exclude", lambda row: row.name not in excluded),
        ("not buildable", lambda row: row.is_built),
        (
            f"not of space.families={','.join(config.families)}",
            lambda row: bool(match(config.families, [row.family])),
        ),
        (
            f"over space.params_m_max={limit:g}",
            lambda row: row.params_m <= limit,
        ),
        (
            f"whose weights are not of space.licences={','.join(config.licences)}",
            # Which weights of a folder are meant is known when they are found.
            lambda row: config.weights != "pretrained" or has_licence(row, config, DEFAULT),
        ),
    ]


def has_licence(backbone: Backbone, config: SpaceConfig, weights: Weights) -> bool:
    """Return whether weights have a license that was asked for; random ones always do.

    Patterns are compared with timm's words in lower case; ``*`` also takes weights that timm
    knows no license of.
    """
    return weights.source == "none" or bool(
        match(config.licences, [backbone.licence(weights.tag)])
    )
