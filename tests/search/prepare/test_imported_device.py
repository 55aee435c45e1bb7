"""A study on a device that is not at hand: imported latencies, and nothing is measured."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from archfront.search.catalog import catalog
from archfront.search.engine.inline import InlineEngine
from archfront.search.engine.jobs import Job
from archfront.search.errors import ConfigChangedError, ConfigError
from archfront.search.latency.database import LatencyTable
from archfront.search.latency.transfer import read_csv
from archfront.search.prepare.imported_device import for_device
from archfront.search.records.evaluation import Failed
from archfront.search.records.paths import StudyPaths
from archfront.search.records.store import reading
from archfront.search.report import pages
from archfront.search.report.front_table import front_table
from archfront.search.report.terminal import study_lines
from archfront.search.results.results import Results
from archfront.search.study import study
from tests.support.small_study import (
    CLASSES,
    Forgetful,
    perform,
    prepared,
    run,
    small_config,
    small_space,
)

HEADER = "device,device_words,runtime,threads,backbone,head,input_size,classes,channels,latency_ms"
# One head of one backbone at two sizes, one other at one, and a hole: gem has 8 px only.
ROWS = (
    "pixel,Pixel 8,tflite,1,test_resnet,avg,8,3,1,0.5",
    "pixel,Pixel 8,tflite,1,test_resnet,avg,16,3,1,0.9",
    "pixel,Pixel 8,tflite,1,test_resnet,gem,8,3,1,0.6",
    "pixel,Pixel 8,tflite,1,resnet10t,avg,32,3,1,5.0",
    "pixel,Pixel 8,tflite,4,resnet18,avg,32,3,1,7.0",
)


def imported(folder: Path, *rows: str, header: str = HEADER) -> LatencyTable:
    """Return a table into which rows were imported."""
    file = folder / "phone.csv"
    file.write_text("\n".join([header, *(rows or ROWS)]))
    table = LatencyTable(folder / "latency.db")
    found = read_csv(file, clock=lambda: 5.0)
    assert found.problems == []
    table.put_imported(found.entries, found.words)
    return table


def phone_config(root: Path, **changes: Any) -> Any:
    defaults = {"hardware__device": "Pixel 8", "hardware__runtime": "tflite"}
    return small_config(root, **{**defaults, **changes})


def results(root: Path) -> Results:
    places = StudyPaths(root, "small")
    return Results.read(reading(places, None), places)


def never_measuring(job: Job) -> Any:
    assert job.kind != "measure"
    return perform(job)


def run_on_phone(root: Path, table: LatencyTable, **changes: Any) -> study.StudyResult:
    engine = InlineEngine(never_measuring, workers=1, threads=1)
    config = phone_config(root, budget__trials=1000, **changes)
    return run(config, table=table, engine=engine)


class TestStudy:
    def test_it_tries_what_was_imported_and_measures_nothing(self, tmp_path: Path) -> None:
        result = run_on_phone(tmp_path, imported(tmp_path))
        assert result.reason == "all 8 candidates of the space were tried"
        found = results(tmp_path)
        assert found.counts() == {"trained": 6, "rejected": 1, "failed": 0}  # 5 ms are over 2
        for evaluation in found.evaluations:
            assert evaluation.measurement is not None
            assert evaluation.measurement.latency.source == "imported"
            assert evaluation.measurement.latency.device == "pixel"
        tried = {
            (e.candidate.architecture.head, e.candidate.architecture.input_size)
            for e in found.evaluations
            if e.kind == "trained"
        }
        assert tried == {("avg", 8), ("avg", 16), ("gem", 8)}

    def test_its_records_name_the_device(self, tmp_path: Path) -> None:
        run_on_phone(tmp_path, imported(tmp_path))
        header = results(tmp_path).begun()
        assert header.environment.device == "Pixel 8 (imported latencies)"
        assert header.environment.device_id == "pixel"
        assert "device    Pixel 8 (imported latencies)" in study_lines(header)
        assert pages.record(results(tmp_path)).device == "Pixel 8 (imported latencies)"
        assert (header.space.size, header.space.architectures) == (8, 4)
        assert list(header.space.dropped) == [
            "test_resnet: no latency of Pixel 8 through tflite for 5 of 8 heads and sizes",
            "resnet10t: no latency of Pixel 8 through tflite for 7 of 8 heads and sizes",
            "resnet18: no latency of Pixel 8 through tflite",
        ]

    @pytest.mark.slow
    def test_what_is_not_known_is_left_out_of_report_and_pictures(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("MPLCONFIGDIR", str(tmp_path / "matplotlib"))
        run_on_phone(tmp_path, imported(tmp_path))
        found = results(tmp_path)
        pages.write(found)
        (folder,) = (tmp_path / "studies").iterdir()
        assert "NaN" not in (folder / "front.json").read_text()
        rows = json.loads((folder / "front.json").read_text())
        assert all(row["latency_p95_ms"] is None for row in rows)
        report = (folder / "report.html").read_text()
        assert "Pixel 8 (imported latencies)" in report
        assert (
            re.search(r"\bnan\b", re.sub(r"<script.*?</script>", "", report, flags=re.S)) is None
        )
        console = Console(file=io.StringIO(), width=140)
        console.print(front_table(found.front(), "accuracy"))
        assert "nan" not in console.file.getvalue()  # type: ignore[attr-defined]

    def test_it_goes_on_as_any_other(self, tmp_path: Path) -> None:
        table = imported(tmp_path)
        engine = InlineEngine(never_measuring, workers=1, threads=1)
        run(phone_config(tmp_path, budget__trials=2), table=table, engine=engine)
        run_on_phone(tmp_path, table)
        ids = [e.candidate.id for e in results(tmp_path).evaluations]
        assert len(ids) == len(set(ids)) == 7

    def test_more_latencies_are_another_space(self, tmp_path: Path) -> None:
        engine = InlineEngine(never_measuring, workers=1, threads=1)
        config = phone_config(tmp_path, budget__trials=2)
        run(config, table=imported(tmp_path), engine=engine)
        more = imported(tmp_path, *ROWS, "pixel,,tflite,1,test_resnet,gem,16,3,1,1.1")
        with pytest.raises(ConfigChangedError, match="The search space of the study 'small'"):
            run_on_phone(tmp_path, more)

    def test_without_a_limit_the_heaviest_that_was_imported_is_the_reference(
        self, tmp_path: Path
    ) -> None:
        run_on_phone(tmp_path, imported(tmp_path), hardware__limits__latency_ms=None)
        assert results(tmp_path).begun().reference.values["latency_ms"] == 5.0

    def test_this_machine_s_studies_are_as_they_were(self, tmp_path: Path) -> None:
        config = small_config(tmp_path)
        before = prepared(config)
        after, _ = for_device(before, Forgetful())  # type: ignore[arg-type]
        assert after is before
        assert (after.n_candidates, after.fingerprint) == (48, before.space.fingerprint)


class TestWhatIsKnown:
    def test_parameters_and_work_come_from_the_catalog(self, tmp_path: Path) -> None:
        ready = prepared(phone_config(tmp_path))
        after, known = for_device(ready, imported(tmp_path))
        for architecture in set(after.space.architectures) - after.unavailable:
            found = known.lookup(architecture)
            row = catalog()[architecture.backbone]
            assert not isinstance(found, Failed)
            assert found is not None
            assert found.params_m == row.params_m
            assert found.macs_g == row.costs_at(architecture.input_size).macs_g > 0

    def test_what_was_not_imported_cannot_be_had(self, tmp_path: Path) -> None:
        after, known = for_device(prepared(phone_config(tmp_path)), imported(tmp_path))
        (hole,) = after.unavailable
        assert (hole.head, hole.input_size) == ("gem", 16)
        assert known.lookup(hole) == Failed(
            "build", "no latency of Pixel 8 through tflite was imported for it"
        )

    def test_the_newest_of_several_versions_counts(self, tmp_path: Path) -> None:
        header = f"{HEADER},runtime_version,measured_at"
        row = "pixel,,tflite,1,test_resnet,avg,8,3,1"
        table = imported(
            tmp_path,
            f"{row},3.0,2.1,2026-02-01",
            f"{row},4.0,2.0,2026-01-01",
            header=header,
        )
        _, known = for_device(prepared(phone_config(tmp_path, hardware__device="pixel")), table)
        found = known.lookup(small_space().architectures[0])
        assert not isinstance(found, Failed)
        assert found is not None
        assert found.latency.p50_ms == 3.0

    def test_a_value_that_is_needed_and_was_not_imported_is_told(self, tmp_path: Path) -> None:
        config = phone_config(tmp_path, hardware__limits__memory_mb=10.0)
        with pytest.raises(ConfigError) as raised:
            for_device(prepared(config), imported(tmp_path))
        assert str(raised.value) == (
            "space: nothing is left: the architectures that have a latency of Pixel 8 through "
            "tflite have no memory_mb. Import these values too, or do not ask for them."
        )


class TestErrors:
    def refusal(self, folder: Path, **changes: Any) -> str:
        with pytest.raises(ConfigError) as raised:
            for_device(prepared(phone_config(folder, **changes)), imported(folder))
        return str(raised.value)

    def test_an_unknown_device_gets_those_of_the_table(self, tmp_path: Path) -> None:
        assert self.refusal(tmp_path, hardware__device="pixl") == (
            "Unknown device 'pixl'. Did you mean 'pixel'? In the table: pixel (Pixel 8)."
        )

    def test_an_empty_table_says_how_a_device_comes_in(self, tmp_path: Path) -> None:
        table = LatencyTable(tmp_path / "empty.db")
        with pytest.raises(ConfigError, match=r"has none yet\. archfront latency import FILE"):
            for_device(prepared(phone_config(tmp_path)), table)

    def test_words_of_two_devices_are_no_name(self, tmp_path: Path) -> None:
        table = imported(tmp_path, *ROWS, "two,Pixel 8,tflite,1,test_resnet,avg,8,3,1,1")
        with pytest.raises(ConfigError, match=r"could be several: pixel, two\. Give one"):
            for_device(prepared(phone_config(tmp_path)), table)

    def test_an_unknown_runtime_gets_those_of_the_device(self, tmp_path: Path) -> None:
        assert self.refusal(tmp_path, hardware__runtime="tflit") == (
            "hardware.runtime: Unknown runtime of Pixel 8 'tflit'. Did you mean 'tflite'? Known: "
            "tflite."
        )

    def test_threads_that_were_not_measured_get_those_that_were(self, tmp_path: Path) -> None:
        assert self.refusal(tmp_path, hardware__threads=2) == (
            "hardware: Pixel 8 through tflite has no latency with threads=2, batch_size=1, "
            "precision=fp32. In the table: threads=1, batch_size=1, precision=fp32 (4); "
            "threads=4, batch_size=1, precision=fp32 (1)."
        )

    def test_a_table_of_other_classes_says_so(self, tmp_path: Path) -> None:
        row = f"pixel,Pixel 8,tflite,1,test_resnet,avg,8,{CLASSES + 7},1,1"
        with pytest.raises(ConfigError) as raised:
            for_device(prepared(phone_config(tmp_path)), imported(tmp_path, row))
        assert str(raised.value) == (
            "space: nothing is left: none of its 24 architectures (3 classes and 1 channel) has a "
            "latency of Pixel 8 through tflite. In the table: 1 architecture of 10 classes and "
            "1 channel."
        )
