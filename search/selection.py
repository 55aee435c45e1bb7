"""Which backbones a configuration asks for, from the catalog alone."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from search.catalog import Backbone, catalog, match, near, timm_version
from search.config import SpaceConfig
from search.errors import ConfigError, unknown
from trainers.spec import Weights

# timm's own choice among the weights of a name.
DEFAULT = Weights("pretrained")


@dataclass(frozen=True)
class Selection:
    """What patterns and limits leave of the catalog.

    Attributes:
        backbones: Those that are left, in the catalog's order.
        left_out: How many of those that ``space.backbones`` names were left out, by reason.
    """

    backbones: tuple[Backbone, ...]
    left_out: dict[str, int]


def select(config: SpaceConfig) -> list[Backbone]:
    """Return the backbones that patterns and limits leave, without importing torch.

    Raises:
        ConfigError: For every pattern that matches nothing, or when nothing is left.
    """
    return list(selection(config).backbones)


def selection(config: SpaceConfig) -> Selection:
    """Return the backbones that are left and how many are not.

    Each backbone that is left out counts for the first reason.

    Raises:
        ConfigError: As ``select``.
    """
    rows = catalog()
    names = list(rows)
    _check_patterns(config, rows)
    left = [rows[name] for name in match(config.backbones, names)]
    left_out: dict[str, int] = {}
    for reason, is_kept in _rules(config, names):
        kept = [row for row in left if is_kept(row)]
        if len(kept) < len(left):
            left_out[reason] = len(left) - len(kept)
        left = kept
    if not left:
        words = ", ".join(f"{count} {why}" for why, count in left_out.items())
        raise ConfigError(f"space: no backbone is left: {words}. Widen the patterns or limits.")
    return Selection(tuple(left), left_out)


def _check_patterns(config: SpaceConfig, rows: dict[str, Backbone]) -> None:
    names = list(rows)
    families = sorted({row.family for row in rows.values()})
    of = f"The catalog has {len(names)} of timm {timm_version()}."
    problems = [
        f"space.backbones: no timm architecture is called {pattern!r}{near(pattern, names)}. {of}"
        for pattern in config.backbones
        if not match([pattern], names)
    ]
    problems += [
        f"space.families: {unknown('family', pattern, families)}"
        for pattern in config.families
        if not match([pattern], families)
    ]
    licences = sorted({tag.licence for row in rows.values() for tag in row.tags})
    problems += [
        f"space.licences: {unknown('licence', pattern, licences)}"
        for pattern in config.licences
        if not match([pattern], [*licences, "?"])
    ]
    if problems:
        raise ConfigError(*problems)


def _rules(config: SpaceConfig, names: list[str]) -> list[tuple[str, Callable[[Backbone], bool]]]:
    """Return every reason to leave a backbone out, with what keeps it."""
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
    """Return whether weights have a licence that was asked for; random ones always do.

    Patterns are compared with timm's words in lower case; ``*`` also takes weights that timm
    knows no licence of.
    """
    return weights.source == "none" or bool(
        match(config.licences, [backbone.licence(weights.tag)])
    )
