"""Latencies as CSV: out and in again without a bit lost; a wrong file is told by its lines."""

from __future__ import annotations

import io
import math
from dataclasses import fields, replace
from pathlib import Path

import pytest

from archfront.search.errors import TableError
from archfront.search.latency.csv_columns import COLUMNS, REQUIRED
from archfront.search.latency.database import Entry, LatencyKey, LatencyTable
from archfront.search.latency.transfer import ImportedLatencies, read_csv, write_csv
from archfront.search.records.evaluation import Latency, Measurement
from archfront.trainers.spec import Architecture

ARCHITECTURE = Architecture("classification", "resnet18", "avg", 32, classes=10, channels=3)
LATENCY = Latency(
    p50_ms=1.1 + 0.1,
    p95_ms=1 / 3,
    spread=0.03,
    repeats=120,
    warmup=20,
    threads=2,
    batch_size=4,
    runtime="onnxruntime",
    runtime_version="1.32.0",
    precision="int8",
    device="cpu-1234",
    exporter="torchscript",
    is_stable=False,
    source="imported",
    affinity=(0, 1, 5),
    interval=0.0123,
    drift=-0.004,
    parity=1e-5,
)
FULL = Entry(
    LatencyKey(
        device="cpu-1234",
        runtime="onnxruntime",
        runtime_version="1.32.0",
        threads=2,
        batch_size=4,
        precision="int8",
        timm_version="1.0.31",
        architecture=replace(ARCHITECTURE, fused=True),
        affinity=(1, 5),
    ),
    Measurement(
        LATENCY,
        params_m=11.2,
        macs_g=0.037,
        size_mb=44.7,
        seconds=0.9,
        memory_mb=120.5,
        throughput_ips=800.1,
        energy_mj=2.5,
    ),
    1_700_000_000.123456,
)
BARE = "device,runtime,backbone,head,input_size,classes,channels,latency_ms\n"
ROW = "phone,tflite,resnet18,avg,224,1000,3,12.5\n"


def read(tmp_path: Path, content: str | bytes, **options: str) -> ImportedLatencies:
    path = tmp_path / "phone.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_csv(path, clock=lambda: 5.0, **options)


def refusal(tmp_path: Path, content: str | bytes, **options: str) -> str:
    with pytest.raises(TableError) as raised:
        read(tmp_path, content, **options)
    return str(raised.value).replace(str(tmp_path / "phone.csv"), "FILE")


class TestRoundTrip:
    def written(self, table: LatencyTable) -> str:
        file = io.StringIO()
        write_csv(file, table.entries(), table.devices())
        return file.getvalue()

    def test_nothing_changes_on_the_way_out_and_in(self, tmp_path: Path) -> None:
        first, second = (LatencyTable(tmp_path / name) for name in ("a.db", "b.db"))
        first.put_imported([FULL], {"cpu-1234": 'a "board", 2 cores; Ω'})
        text = self.written(first)
        reading = read(tmp_path, text)
        assert reading.entries == [FULL]
        second.put_imported(reading.entries, reading.words)
        assert second.entries() == first.entries()
        assert second.devices() == first.devices()
        assert self.written(second) == text

    def test_a_hand_made_row_stays_as_bare_as_it_came(self, tmp_path: Path) -> None:
        table = LatencyTable(tmp_path / "a.db")
        table.put_imported(read(tmp_path, BARE + ROW).entries, {"phone": "phone"})
        (row,) = self.written(table).splitlines()[1:]
        assert row == (
            "phone,phone,tflite,,1,1,fp32,,,classification,resnet18,avg,224,1000,3,false,none,0,0,"
            "0,100,12.5,,,0,0,true,,,,,,,,,,,,0.0,,1970-01-01T00:00:05+00:00"
        )

    def test_every_field_of_a_measurement_has_a_column(self) -> None:
        names = {field.name for field in (*fields(Latency), *fields(Measurement))}
        # latency_ms; the whole; always imported; of images, while the table has single predictions
        elsewhere = {"p50_ms", "latency", "source", "tiles"}
        assert names - elsewhere <= set(COLUMNS)

    def test_every_field_of_the_key_has_a_column(self) -> None:
        names = {field.name for field in (*fields(LatencyKey), *fields(Architecture))}
        assert names - {"architecture"} <= set(COLUMNS)


class TestHandMade:
    def test_the_needed_columns_are_enough(self, tmp_path: Path) -> None:
        (entry,) = read(tmp_path, BARE + ROW).entries
        key, latency = entry.key, entry.measurement.latency
        assert (key.device, key.runtime, key.runtime_version) == ("phone", "tflite", "")
        assert (key.threads, key.batch_size, key.precision) == (1, 1, "fp32")
        assert (latency.p50_ms, latency.source, latency.is_stable) == (12.5, "imported", True)
        assert math.isnan(entry.measurement.params_m)
        assert entry.measurement.memory_mb is None
        assert entry.measured_at == 5.0

    def test_columns_may_come_in_any_order_with_blanks_and_a_mark(self, tmp_path: Path) -> None:
        names = "latency_ms, " + ",".join(n for n in REQUIRED if n != "latency_ms")
        text = f"\ufeff{names}\r\n\r\n 7 ,phone,tflite, resnet18,avg,224,1000,3\r\n"
        (entry,) = read(tmp_path, text).entries
        assert entry.measurement.latency.p50_ms == 7.0

    def test_a_name_takes_the_place_of_the_device(self, tmp_path: Path) -> None:
        text = BARE.removeprefix("device,") + ROW.removeprefix("phone,")
        for content in (text, BARE + ROW):
            reading = read(tmp_path, content, device="Pixel 8")
            assert reading.entries[0].key.device == "Pixel 8"
            assert reading.words == {"Pixel 8": "Pixel 8"}

    def test_blocks_that_a_study_would_merge_are_taken_as_merged(self, tmp_path: Path) -> None:
        rows = "".join(ROW.replace("resnet18", name) for name in ("resnet18", "repvgg_a0"))
        plain, merged = read(tmp_path, BARE + rows).entries
        assert (plain.key.architecture.fused, merged.key.architecture.fused) == (False, True)
        text = f"{BARE[:-1]},fused\n{ROW.replace('resnet18', 'repvgg_a0')[:-1]},no\n"
        assert not read(tmp_path, text).entries[0].key.architecture.fused

    def test_a_date_may_have_no_time(self, tmp_path: Path) -> None:
        text = f"{BARE[:-1]},measured_at\n{ROW[:-1]},2026-01-31\n"
        assert read(tmp_path, text).entries[0].measured_at == 1769817600.0


class TestBadRows:
    CASES = (
        ("phone,tflite,resnet81,avg,224,1000,3,1", "backbone: a timm architecture without a tag"),
        ("phone,tflite,resnet18,avg,224,1000,3,-3", "latency_ms: a number above 0 is needed"),
        ("phone,tflite,resnet18,avg,224,1000,3,fast", "latency_ms: a number above 0 is needed"),
        ("phone,tflite,resnet18,avg,224,1000,3,nan", "latency_ms: a number above 0 is needed"),
        ("phone,tflite,resnet18,avg,224,1000,3,", "latency_ms: is empty"),
        ("phone,tflite,resnet18,avg,22.5,1000,3,1", "input_size: a whole number of at least 1"),
        ("phone,tflite,resnet18,best,224,1000,3,1", "head: one of "),
        (",tflite,resnet18,avg,224,1000,3,1", "device: is empty"),
        ("phone,tflite,resnet18,avg,224,1000,3", "has 7 cells, and there are 8 columns"),
        ("phone,tflite,resnet18,avg,224,1000,3,1,2", "has 9 cells, and there are 8 columns"),
        ("phone,tflite,resnet18,avg,224,1000,3,9", "measures the same as line 2"),
        ("pho\x07ne,tflite,resnet18,avg,224,1000,3,9", "device: up to 200 printable characters"),
    )

    @pytest.mark.parametrize(("row", "problem"), CASES)
    def test_a_bad_row_is_told_with_its_line_and_hinders_no_other(
        self, tmp_path: Path, row: str, problem: str
    ) -> None:
        reading = read(tmp_path, f"{BARE}{ROW}{row}\n")
        assert (len(reading.entries), reading.n_bad) == (1, 1)
        assert reading.problems[0].startswith(f"line 3: {problem}")
        assert reading.problems[0].endswith(".")

    def test_an_unknown_backbone_gets_the_near_names(self, tmp_path: Path) -> None:
        row = "phone,tflite,resnet18.a1_in1k,avg,224,1000,3,1"
        (problem,) = read(tmp_path, f"{BARE}{row}\n").problems
        assert problem.startswith("line 2: backbone: a timm architecture without a tag is needed")
        assert "(near: resnet18" in problem

    def test_every_problem_of_every_row_is_told(self, tmp_path: Path) -> None:
        reading = read(tmp_path, f"{BARE}a,b,c,d,e,f,g,h\n\na,b,c,d,e,f,g,h\n")
        assert reading.n_bad == 2
        assert [p.split(": ")[0] for p in reading.problems] == ["line 2"] * 6 + ["line 4"] * 6

    @pytest.mark.parametrize(
        ("column", "value", "problem"),
        [
            ("threads", "0", "a whole number of at least 1"),
            ("is_stable", "maybe", "true or false"),
            ("measured_at", "yesterday", "a date like 2026-01-31"),
            ("affinity", "0;1", "numbers of cores with spaces"),
            ("spread", "-1", "a number of at least 0"),
            ("task", "painting", "one of classification"),
        ],
    )
    def test_an_optional_cell_is_checked_too(
        self, tmp_path: Path, column: str, value: str, problem: str
    ) -> None:
        (told,) = read(tmp_path, f"{BARE[:-1]},{column}\n{ROW[:-1]},{value}\n").problems
        assert told.startswith(f"line 2: {column}: {problem}")
        assert f"; got {value!r}." in told


class TestNoTable:
    CASES = (
        ("", "FILE is empty. Needed are the columns device, runtime, "),
        (" \n\n", "FILE is empty. "),
        (BARE, "FILE has columns and no rows: there is nothing to import."),
        (BARE.replace(",", ";") + ROW.replace(",", ";"), "FILE has its columns between semicol"),
        (BARE.replace(",", "\t") + ROW, "FILE has its columns between tabs; commas are needed"),
        (BARE.encode("utf-16"), "FILE is not UTF-8 text: line 1 has the byte 0xff. "),
        ((BARE + "caf\xe9").encode("latin-1"), "FILE is not UTF-8 text: line 2 has the byte 0xe9"),
        (BARE + 'phone,"tflite\n', "FILE, line 2, is not CSV: unexpected end of data."),
        (ROW, "FILE: the column 'device' is missing; the column 'runtime' is missing; "),
    )

    @pytest.mark.parametrize(("content", "message"), CASES)
    def test_what_is_no_such_file_is_told(
        self, tmp_path: Path, content: str | bytes, message: str
    ) -> None:
        assert refusal(tmp_path, content).startswith(message)

    def test_columns_that_are_missing_unknown_or_doubled_are_told_together(
        self, tmp_path: Path
    ) -> None:
        text = BARE.replace("latency_ms", "latency,head")
        assert refusal(tmp_path, text + ROW).startswith(
            "FILE: the column 'latency_ms' is missing; the column 'head' is there 2 times; the "
            "column 'latency' is not known (did you mean 'latency_ms'?). Needed: device, "
        )

    def test_a_file_that_is_not_there_is_told(self, tmp_path: Path) -> None:
        with pytest.raises(TableError, match=r"none\.csv cannot be read: No such file"):
            read_csv(tmp_path / "none.csv")
        with pytest.raises(TableError, match=r"cannot be read: it is a folder, not a file\.$"):
            read_csv(tmp_path)
