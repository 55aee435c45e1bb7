"""What the replay benchmark cannot use is one clear error."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import replay

from tests.support.replayed_tables import KINDS, Rows, drawn_rows, write


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with a table of each kind."""
    for kind in KINDS:
        scale = "linear" if kind == "grid" else "log"
        write(tmp_path, kind, drawn_rows(kind), latency_scale=scale)
    return tmp_path


def _csv(change: Callable[[Rows], None], **task: Any) -> Callable[[Path], None]:
    """Return what writes a table of changed rows."""

    def spoil(folder: Path) -> None:
        rows = drawn_rows("zoo")
        change(rows)
        write(folder, "bad", rows, **task)

    return spoil


def _without(column: str) -> Callable[[Rows], None]:
    return lambda rows: [row.pop(column) for row in rows] and None


def _set(column: str, value: Any, row: int = 4) -> Callable[[Rows], None]:
    return lambda rows: rows[row].__setitem__(column, value)


def _all(column: str, value: Any) -> Callable[[Rows], None]:
    return lambda rows: [row.__setitem__(column, value) for row in rows] and None


def _text(text: str) -> Callable[[Path], None]:
    return lambda folder: (folder / "tasks.json").write_text(text) and None


def _bytes(content: bytes) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        write(folder, "bad", drawn_rows("bare"))
        (folder / "bad.csv.gz").write_bytes(content)

    return spoil


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda folder: None, "There is no .*tasks.json"),
        (_text("{"), "tasks.json cannot be read"),
        (_text("[]"), "must be an object with an entry for each table"),
        (_text('{"bad": {"latency_scale": "log"}}'), "bad has no ref_accuracy"),
        (_text('{"bad": 3}'), "bad must be an object; got 3"),
        (
            _text('{"bad": {"latency_scale": "log", "ref_accuracy": "x"}}'),
            "ref_accuracy must be a number; got 'x'",
        ),
        (
            _text('{"bad": {"latency_scale": "log", "ref_accuracy": 1}}'),
            "There is no .*bad.csv.gz, though tasks.json names it",
        ),
        (_csv(_set("id", "x"), latency_scale="log2"), "must be log or linear; got 'log2'"),
        (_csv(_without("accuracy")), "no column accuracy. It has: id, latency_ms"),
        (_csv(_set("accuracy", "good")), r"row 5 \(id 'net4'\): accuracy must be a number; got"),
        (_csv(_set("n_log_macs", "big")), "n_log_macs must be a number; got 'big'"),
        (_csv(_set("prior", "?")), "prior must be a number"),
        (_csv(_set("accuracy", "")), "accuracy must be a finite number"),
        (_csv(_set("latency_ms", "inf")), "latency_ms must be a finite number"),
        (_csv(_set("latency_ms", 0)), "latency_ms must be above 0 for latency_scale=log; got 0"),
        (_csv(_all("latency_ms", 2)), "every row has the latency 2 ms"),
        (_csv(_all("accuracy", 20)), "better than ref_accuracy=30; the best accuracy is 20"),
        (_csv(_set("id", "net7")), "several rows have the id 'net7'; ids must differ"),
        (_csv(lambda rows: rows.__delitem__(slice(1, None))), "two rows or more; got 1"),
        (_bytes(b"id,accuracy"), "cannot be read as gzipped csv"),
        (_bytes(gzip.compress(b"")), "no column id, accuracy, latency_ms. It has: none"),
        (
            _bytes(gzip.compress(b"id,accuracy,latency_ms\na,1,2\nb,1\n")),
            "row 2 has 2 values; the header has 3",
        ),
        (
            _bytes(gzip.compress(b"id,accuracy,accuracy,latency_ms\na,1,2,3\n")),
            "several columns accuracy",
        ),
    ],
)
def test_what_cannot_be_used_is_one_clear_error(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    spoil: Callable[[Path], None],
    message: str,
) -> None:
    spoil(tmp_path)
    assert replay.main(["--tables", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert error.startswith("replay.py: ")
    assert error.count("\n") == 1
    with pytest.raises(AssertionError, match=message):
        raise AssertionError(error)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--table", "zo"], "Unknown table 'zo'. Did you mean 'zoo'? Known: bare, grid, plain"),
        (
            ["--sampler", "rando"],
            "Unknown sampler 'rando'. Did you mean 'random'? Known: front, gp",
        ),
        (["--sampler", "x-*"], "Known: front, gp, nsga2, optuna-gp, optuna-nsga2, optuna-random"),
        (["--json", "nowhere/out.json"], "--json: there is no folder"),
        (["--tables", "nowhere"], "There is no folder nowhere"),
    ],
)
def test_unknown_names_are_one_error(
    folder: Path, capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    assert replay.main(["--tables", str(folder), *words]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "required: --tables"),
        (["--tables", "x", "--seeds", "0"], "argument --seeds: must be 1 or more; got 0"),
        (["--tables", "x", "--trials", "ten"], "invalid whole number value: 'ten'"),
        (["--tables", "x", "--no-prior", "--shuffle-prior"], "not allowed with"),
        (["--tables", "x", "--latency-error", "-1"], "must lie from 0 to below 3; got -1"),
    ],
)
def test_unusable_flags_are_told(
    capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    with pytest.raises(SystemExit, match="2"):
        replay.main(words)
    assert message in capsys.readouterr().err
