"""Tables of the catalog fit any terminal: the least columns go first, and names are whole."""

from __future__ import annotations

from io import StringIO

import pytest
from rich.console import Console

from archfront.search.catalog import catalog
from archfront.search.catalog.view import record
from archfront.search.report.catalog_tables import costs_table, list_table, tags_table
from archfront.search.report.fitted_table import FittedTable

LONG = "vit_so150m2_patch16_reg1_gap_448"
NAMES = ("resnet18", "vit_base_patch16_224", LONG)
# The columns beside the name, the most important first.
ORDER = (
    *("params M", "MACs G", "top-1 %", "px", "license"),
    *("family", "acts M", "data", "strides", "fusable", "sees px"),
)


def shown(table: FittedTable, width: int) -> list[str]:
    out = StringIO()
    Console(file=out, width=width).print(table)
    return out.getvalue().splitlines()


def rows(names: tuple[str, ...] = NAMES) -> FittedTable:
    return list_table([record(catalog()[name]) for name in names])


@pytest.mark.parametrize("width", [50, 60, 70, 80, 100, 120, 150, 200])
def test_columns_go_in_their_order_and_names_are_whole(width: int) -> None:
    lines = shown(rows(), width)
    assert max(map(len, lines)) <= width
    assert all(any(f" {name} " in line for line in lines) for name in NAMES)
    said = " ".join(" ".join(lines).split())
    _, is_told, said = said.partition("Not shown at this width: ")
    hidden = said.rstrip(". ").split(", ") if is_told else []
    assert set(hidden) == set(ORDER[len(ORDER) - len(hidden) :])
    assert (width < 200) == bool(hidden)


def test_at_80_columns_costs_and_accuracy_are_there() -> None:
    text = " ".join(shown(rows(), 80))
    for heading in ("name", "params", "MACs", "top-1"):
        assert heading in text.split("Not shown")[0]


def test_a_name_wider_than_the_terminal_is_broken_not_cut() -> None:
    lines = shown(rows((LONG,)), 30)
    cells = [line.split("\u2502")[1].strip() for line in lines if line.startswith("\u2502")]
    assert "".join(cells) == LONG


@pytest.mark.parametrize("width", [50, 80, 160])
def test_the_tables_of_one_architecture_fit(width: int) -> None:
    row = catalog()["resnet50"]
    for table in (costs_table(row), tags_table(row)):
        assert max(map(len, shown(table, width))) <= width
    text = "\n".join(shown(tags_table(row), width))
    assert all(f" {tag.name} " in text for tag in row.tags)
