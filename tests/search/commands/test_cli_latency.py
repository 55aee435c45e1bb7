"""The verb ``latency``: what is done with what is remembered."""

from __future__ import annotations

import io
import json
import os
import sqlite3
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from archfront.search.catalog import catalog
from archfront.search.cli import main
from archfront.search.latency.database import Entry, LatencyKey, LatencyTable
from archfront.search.prepare import make_engine
from archfront.search.records.evaluation import Failed, Latency, Measurement
from archfront.trainers.spec import Architecture
from tests.support.command import Output, fails, succeeds, wrong_use
from tests.support.latency_answers import WORDS, Answers

CSV = "device,runtime,backbone,head,input_size,classes,channels,latency_ms\n"


@pytest.fixture(autouse=True)
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LatencyTable:
    """Work in an empty folder, with a table of its own."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.delenv("ARCHFRONT_ROOT", raising=False)
    monkeypatch.setenv("ARCHFRONT_DEVICE_DB", str(tmp_path / "latency.db"))
    return LatencyTable(tmp_path / "latency.db")


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> Answers:
    found = Answers()
    monkeypatch.setattr(make_engine, "perform", found)
    return found


def row(
    backbone: str = "resnet18", *, device: str = "phone", runtime: str = "tflite", **known: Any
) -> Entry:
    """Return an entry as an import gives it."""
    architecture = Architecture("classification", backbone, "avg", 224, 1000, 3)
    key = LatencyKey(device, runtime, "2", 1, 1, "fp32", "1.0", architecture)
    latency = Latency(
        8.0, 9.0, 0.01, 50, 10, 1, 1, runtime, "2", "fp32", device, "none", True, "imported"
    )
    latency = replace(latency, **known)
    return Entry(key, Measurement(latency, 11.7, 1.8, 46.0, 2.0), 1.7e9)


@pytest.fixture
def filled(table: LatencyTable) -> LatencyTable:
    """Return the table with four rows of two devices and two runtimes."""
    rows = [
        row(),
        row("resnet34", p50_ms=12.0),
        row("mobilenetv3_small_100", runtime="ncnn", p50_ms=2.0),
        row("resnet18", device="board", p50_ms=80.0, is_stable=False),
    ]
    table.put_imported(rows, {"phone": "Pixel 8", "board": "a [small] board"})
    return table


class TestShow:
    def test_it_is_sorted_as_asked(self, capsys: Output, filled: LatencyTable) -> None:
        def order(*words: str) -> list[tuple[str, float]]:
            rows = json.loads(succeeds(capsys, "latency", "show", "--json", *words))
            return [(each["backbone"], each["latency_ms"]) for each in rows]

        assert [ms for _, ms in order()] == [2.0, 8.0, 12.0, 80.0]
        names = [name for name, _ in order("--sort", "backbone")]
        assert names == ["mobilenetv3_small_100", "resnet18", "resnet18", "resnet34"]
        assert order("resnet*", "--device", "Pixel 8") == [("resnet18", 8.0), ("resnet34", 12.0)]
        assert order("--runtime", "ncnn", "--precision", "fp32")[0][1] == 2.0

    def test_the_table_names_devices_and_what_is_odd(
        self, capsys: Output, filled: LatencyTable
    ) -> None:
        text = succeeds(capsys, "latency", "show")
        assert "4 latencies" in text
        assert "board: a [small] board\nphone: Pixel 8" in "\n".join(
            line.rstrip() for line in text.splitlines()
        )
        assert "unstable" in text
        filled.put_failure(row("vgg11").key, Failed("export", "no [/red] exporter takes it\nmore"))
        assert "1 could not be measured" in succeeds(capsys, "latency", "show", "resnet34")
        text = succeeds(capsys, "latency", "show", "--failed")
        assert "vgg11" in text
        assert "no [/red] exporter takes it" in text
        assert "more" not in text

    def test_csv_is_what_export_writes(self, capsys: Output, filled: LatencyTable) -> None:
        shown = succeeds(capsys, "latency", "show", "--csv", "--sort", "measured_at")
        succeeds(capsys, "latency", "export", "out.csv")
        assert sorted(shown.splitlines()) == sorted(Path("out.csv").read_text().splitlines())

    def test_pictures_are_written(
        self, capsys: Output, filled: LatencyTable, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.setenv("MPLCONFIGDIR", str(tmp_path / "matplotlib"))
        words = ("latency", "show", "--html", "latency.html", "--png", "latency.png")
        assert succeeds(capsys, *words) == "latency.html\nlatency.png\n"
        page = Path("latency.html").read_text()
        assert all(name in page for name in ("resnet34@224 avg", "tflite fp32 (3)", "ncnn fp32"))
        assert Path("latency.png").read_bytes().startswith(b"\x89PNG")
        assert fails(capsys, 1, *words) == ("latency.html is there already. --force replaces it.")
        succeeds(capsys, *words, "--force")

    def test_rows_without_known_work_take_it_from_the_catalog(
        self, capsys: Output, table: LatencyTable
    ) -> None:
        bare = row()
        measurement = replace(bare.measurement, params_m=float("nan"), macs_g=float("nan"))
        table.put_imported([replace(bare, measurement=measurement)], {})
        (shown,) = json.loads(succeeds(capsys, "latency", "show", "--json"))
        assert shown["params_m"] == catalog()["resnet18"].params_m
        assert shown["macs_g"] > 1

    def test_what_does_not_occur_is_told(self, capsys: Output, filled: LatencyTable) -> None:
        assert fails(capsys, 2, "latency", "show", "--device", "pixle") == (
            "Unknown device 'pixle'. In the table: board (a [small] board); phone (Pixel 8)."
        )
        assert fails(capsys, 2, "latency", "show", "--runtime", "tflit") == (
            "Unknown runtime 'tflit'. Did you mean 'tflite'? Known: ncnn, tflite."
        )
        assert fails(capsys, 2, "latency", "show", "--sort", "latency").startswith(
            "Unknown value to sort by 'latency'. Did you mean 'latency_ms'? Known: backbone, "
        )
        assert fails(capsys, 1, "latency", "show", "vit*") == (
            "No backbone that was measured matches 'vit*'. There are 3, as mobilenetv3_small_100."
        )
        words = ("latency", "show", "--device", "board", "--runtime", "ncnn")
        assert fails(capsys, 1, *words) == "Nothing that is remembered is all of that at once."


class TestDevicesAndForget:
    def test_devices_have_counts(self, capsys: Output, filled: LatencyTable) -> None:
        assert "ncnn (1), tflite (2)" in succeeds(capsys, "latency", "devices")
        board, phone = json.loads(succeeds(capsys, "latency", "devices", "--json"))
        assert (board["device"], board["words"], board["is_here"]) == (
            "board",
            "a [small] board",
            False,
        )
        assert (phone["latencies"], phone["failures"]) == (3, 0)

    def test_forget_removes_what_is_chosen(self, capsys: Output, filled: LatencyTable) -> None:
        words = ("latency", "forget", "resnet*", "--device", "phone")
        assert fails(capsys, 1, *words) == (
            f"This would remove 2 of 4 remembered results from {filled.path} for good. Say --yes."
        )
        assert succeeds(capsys, *words, "--yes") == "Removed 2 of 4 remembered results.\n"
        assert {(key.device, key.architecture.backbone) for key, _ in filled.rows()} == {
            ("phone", "mobilenetv3_small_100"),
            ("board", "resnet18"),
        }

    def test_failures_can_be_forgotten_alone(self, capsys: Output, filled: LatencyTable) -> None:
        assert succeeds(capsys, "latency", "forget", "--failed", "--yes") == (
            "There is no failure to forget.\n"
        )
        filled.put_failure(row("vgg11").key, Failed("export", "no"))
        succeeds(capsys, "latency", "forget", "--failed", "--yes")
        assert (len(filled.entries()), filled.failures()) == (4, [])

    @pytest.mark.parametrize(("answer", "left"), [("n", 4), ("y", 0)])
    def test_at_a_terminal_the_answer_counts(
        self,
        capsys: Output,
        filled: LatencyTable,
        monkeypatch: pytest.MonkeyPatch,
        answer: str,
        left: int,
    ) -> None:
        terminal = io.StringIO(f"{answer}\n")
        monkeypatch.setattr(terminal, "isatty", lambda: True)
        monkeypatch.setattr(sys, "stdin", terminal)
        assert main(["latency", "forget"]) == int(left > 0)
        assert "Remove 4 of 4 remembered results? [y/N] " in capsys.readouterr().out
        assert len(filled.entries()) == left


class TestExportAndImport:
    def test_what_is_exported_can_be_imported(
        self, capsys: Output, filled: LatencyTable, tmp_path: Path
    ) -> None:
        assert succeeds(capsys, "latency", "export", "out.csv") == "4 latencies in out.csv\n"
        other = ("--db", str(tmp_path / "other.db"))
        text = succeeds(capsys, "latency", "import", "out.csv", *other)
        assert text.startswith("4 latencies read: 4 new.\n")
        assert "device phone (Pixel 8): hardware.runtime=ncnn|tflite" in text
        succeeds(capsys, "latency", "export", "again.csv", *other)
        assert Path("again.csv").read_bytes() == Path("out.csv").read_bytes()

    def test_an_export_can_be_a_part(self, capsys: Output, filled: LatencyTable) -> None:
        words = ("latency", "export", "out.csv", "--device", "phone", "--runtime", "tflite")
        assert succeeds(capsys, *words) == "2 latencies in out.csv\n"
        assert fails(capsys, 1, *words) == "out.csv is there already. --force replaces it."
        assert succeeds(capsys, *words, "resnet34", "--force") == "1 latency in out.csv\n"

    def test_nothing_is_imported_when_a_row_is_bad(
        self, capsys: Output, table: LatencyTable
    ) -> None:
        bad = "phone,tflite,resnet18,avg,0,1000,3,-1\n"
        Path("in.csv").write_text(CSV + "phone,tflite,resnet18,avg,224,1000,3,9\n" + bad)
        assert fails(capsys, 1, "latency", "import", "in.csv") == (
            "1 of 2 rows of in.csv cannot be imported, so none was:\n"
            "  line 3: input_size: a whole number of at least 1 is needed; got '0'.\n"
            "  line 3: latency_ms: a number above 0 is needed; got '-1'.\n"
            "--skip-bad imports the others."
        )
        assert table.entries() == []
        text = succeeds(capsys, "latency", "import", "in.csv", "--skip-bad", "--device", "Mine")
        assert "1 latency read: 1 new, 1 left out." in text
        assert [key.device for key, _ in table.rows()] == ["Mine"]

    def test_a_file_of_bad_rows_only_cannot_be_skipped(self, capsys: Output) -> None:
        Path("in.csv").write_text(CSV + "a,b,c,d,e,f,g,h\n" * 30)
        text = fails(capsys, 1, "latency", "import", "in.csv", "--skip-bad")
        assert text.endswith("and 80 more problems\nNo row of it can be used.")

    def test_what_was_measured_here_is_kept(
        self, capsys: Output, table: LatencyTable, answers: Answers
    ) -> None:
        succeeds(capsys, "latency", *WORDS, "--limit", "1")
        succeeds(capsys, "latency", "export", "out.csv")
        text = succeeds(capsys, "latency", "import", "out.csv")
        assert "1 latency read: 1 kept." in text
        assert table.entries()[0].measurement.latency.source == "remembered"

    def test_files_that_cannot_be_used_are_told(
        self, capsys: Output, filled: LatencyTable, tmp_path: Path
    ) -> None:
        assert fails(capsys, 2, "latency", "import") == (
            "archfront latency import needs a file, such as latencies.csv."
        )
        assert fails(capsys, 2, "latency", "import", "a.csv", "b.csv") == (
            "archfront latency import takes one file; got 'b.csv'."
        )
        assert "none.csv cannot be read" in fails(capsys, 1, "latency", "import", "none.csv")
        assert fails(capsys, 1, "latency", "export", "no/out.csv") == (
            "no/out.csv cannot be written: there is no folder no."
        )
        Path("folder").mkdir()
        assert fails(capsys, 1, "latency", "export", "folder", "--force") == (
            "Is a directory: folder"
        )


class TestErrors:
    @pytest.mark.parametrize(
        "words", [("show",), ("devices",), ("export", "x.csv"), ("forget", "--yes")]
    )
    def test_an_empty_table_says_what_fills_it(
        self, capsys: Output, table: LatencyTable, words: tuple[str, ...]
    ) -> None:
        assert fails(capsys, 1, "latency", *words) == (
            f"Nothing is remembered in {table.path} yet. archfront latency measure fills it, and "
            "so does every study."
        )
        assert not table.path.exists()

    def test_a_file_that_is_no_table_is_told(self, capsys: Output, tmp_path: Path) -> None:
        with sqlite3.connect(tmp_path / "other.db") as connection:
            connection.execute("CREATE TABLE recipes (name TEXT)")
        connection.close()
        text = fails(capsys, 2, "latency", "show", "--db", str(tmp_path / "other.db"))
        assert "cannot be used: it is the database of another program" in text

    def test_a_flag_of_another_action_is_told(self, capsys: Output) -> None:
        assert fails(capsys, 2, "latency", "show", "--retry-failed") == (
            "archfront latency show takes no --retry-failed; it belongs to measure."
        )
        assert "takes no words" not in fails(capsys, 2, "latency", "devices", "--yes")

    def test_numbers_have_their_bounds(self, capsys: Output) -> None:
        assert fails(capsys, 2, "latency", "measure", "--limit", "0") == (
            "--limit: a whole number of at least 1 is needed; got 0."
        )
        assert "invalid int value: 'many'" in wrong_use(
            capsys, "latency", "measure", "--limit", "many"
        )

    def test_an_unknown_action_is_wrong_use(self, capsys: Output) -> None:
        assert "invalid choice: 'list'" in wrong_use(capsys, "latency", "list")

    def test_a_table_that_may_not_be_written_is_told(
        self, capsys: Output, tmp_path: Path, answers: Answers
    ) -> None:
        (tmp_path / "file").write_text("")
        words = (*WORDS, "--db", os.fspath(tmp_path / "file" / "latency.db"))
        assert "cannot be used: " in fails(capsys, 2, "latency", *words)
