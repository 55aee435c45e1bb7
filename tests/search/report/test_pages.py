"""The files of a study's report, written from its records."""

from __future__ import annotations

import json
import shlex
from dataclasses import replace
from pathlib import Path

from archfront.search.records.paths import StudyPaths
from archfront.search.records.store import reading
from archfront.search.report import pages
from archfront.search.results.results import Results
from tests.support import recorded_store


def recorded(root: Path) -> Results:
    paths = recorded_store.write(root)
    return Results.read(reading(paths, None), paths)


def test_the_command_of_a_report_survives_a_shell() -> None:
    paths = StudyPaths(Path("/my studies/it's here"), "flowers")
    words = shlex.split(pages.command(paths))
    assert words == ["archfront", "run", "--config", str(paths.config), "study=flowers-again"]


def test_a_study_without_a_front_has_no_picture(tmp_path: Path) -> None:
    found = recorded(tmp_path)
    untrained = replace(found, evaluations=[e for e in found.evaluations if e.kind != "trained"])
    files = pages.write(untrained)
    assert [file.name for file in files] == ["front.json", "report.html"]
    assert json.loads(files[0].read_text(encoding="utf-8")) == []


def test_key_figures_count_every_trial_and_second(tmp_path: Path) -> None:
    found = recorded(tmp_path)
    figures = pages.key_figures(found)
    assert {name: figures[name] for name in ("n_trained", "n_rejected", "n_failed")} == {
        "n_trained": 16,
        "n_rejected": 6,
        "n_failed": 2,
    }
    assert {name: figures[f"{name}_s"] for name in found.seconds()} == found.seconds()
    assert figures["hypervolume"] > 0
