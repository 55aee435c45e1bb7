"""The final front, of exported files: what is on it, what is left out and why."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from archfront.search.errors import StudyError
from archfront.search.predict.manifest import sha256_of
from archfront.search.records.export_records import RECORD, Export, ExportSummary, add, read
from archfront.search.report import pages
from archfront.search.report.document import render
from archfront.search.results.export_results import summary
from archfront.search.results.refit_results import shipped_refits
from archfront.search.results.refit_results import summary as refit_summary
from archfront.search.results.results import Results
from tests.support import recorded_study, small_refits
from tests.support.command import Output, succeeds
from tests.support.small_refits import write, write_refits

MARK = "loses 12.50% of its accuracy (0.8000 to 0.7000); 2.00% is allowed"


@pytest.fixture
def found(tmp_path: Path) -> Results:
    return write(tmp_path / "studies")


def export(
    trial: int, name: str, metric: float | None, ms: float | None, **changes: Any
) -> Export:
    latency = None if ms is None else asdict(recorded_study.measurement(ms).latency)
    made = Export(
        trial=trial,
        candidate_id=small_refits.evaluations()[trial].candidate.id,
        weights="0" * 64,
        kind="proxy",
        format=name,
        created="2026-01-31T12:00:00Z",
        folder="/models/one",
        metric=metric,
        lost=0.0,
        parity=1e-5,
        latency=latency,
        size_mb=1.0,
    )
    return replace(made, **changes)


def said_of(found: Results, *exports: Export) -> ExportSummary:
    add(found.paths, exports)
    said = summary(found, refit_summary(found))
    assert said is not None
    return said


def verdicts(said: ExportSummary) -> dict[str, str]:
    return {one.name: one.verdict for one in said.artifacts}


def test_nothing_is_said_before_the_first_export(found: Results) -> None:
    assert summary(found, None) is None
    assert "The final front" not in render(pages.record(found))


def test_files_compete_by_their_own_metric_and_latency(found: Results) -> None:
    said = said_of(
        found,
        export(0, "onnx", 0.6, 0.2),
        export(1, "onnx", 0.8, 0.4),
        export(1, "openvino", 0.8, 0.3),
        export(1, "mlflow", 0.8, 0.29),
    )
    assert verdicts(said) == {
        "trial 1 as mlflow": "the same network as in onnx, which it carries",
        "trial 0 as onnx": "on the final front",
        "trial 1 as openvino": "on the final front",
        "trial 1 as onnx": "dominated by trial 1 as openvino",
    }
    assert said.sentences == [
        "The final front, of the files themselves: trial 0 as onnx, trial 1 as openvino."
    ]


def test_one_that_loses_too_much_is_left_out_and_dominates_nothing(found: Results) -> None:
    """It was marked in its manifest, and counted like any other everywhere else."""
    said = said_of(
        found,
        export(0, "onnx", 0.6, 0.2),
        export(1, "onnx", 0.8, 0.4),
        export(1, "onnx-int8", 0.7, 0.1, lost=0.125, marks=(MARK,)),
    )
    assert verdicts(said) == {
        "trial 1 as onnx-int8": f"left out: {MARK}",
        "trial 0 as onnx": "on the final front",
        "trial 1 as onnx": "on the final front",
    }
    assert [one.is_on_front for one in said.artifacts] == [False, True, True]
    assert said.sentences[1] == (
        "Left out, since more of the accuracy is lost than is allowed: "
        "trial 1 as onnx-int8 (12.50%)."
    )
    page = render(pages.record(found))
    assert said.sentences[1] in page
    assert f"left out: {MARK}" in page


def test_outputs_that_differ_by_several_spreads_are_marked_though_the_metric_is_the_same(
    found: Results,
) -> None:
    said = said_of(
        found,
        export(0, "onnx", 0.6, 0.2, parity=0.5),
        export(0, "onnx-int8", 0.6, 0.1, parity=4.04),
    )
    note = "outputs differ from PyTorch's by up to 4 times their spread"
    assert verdicts(said) == {
        "trial 0 as onnx-int8": f"on the final front; {note}",
        "trial 0 as onnx": "dominated by trial 0 as onnx-int8",
    }
    assert said.sentences[1] == (
        "Marked, since the outputs differ from PyTorch's by more than 2 times their spread, "
        "whatever the metric says: trial 0 as onnx-int8 (4)."
    )
    assert note in unescape(render(pages.record(found)))


def test_what_cannot_be_compared_is_told_with_its_reason(found: Results) -> None:
    one = export(1, "onnx", 0.8, 0.1)
    assert one.latency is not None
    said = said_of(
        found,
        export(0, "onnx", 0.6, 0.2),
        export(0, "hf", None, None, reason="its head is gem"),
        export(1, "openvino", 0.8, None),
        replace(one, latency={**one.latency, "batch_size": 8}),
        replace(one, format="torchscript", latency={**one.latency, "device": "cpu-9"}),
    )
    assert verdicts(said) == {
        "trial 0 as onnx": "on the final front",
        "trial 0 as hf": "not made: its head is gem",
        "trial 1 as openvino": "left out: it was not measured",
        "trial 1 as onnx": "left out: it was measured with 8 images at a time, the study's "
        "members with 1",
        "trial 1 as torchscript": "left out: it was measured on another device than the study's",
    }
    assert "its head is gem" in render(pages.record(found))


def test_weights_that_a_full_training_replaced_are_left_out(found: Results) -> None:
    write_refits(found, 1, [0.6, 0.9])
    shipped = shipped_refits(found)[1]
    assert shipped.seed == 1
    now = sha256_of(found.paths.folder / shipped.weights)
    said = said_of(
        found,
        export(1, "onnx", 0.9, 0.4, weights=now, kind="refit"),
        export(1, "onnx", 0.8, 0.3),
        export(1, "openvino", 0.8, 0.2, weights="1" * 64, kind="refit"),
    )
    assert {one.export.weights: one.verdict for one in said.artifacts} == {
        now: "on the final front",
        "0"
        * 64: "left out: its weights are of the search's short training; the trial was trained in "
        "full since",
        "1"
        * 64: "left out: its weights are of an earlier full training; the trial was trained in "
        "full since",
    }


@pytest.mark.slow
def test_members_of_the_front_that_were_not_exported_are_named(found: Results) -> None:
    said = said_of(found, export(0, "onnx", 0.6, 0.2))
    assert said.lacking == (1,)
    assert said.sentences[-1].endswith("of these members of the front: 1.")
    # After full trainings it is their front.
    for trial, accuracy in enumerate([0.7, 0.6, 0.9]):
        write_refits(found, trial, [accuracy])
    assert said_of(found).lacking == (2,)


def test_a_later_export_of_the_same_replaces_the_earlier_one(found: Results) -> None:
    add(found.paths, [export(0, "onnx", 0.6, 0.2), export(1, "onnx", 0.8, 0.4)])
    add(found.paths, [export(0, "onnx", 0.6, 0.3)])
    assert [(e.trial, e.latency and e.latency["p50_ms"]) for e in read(found.paths)] == [
        (1, 0.4),
        (0, 0.3),
    ]


@pytest.mark.parametrize("text", ["{", "[1]", '[{"marks": []}]', '{"a": 1}'])
def test_a_record_that_is_none_gets_one_error(found: Results, text: str) -> None:
    (found.paths.folder / RECORD).write_text(text)
    with pytest.raises(StudyError, match=r"exports\.json cannot be used .* Remove it"):
        read(found.paths)


@pytest.mark.slow
def test_the_command_records_what_it_exports(
    found: Results, capsys: Output, tmp_path: Path
) -> None:
    root, out = str(found.paths.root), tmp_path / "out"
    words = ("export", "digits", "--root", root, "--member", "0", "--proxy", "--out", str(out))
    said = succeeds(
        capsys, *words, "--format", "onnx,torchscript", "--max-loss", "0.5"
    ).splitlines()
    assert said[-1] == f"report    {found.paths.report}"
    assert "Nothing was exported yet of these members of the front: 1." in said
    exports = read(found.paths)
    assert [(e.trial, e.format, e.kind) for e in exports] == [
        (0, "onnx", "proxy"),
        (0, "torchscript", "proxy"),
    ]
    manifest = json.loads((out / "manifest.json").read_text())
    assert exports[0].metric == manifest["artifacts"]["onnx"]["metrics"]["accuracy"]
    assert exports[0].folder == str(out)
    page = found.paths.report.read_text(encoding="utf-8")
    # The recorded study is of a device that is not this one.
    assert "it was measured on another device" in page
