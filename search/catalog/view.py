"""Rows of the catalog that pass filters, as records for programs and lines for people."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from archfront.search.catalog.backbones import Backbone
from archfront.search.catalog.catalog_files import catalog, match, near
from archfront.search.errors import ConfigError, unknown
from archfront.trainers.words import count_of, quoted

# The values that a list can be sorted by; the best accuracy comes first.
SORTS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "name": lambda row: row["name"],
    "params_m": lambda row: _last(row["params_m"]),
    "macs_g": lambda row: _last(row["macs_g"]),
    "acts_m": lambda row: _last(row["acts_m"]),
    "top1": lambda row: -(row["top1"] or 0),
}


@dataclass(frozen=True)
class Filter:
    """Which rows are shown; None for no limit.

    Attributes:
        patterns: Names or patterns of names; all rows if empty.
        families: Patterns of timm modules.
        licences: Patterns of the license of timm's default weights.
        input_size: Only rows that take this input size; costs are those at this size.
        params_m_max: The most parameters, in millions.
        macs_g_max: The most multiply-accumulates at the size shown, in billions.
    """

    patterns: tuple[str, ...] = ()
    families: tuple[str, ...] = ()
    licences: tuple[str, ...] = ()
    input_size: int | None = None
    params_m_max: float | None = None
    macs_g_max: float | None = None


def chosen(wanted: Filter) -> list[Backbone]:
    """Return the rows that pass a filter, in timm's order.

    Raises:
        ConfigError: If a pattern matches nothing, or no row is left.
    """
    rows = catalog()
    names = list(rows)
    families = sorted({row.family for row in rows.values()})
    licences = sorted({row.licence() for row in rows.values()})
    _check("timm architecture is called", wanted.patterns, names)
    _check("family is called", wanted.families, families)
    _check("license is called", wanted.licences, licences)
    of_pattern = [rows[name] for name in match(wanted.patterns or ("*",), names)]
    left = [row for row in of_pattern if _is_within(row, wanted)]
    if not left:
        raise ConfigError(
            f"None of {count_of(len(of_pattern), 'architecture')} passes the filters. "
            "Raise the limits, or leave some out."
        )
    return left


def _check(what: str, patterns: Iterable[str], names: Sequence[str]) -> None:
    problems = [
        f"No {what} {quoted(pattern)}{near(pattern, names)}."
        for pattern in patterns
        if not match([pattern], names)
    ]
    if problems:
        raise ConfigError(*problems)


def _is_within(row: Backbone, wanted: Filter) -> bool:
    size = wanted.input_size
    if wanted.families and not match(wanted.families, [row.family]):
        return False
    if wanted.licences and not match(wanted.licences, [row.licence()]):
        return False
    if size is not None and not (row.is_built and row.takes(size)):
        return False
    macs_g = row.costs_at(size or row.input_size).macs_g
    return all(
        limit is None or value <= limit
        for value, limit in ((row.params_m, wanted.params_m_max), (macs_g, wanted.macs_g_max))
    )


def record(row: Backbone, size: int | None = None) -> dict[str, Any]:
    """Return a row as a flat record, with costs at a size; at the row's own size for None."""
    shown = size or row.input_size
    costs = row.costs_at(shown)
    best = row.published[0] if row.published else None
    return {
        "name": row.name,
        "family": row.family,
        "params_m": _number(row.params_m),
        "input_size": shown,
        "macs_g": _number(costs.macs_g),
        "acts_m": _number(costs.acts_m),
        "elements_m": _number(costs.elements_m),
        "own_size": row.input_size,
        "sizes": row.size_rule if row.is_built else None,
        "n_ops": row.n_ops,
        "macs_shares": list(row.macs_shares),
        "elements_shares": list(row.elements_shares),
        "strides": list(row.strides),
        "channels": list(row.channels),
        "receptive_fields": [_side(side) for side in row.receptive_fields],
        "effective_size": row.effective_size,
        "effective_fields": list(row.effective_fields),
        "sees_px": _number(row.seen_px(shown)),
        "heads": list(row.heads_among([head for group in row.heads for head in group])),
        "is_fusable": row.is_fusable,
        "top1": best.top1 if best else None,
        "top1_tag": best.tag if best else None,
        "top1_size": best.input_size if best else None,
        "default_tag": row.tags[0].name if row.tags else None,
        "data": row.tags[0].data if row.tags else None,
        "licence": row.licence() if row.tags else None,
        "problem": row.problem or None,
    }


def details(row: Backbone) -> dict[str, Any]:
    """Return a row as a nested record of everything in it."""
    return {
        **record(row),
        "head_groups": [list(group) for group in row.heads],
        "costs": [
            {"input_size": size, **{n: getattr(c, n) for n in ("macs_g", "acts_m", "elements_m")}}
            for size, c in row.costs
        ],
        "tags": [
            {
                "tag": tag.name,
                "data": tag.data,
                "licence": tag.licence,
                "top1": [[p.input_size, p.top1] for p in row.published if p.tag == tag.name],
            }
            for tag in row.tags
        ],
    }


def in_order(records: list[dict[str, Any]], key: str) -> list[dict[str, Any]]:
    """Return records sorted by a value, those without the value last.

    Raises:
        ConfigError: If records cannot be sorted by this value.
    """
    if key not in SORTS:
        raise ConfigError(f"--sort: {unknown('value', key, SORTS)}")
    return sorted(records, key=SORTS[key])


def detail_lines(row: Backbone) -> list[str]:
    """Return the facts of one row as lines of text, without its tables."""
    heads = ", ".join(" = ".join(group) for group in row.heads) or "none"
    maps = zip(row.strides, row.channels, strict=True)
    facts = {
        "family": row.family,
        "params": f"{row.params_m:.4g} M",
        "own size": f"{row.input_size} px",
        "sizes": row.size_rule,
        "heads": heads,
        "maps": ", ".join(f"{c} channels at stride {s}" for s, c in maps) or "none",
        **_fields(row),
        "operations": f"{row.n_ops}",
        "MACs": f"{row.depthwise_share:.0%} grouped, {row.matmul_share:.0%} matrix products",
        "fusable": "yes: its blocks are merged before it is measured" if row.is_fusable else "no",
    }
    if not row.is_built:
        facts = {"family": row.family}
    if row.problem:
        facts["problem"] = row.problem
    return [f"{name:<11} {value}" for name, value in facts.items()]


def _fields(row: Backbone) -> dict[str, str]:
    """Return the lines on what a position of each map sees of the image, as far as it is known."""
    facts = {}
    if row.receptive_fields:
        sides = ", ".join(str(_side(side)) for side in row.receptive_fields)
        facts["fields"] = f"{sides} px, from the finest map to the deepest"
    if row.effective_size is not None:
        sides = ", ".join(f"{side:g}" for side in row.effective_fields)
        facts["effective"] = f"{sides} px of {row.effective_size} px, with drawn weights"
    return facts


def _side(side: float) -> float | str:
    """Return the side of a field as records have it: a number, or that it is the whole image."""
    return "image" if math.isinf(side) else round(side)


def _last(value: float | None) -> float:
    return math.inf if value is None else value


def _number(value: float) -> float | None:
    return None if math.isnan(value) else float(f"{value:.6g}")
