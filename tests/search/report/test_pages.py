"""The files of a study's report, written from its records."""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import replace
from pathlib import Path

from archfront.search.profile.faults import Fault
from archfront.search.records.paths import StudyPaths
from archfront.search.records.store import reading
from archfront.search.report import pages
from archfront.search.report.details_figure import confusion_figure
from archfront.search.report.document import render
from archfront.search.results.results import Results
from archfront.search.results.select_members import aliases, best_member
from tests.support import recorded_store
from tests.support.small_profile import small_profile


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


def test_the_profile_of_the_data_stands_at_the_beginning_of_the_report(tmp_path: Path) -> None:
    found = recorded(tmp_path)
    assert 'id="profile"' not in render(pages.record(found))
    fault = Fault("empty classes", 2, "Two.", "Remove them.")
    profile = replace(small_profile(), faults=(fault,))
    found.paths.profile.write_text(profile.as_json(), encoding="utf-8")
    page = render(pages.record(found))
    told = page[page.index('id="profile"') : page.index('id="answer"')]
    assert "Faults: empty classes (2)." in told
    assert "1.67 times as many images of &#39;rose&#39; as of &#39;tulip&#39;" in told


def test_a_damaged_profile_takes_nothing_else_away(tmp_path: Path) -> None:
    found = recorded(tmp_path)
    found.paths.profile.write_text("{", encoding="utf-8")
    page = render(pages.record(found))
    assert "Not written: the profile of the data" in page
    assert 'id="front"' in page


def test_what_was_written_about_the_best_member_is_in_the_report(tmp_path: Path) -> None:
    found = recorded(tmp_path)
    assert "Where the best member is wrong" not in render(pages.record(found))
    best = max(found.front(), key=lambda member: member.metric)
    evaluation = next(e for e in found.evaluations if e.trial == best.trial)
    details = {
        "class_names": ["cat", "<dog>"],
        "metrics": {"recall": [0.25, None]},
        "confusion": [[1, 3], [0, 0]],
        "curves": {"cat": [1.0, 0.5]},
    }
    paths, predictions = found.paths, evaluation.outcome.predictions
    paths.details(predictions).parent.mkdir(parents=True, exist_ok=True)
    paths.details(predictions).write_text(json.dumps(details), encoding="utf-8")
    paths.mistakes(predictions).write_bytes(b"picture")
    page = render(pages.record(found))
    assert "Where the best member is wrong" in page
    assert "Confusion matrix" in page
    assert "Precision by recall, IoU 0.5" in page
    assert '<td class="text">&lt;dog&gt;</td>' in page
    assert "<td>0.250</td>" in page
    assert "data:image/png;base64,cGljdHVyZQ==" in page


def test_a_report_says_why_the_mistakes_of_the_best_member_are_left_out(tmp_path: Path) -> None:
    found = recorded(tmp_path)
    page = " ".join(render(pages.record(found)).split())
    best = aliases(found.front())["best"]
    assert f"Where the best member (trial {best}) is wrong is not shown" in page


def test_the_member_whose_mistakes_are_shown_is_the_one_called_best(tmp_path: Path) -> None:
    first, *others = recorded(tmp_path).front()
    high = replace(first, metric=1.0, not_better_than="the commonest class")
    assert best_member([]) is None
    shown = best_member([high, *others])
    assert shown is not None
    assert shown.trial == max(others, key=lambda member: member.metric).trial


def test_no_two_parts_of_a_report_have_one_id(tmp_path: Path) -> None:
    found = recorded(tmp_path)
    details = {"class_names": ["a"], "metrics": {"recall": [1.0]}, "confusion": [], "curves": {}}
    page = render(replace(pages.record(found), details=details, mistakes=b"picture"))
    ids = re.findall(r'<(?:section|table|div|p)[^>]* id="([^"]+)"', page)
    assert len(ids) == len(set(ids)) > 5


def test_the_confusion_matrix_shows_shares_of_true_classes() -> None:
    details = {"class_names": ["cat", "dog"], "confusion": [[1, 3], [0, 0]]}
    [heat] = confusion_figure(details).data
    assert [list(row) for row in heat.z] == [[0.25, 0.75], [0, 0]]
    assert (list(heat.x), list(heat.y)) == (["cat", "dog"], ["cat", "dog"])
