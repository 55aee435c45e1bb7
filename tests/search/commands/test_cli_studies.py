"""The verbs that read, report and delete recorded studies."""

from __future__ import annotations

import csv
import fcntl
import io
import json
import os
import sqlite3
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from archfront.search.cli import main
from archfront.search.commands import delete
from archfront.search.commands import list as list_command
from archfront.search.front.members import build_front
from archfront.search.records.evaluation import Fidelity
from archfront.search.records.fold_scores import FoldMean
from archfront.search.records.paths import StudyPaths
from archfront.search.records.store import driving
from archfront.search.results.results import Results
from tests.support import recorded_store, recorded_study
from tests.support.command import Output, fails, succeeds

FRONT_KEYS = {
    "trial",
    "candidate_id",
    "backbone",
    "head",
    "input_size",
    "metric",
    "metric_low",
    "metric_high",
    "latency_ms",
}


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in an empty folder, without the variables of whoever runs the tests."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    for name in ("ARCHFRONT_ROOT", "ARCHFRONT_DEVICE_DB", "ARCHFRONT_STORAGE_URL"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def flowers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StudyPaths:
    """Return a finished study in the root that the environment says."""
    root = tmp_path / "studies [of] mine"
    monkeypatch.setenv("ARCHFRONT_ROOT", str(root))
    monkeypatch.setenv("MPLCONFIGDIR", str(tmp_path / "matplotlib"))
    return recorded_store.write(root)


class TestFront:
    def test_it_is_a_table_by_default(self, capsys: Output, flowers: StudyPaths) -> None:
        text = succeeds(capsys, "front", "flowers")
        members = build_front(recorded_study.study(), recorded_study.OBJECTIVES)
        assert text.splitlines()[0].rstrip() == "Pareto front, fastest first"
        assert all(f"{member.latency_ms:.3f}" in text for member in members)

    def test_a_front_without_a_full_training_is_provisional(
        self, capsys: Output, flowers: StudyPaths, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert "provisional" not in succeeds(capsys, "front", "flowers")
        probe = Fidelity(epochs=0, horizon=3, share=1.0, kept_epoch=0)
        found = build_front(recorded_study.study(), recorded_study.OBJECTIVES)
        members = [replace(member, fidelity=probe) for member in found]
        monkeypatch.setattr(Results, "front", lambda _: members)
        assert "The front is provisional: no member" in succeeds(capsys, "front", "flowers")

    def test_json_has_every_member_with_every_field(
        self, capsys: Output, flowers: StudyPaths
    ) -> None:
        rows = json.loads(succeeds(capsys, "front", "flowers", "--json"))
        members = build_front(recorded_study.study(), recorded_study.OBJECTIVES)
        assert [row["trial"] for row in rows] == [member.trial for member in members]
        assert [row["candidate_id"] for row in rows] == [m.candidate.id for m in members]
        assert all(row.keys() >= FRONT_KEYS for row in rows)

    def test_csv_says_the_same_as_json(self, capsys: Output, flowers: StudyPaths) -> None:
        rows = json.loads(succeeds(capsys, "front", "--json", "flowers"))
        table = list(csv.DictReader(io.StringIO(succeeds(capsys, "--csv", "front", "flowers"))))
        assert len(table) == len(rows)
        for cells, row in zip(table, rows, strict=True):
            assert cells.keys() == row.keys()
            assert float(cells["latency_ms"]) == row["latency_ms"]
            assert json.loads(cells["ties"]) == row["ties"]

    def test_csv_has_what_only_some_members_have(
        self, capsys: Output, flowers: StudyPaths, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A front of which folds had judged all but the fastest member ended in a traceback."""
        first, second, *others = build_front(recorded_study.study(), recorded_study.OBJECTIVES)
        judged = replace(second, folds=FoldMean(0.8, 0.7, 0.9, 5))
        monkeypatch.setattr(Results, "front", lambda _: [first, judged, *others])
        table = list(csv.DictReader(io.StringIO(succeeds(capsys, "front", "flowers", "--csv"))))
        assert [row["fold_metric"] for row in table[:2]] == ["", "0.8"]

    def test_a_study_without_trials_has_no_front(self, capsys: Output, tmp_path: Path) -> None:
        places = StudyPaths(tmp_path, "empty")
        with driving(places, None, list(recorded_study.OBJECTIVES)):
            places.config.write_text("{}")
        words = ("front", "empty", "--root", str(tmp_path))
        assert "has no trained candidate yet" in succeeds(capsys, *words)
        assert json.loads(succeeds(capsys, *words, "--json")) == []
        assert fails(capsys, 1, "report", *words[1:]).endswith("has no records yet, so no report.")
        assert "state     stopped" in succeeds(capsys, "show", *words[1:])
        assert json.loads(succeeds(capsys, "show", *words[1:], "--json"))["front"] == []

    def test_a_study_that_ended_without_a_trained_candidate_says_why(
        self, capsys: Output, flowers: StudyPaths, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Every verb said that a finished study had no trained candidate "yet", and no more."""
        monkeypatch.setattr(Results, "front", lambda _: [])
        told = "The study 'flowers' has no trained candidate. It is finished: "
        assert succeeds(capsys, "front", "flowers").startswith(told)
        assert fails(capsys, 1, "refit", "flowers").startswith(told)

    @pytest.mark.parametrize("verb", ["front", "show", "report", "delete"])
    def test_an_unknown_study_gets_the_names_of_those_there(
        self, capsys: Output, flowers: StudyPaths, verb: str
    ) -> None:
        assert fails(capsys, 1, verb, "flower") == (
            f"There is no study 'flower' in {flowers.root}. There are: flowers. Another folder is "
            "chosen by --root or ARCHFRONT_ROOT; archfront run study=flower ... starts one."
        )

    def test_a_root_above_is_told_as_its_folder(self, capsys: Output, tmp_path: Path) -> None:
        """It was told as ``here/../theirs``."""
        told = succeeds(capsys, "list", "--root", "../theirs")
        assert told.startswith(f"There is no study in {tmp_path / 'theirs'}.")

    def test_a_root_without_studies_says_so(self, capsys: Output, tmp_path: Path) -> None:
        root = tmp_path / "here" / "mlruns"
        assert fails(capsys, 1, "front", "x").startswith(
            f"There is no study 'x' in {root}. There is none yet."
        )
        assert succeeds(capsys, "list") == (
            f"There is no study in {root}. archfront run study=NAME ... starts one.\n"
        )
        assert json.loads(succeeds(capsys, "list", "--json")) == []
        assert not root.exists()


class TestListShowReport:
    def test_list_gives_a_line_for_each_study(self, capsys: Output, flowers: StudyPaths) -> None:
        recorded_store.write(flowers.root, "front")
        text = succeeds(capsys, "list")
        # A long path is wrapped, wherever that is.
        expected = f"Studies in {flowers.root}"
        assert "".join(expected.split()) in "".join(text.split())
        (line,) = (line for line in text.splitlines() if "flowers" in line)
        assert "finished" in line
        first, second = json.loads(succeeds(capsys, "list", "--json"))
        assert (first["study"], first["trained"], first["rejected"], first["failed"]) == (
            "flowers",
            16,
            6,
            2,
        )
        assert second["study"] == "front"

    def test_list_puts_every_value_under_its_name(
        self, capsys: Output, flowers: StudyPaths, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """With one study that has trials below the top, values of the others slipped a column."""
        recorded_store.write(flowers.root, "front")
        summary = list_command._summary

        def with_stopped(root: Path, name: str, url: str | None) -> dict[str, Any]:
            found = summary(root, name, url)
            if name == "front":
                return found
            return {
                "study": name,
                "stopped": 3,
                **{k: v for k, v in found.items() if k != "study"},
            }

        monkeypatch.setattr(list_command, "_summary", with_stopped)
        monkeypatch.setenv("COLUMNS", "250")
        text = succeeds(capsys, "list")
        (line,) = (line for line in text.splitlines() if "front" in line and "flowers" not in line)
        cells = [cell.strip() for cell in line.split("│")]
        assert cells[2] == ""

    def test_a_study_may_be_named_like_a_verb(self, capsys: Output, flowers: StudyPaths) -> None:
        recorded_store.write(flowers.root, "list")
        assert json.loads(succeeds(capsys, "show", "list", "--json"))["study"] == "list"
        words = ("--root", str(flowers.root), "show", "--json", "list")
        assert json.loads(succeeds(capsys, *words))["study"] == "list"

    def test_a_study_that_cannot_be_read_hides_no_other(
        self, capsys: Output, flowers: StudyPaths
    ) -> None:
        """The first row said how many columns there are."""
        broken = StudyPaths(flowers.root, "broken")
        broken.folder.mkdir()
        broken.config.write_text("{}")
        text = succeeds(capsys, "list")
        assert "unreadable" in text
        assert "trained" in text
        first, second = json.loads(succeeds(capsys, "list", "--json"))
        assert first["state"].startswith("unreadable: The study 'broken' has no records")
        assert second["state"] == "finished"

    @pytest.mark.parametrize("content", [b"", b"{}\n", b"\x00\xff\n\x00\n", b"null\n[]\n"])
    def test_a_damaged_journal_hides_no_other_study_and_can_be_deleted(
        self, capsys: Output, flowers: StudyPaths, content: bytes
    ) -> None:
        damaged = recorded_store.write(flowers.root, "damaged")
        damaged.journal.write_bytes(content)
        first, second = json.loads(succeeds(capsys, "list", "--json"))
        assert first["state"].startswith("unreadable: The records of 'damaged' in ")
        assert "damaged: " in first["state"]
        assert (second["study"], second["state"]) == ("flowers", "finished")
        assert "flowers" in succeeds(capsys, "list")
        assert "Without one: " in fails(capsys, 1, "show", "damaged")
        assert "Say --yes" in fails(capsys, 1, "delete", "damaged")
        assert succeeds(capsys, "delete", "damaged", "--yes").startswith("Removed damaged, whose")
        assert not damaged.folder.exists()
        assert flowers.journal.is_file()

    def test_show_tells_question_state_and_costs(
        self, capsys: Output, flowers: StudyPaths
    ) -> None:
        lines = succeeds(capsys, "show", "flowers").splitlines()
        told = dict(line.split(maxsplit=1) for line in lines)
        assert told["study"] == "flowers"
        assert told["state"] == "finished: 16 trials trained"
        assert told["trials"] == "16 trained, 6 rejected, 2 failed"
        assert told["folder"] == str(flowers.folder)
        assert "1,234 candidates" in told["space"]

    def test_show_as_json_has_the_front_too(self, capsys: Output, flowers: StudyPaths) -> None:
        content = json.loads(succeeds(capsys, "show", "flowers", "--json"))
        assert content["counts"] == {"trained": 16, "rejected": 6, "failed": 2}
        assert content["header"] == json.loads(
            json.dumps(recorded_store.header(flowers.root, "flowers").as_dict())
        )
        assert content["front"] == json.loads(succeeds(capsys, "front", "flowers", "--json"))

    @pytest.mark.slow
    def test_report_writes_its_files_and_names_them(
        self, capsys: Output, flowers: StudyPaths
    ) -> None:
        paths = [Path(line) for line in succeeds(capsys, "report", "flowers").splitlines()]
        assert {path.name for path in paths} == {
            "front.json",
            "report.html",
            "front.html",
            "front.png",
        }
        assert all(path.parent == flowers.folder and path.stat().st_size for path in paths)
        assert json.loads((flowers.folder / "front.json").read_text())

    def test_a_file_that_cannot_be_written_is_named(
        self, capsys: Output, flowers: StudyPaths
    ) -> None:
        """The person was shown a traceback."""
        part = flowers.folder / f".front.json.{os.getpid()}"
        part.mkdir()
        assert main(["report", "flowers"]) == 1
        shown = capsys.readouterr()
        file = flowers.folder / "front.json"
        assert shown.err.startswith(f"archfront: Not written: {file} (IsADirectoryError:")
        assert str(flowers.folder / "report.html") in shown.out.splitlines()

    def test_a_damaged_record_beside_the_study_takes_nothing_else_away(
        self, capsys: Output, flowers: StudyPaths
    ) -> None:
        """Neither the report nor a figure was written for a torn list of variants."""
        for name in ("variants.json", "exports.json"):
            (flowers.folder / name).write_text('[{"trial": 3')
        assert main(["report", "flowers"]) == 1
        told = capsys.readouterr().err
        assert "archfront: Not written: the variants (StudyError" in told
        assert "variants.json cannot be used" in told
        assert "Remove it; 'archfront variants flowers' measures them anew" in told
        assert "Not written: the exports (StudyError" in told
        page = (flowers.folder / "report.html").read_text(encoding="utf-8")
        assert "Not written: the variants" in page
        for name in ("front.json", "front.html", "front.png"):
            assert (flowers.folder / name).is_file(), name


class TestDelete:
    def test_it_asks_and_without_a_terminal_refuses(
        self, capsys: Output, flowers: StudyPaths, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))
        assert fails(capsys, 1, "delete", "flowers") == (
            f"Deleting 'flowers' would remove 24 trials in {flowers.folder} for good. Say --yes."
        )
        assert flowers.journal.is_file()

    @pytest.mark.parametrize(("answer", "is_kept"), [("n", True), ("", True), ("y", False)])
    def test_at_a_terminal_the_answer_counts(
        self,
        capsys: Output,
        flowers: StudyPaths,
        monkeypatch: pytest.MonkeyPatch,
        answer: str,
        is_kept: bool,
    ) -> None:
        terminal = io.StringIO(f"{answer}\n")
        monkeypatch.setattr(terminal, "isatty", lambda: True)
        monkeypatch.setattr(sys, "stdin", terminal)
        assert main(["delete", "flowers"]) == int(is_kept)
        assert f"Remove 24 trials in {flowers.folder}? [y/N] " in capsys.readouterr().out
        assert flowers.folder.exists() is is_kept

    def test_yes_removes_one_study_and_no_other(self, capsys: Output, flowers: StudyPaths) -> None:
        recorded_store.write(flowers.root, "other")
        text = succeeds(capsys, "delete", "--yes", "flowers")
        assert text == "Removed flowers: 24 trials, 0 MLflow runs.\n"
        assert not flowers.folder.exists()
        assert [row["study"] for row in json.loads(succeeds(capsys, "list", "--json"))] == [
            "other"
        ]

    def test_a_study_is_removed_from_a_full_disk(
        self, capsys: Output, flowers: StudyPaths, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """MLflow could not mark the runs as deleted, and so nothing was removed."""

        def mark(results: Results, uri: str | None) -> int:
            if flowers.folder.exists():
                raise sqlite3.OperationalError("database or disk is full")
            return 3

        monkeypatch.setattr(delete, "_remove_runs", mark)
        assert "3 MLflow runs." in succeeds(capsys, "delete", "flowers", "--yes")
        assert not flowers.folder.exists()

    def test_nothing_is_made_where_nothing_is_to_be_removed(
        self, capsys: Output, flowers: StudyPaths
    ) -> None:
        """A database of MLflow was made, in seconds, to remove no run from it."""
        succeeds(capsys, "delete", "--yes", "flowers")
        assert [path.name for path in flowers.root.iterdir()] == ["studies"]

    def test_a_study_that_is_being_run_stays(self, capsys: Output, flowers: StudyPaths) -> None:
        with flowers.lock.open() as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            assert fails(capsys, 1, "delete", "--yes", "flowers") == (
                "The study 'flowers' is being run; end that first."
            )
        assert flowers.journal.is_file()

    def test_runs_kept_elsewhere_must_be_named(self, capsys: Output, tmp_path: Path) -> None:
        """The study's runs stayed in the other store, and nothing said so."""
        places = StudyPaths(tmp_path, "away")
        content = recorded_store.header(tmp_path, "away")
        content.config["tracking"]["mlflow_uri"] = "http://tracking:5000"
        with driving(places, None, list(recorded_study.OBJECTIVES)) as store:
            store.write_header(content)
            places.config.write_text("{}")
        words = ("delete", "away", "--yes", "--root", str(tmp_path))
        assert fails(capsys, 1, *words) == (
            "The study 'away' keeps its runs in http://tracking:5000. Give --mlflow-uri, so that "
            "they are removed too."
        )
        assert places.journal.is_file()


def test_the_page_of_mlflow_needs_its_database(capsys: Output, tmp_path: Path) -> None:
    assert fails(capsys, 1, "ui", "--root", str(tmp_path)) == (
        f"There is no MLflow database in {tmp_path}. Run a study first, or give --root."
    )
