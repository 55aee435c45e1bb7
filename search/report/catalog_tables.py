"""The catalog's rows as tables for a terminal: what matters least goes first, names are whole."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from archfront.search.catalog.backbones import Backbone
from archfront.search.report.fitted_table import Column, FittedTable
from archfront.trainers.words import count_of


def list_table(records: Sequence[dict[str, Any]]) -> FittedTable:
    """Return records of ``catalog.view`` as a table."""
    columns = [
        Column("name", kind="key"),
        Column("family", 6, "key"),
        Column("params M", 1),
        Column("px", 4),
        Column("MACs G", 2),
        Column("acts M", 7),
        Column("top-1 %", 3),
        Column("strides", 9, "key"),
        Column("sees px", 11),
        Column("fusable", 10, "key"),
        Column("data", 8, "words"),
        Column("license", 5, "words"),
    ]
    table = FittedTable(count_of(len(records), "architecture"), columns)
    for row in records:
        table.add_row(
            row["name"],
            row["family"],
            *(_text(row[name]) for name in ("params_m", "input_size", "macs_g", "acts_m", "top1")),
            " ".join(map(str, row["strides"])),
            _text(row["sees_px"]),
            "yes" if row["is_fusable"] else "",
            row["data"] or "",
            row["licence"] or "",
        )
    return table


def costs_table(row: Backbone) -> FittedTable:
    """Return the costs of a row by input size as a table."""
    columns = [
        Column("px"),
        Column("MACs G"),
        Column("activations M", 1),
        Column("all outputs M", 2),
    ]
    table = FittedTable("Costs of one image", columns)
    for size, costs in row.costs:
        values = (costs.macs_g, costs.acts_m, costs.elements_m)
        table.add_row(str(size), *(_text(value) for value in values))
    return table


def tags_table(row: Backbone) -> FittedTable:
    """Return the pretrained weights of a row as a table, timm's default first."""
    columns = [
        Column("tag", kind="key"),
        Column("learned from", 3, "words"),
        Column("license", 2, "words"),
        Column("top-1 %", 1, "words"),
    ]
    table = FittedTable("Pretrained weights", columns)
    for tag in row.tags:
        published = [
            f"{p.top1:g} at {p.input_size} px" for p in row.published if p.tag == tag.name
        ]
        table.add_row(tag.name, tag.data, tag.licence, ", ".join(published))
    return table


def _text(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.3g}" if value < 1000 and not isinstance(value, int) else f"{value:.0f}"
