"""The table of a front, at every width, and what is shortened where it does not fit."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from archfront.search.commands.consoles import print_table
from archfront.search.front.members import build_front, pairwise
from archfront.search.report.fitted_table import Column, FittedTable
from archfront.search.report.front_table import front_table
from tests.support.recorded_study import OBJECTIVES, candidate, study
from tests.support.study_screen import console, long_front, printed


def test_the_front_table_has_a_row_a_member_with_what_it_is() -> None:
    members = build_front(
        study(), OBJECTIVES, ties=pairwise(lambda a, b: {a.trial, b.trial} == {20, 21})
    )
    to = console(160)
    to.print(front_table(members, "balanced_accuracy"))
    text = printed(to)
    lines = text.splitlines()
    assert lines[0].strip() == "Pareto front, fastest first"
    assert "balanced accuracy" in text
    rows = [line for line in lines if re.match(r"│\s+\d", line)]
    assert [int(row.split("│")[1]) for row in rows] == [m.trial for m in members]
    assert "fastest" in rows[0]
    assert sum("knee" in row for row in rows) == 1
    best = max(range(len(members)), key=lambda i: members[i].metric)
    assert "best" in rows[best]
    for member, row in zip(members, rows, strict=True):
        assert f"{member.metric:.4f}" in row
        assert f"{member.latency_ms:.3f}" in row
        assert ("ties with" in row) is bool(member.ties)


def test_test_scores_get_a_column_when_there_are_any() -> None:
    members = build_front(study(), OBJECTIVES)
    to = console(160)
    to.print(front_table(members, "accuracy", {members[0].trial: {"accuracy": 0.12345}}))
    assert " test " in printed(to)
    assert printed(to).count("0.1235") + printed(to).count("0.1234") == 1
    without = console(160)
    without.print(front_table(members, "accuracy"))
    assert " test " not in printed(without)


def test_axes_on_which_recipes_differ_get_a_column() -> None:
    members = build_front(study(), OBJECTIVES)
    to = console(160)
    to.print(front_table(members, "accuracy"))
    assert " lr " not in printed(to)
    other = replace(members[-1].candidate, recipe=replace(members[-1].candidate.recipe, lr=0.0123))
    to = console(160)
    to.print(front_table([*members[:-1], replace(members[-1], candidate=other)], "accuracy"))
    assert " lr " in printed(to)
    assert " augment " not in printed(to)
    assert printed(to).count("0.0123") == 1
    assert printed(to).count(f" {members[0].candidate.recipe.lr} ") == len(members) - 1


@pytest.mark.parametrize("width", [80, 100, 160])
def test_the_numbers_of_a_front_can_be_read_at_any_width(width: int) -> None:
    """No number could be read at 80 columns, and with recipes not even at 160."""
    names = ["efficientnetv2_rw_t", "vit_base_patch16_clip_quickgelu_224", "resnet18"]
    members = [
        replace(
            member,
            candidate=replace(
                candidate(names[i % 3], "fpn yolo w64 d2", 224),
                recipe=replace(member.candidate.recipe, lr=0.001 * (i + 1), batch_size=2**i),
            ),
            ties=(20, 21, 22) if i == 1 else (),
        )
        for i, member in enumerate(build_front(study(), OBJECTIVES))
    ]
    to = console(width)
    to.print(front_table(members, "balanced_accuracy", costs=["latency_ms", "size_mb"]))
    lines = printed(to).splitlines()
    assert max(map(len, lines)) <= width
    rows = [line for line in lines if re.match(r"│\s+\d", line)]
    for member, row in zip(members, rows, strict=True):
        cells = [cell.strip() for cell in row.strip("│").split("│")]
        assert {f"{member.metric:.4f}", f"{member.latency_ms:.3f}"} < set(cells)
        assert f"{member.size_mb:.4g}" in cells
        start, _, end = cells[1].partition("…")
        backbone = member.candidate.architecture.backbone
        assert backbone.startswith(start)
        assert backbone.endswith(end)
        assert len(cells[1]) >= min(len(backbone), 22)
    hidden = " ".join(lines).partition("Not shown at this width: ")[2]
    assert ("params M" in hidden, "interval" in hidden) == (width < 160, width == 80)


def test_a_table_in_a_pipe_has_all_of_its_columns() -> None:
    to = console(40)
    print_table(to, front_table(build_front(study(), OBJECTIVES), "accuracy"))
    assert "params M" in printed(to)
    assert "Not shown" not in printed(to)
    narrow = console(40, is_terminal=True)
    print_table(narrow, front_table(build_front(study(), OBJECTIVES), "accuracy"))
    assert "params M │" not in printed(narrow)


def test_an_empty_front_is_an_empty_table() -> None:
    to = console()
    to.print(front_table([], "accuracy"))
    assert "backbone" in printed(to)


@pytest.mark.parametrize("width", [20, 60, 120])
def test_a_table_of_many_members_with_long_names_fits_its_width(width: int) -> None:
    to = console(width)
    to.print(front_table(build_front(long_front(20), OBJECTIVES), "accuracy"))
    assert all(len(line) <= width for line in printed(to).splitlines())


def test_keys_are_never_cut_and_remarks_are_broken_between_words() -> None:
    columns = [
        Column("study", kind="key"),
        Column("state", kind="words"),
        Column("started", 1),
    ]
    table = FittedTable("Studies", columns)
    table.add_row(
        "a-study-with-a-name-of-thirty-nine-char", "stopped: the disk is full", "2026-11-29"
    )
    to = console(62)
    to.print(table)
    text = printed(to)
    assert "a-study-with-a-name-of-thirty-nine-char" in text
    assert "stopped: the" in text
    assert "disk is full" in text
    assert "2026" not in text
    assert text.endswith("Not shown at this width: started.\n")
    assert max(map(len, text.splitlines())) <= 62
    whole = console(table.full_width)
    whole.print(table)
    assert "Not shown" not in printed(whole)
