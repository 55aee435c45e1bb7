"""Studies recorded by an earlier version: read, resumed, refitted, exported and reproduced.

Each archive holds the root of a study that commit a076781 ran, and ``expected.json``: what that
code read from the records, and what it recorded when the budget was one training larger.
``rungs`` has imported latencies, ``detection`` has measured ones. To keep the archives small,
MLflow's database and the report are left out, both made again from the records, and the trained
weights are rounded to bfloat16.
"""

from __future__ import annotations

import json
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from archfront.search.cli import main
from archfront.search.latency.device import fingerprint
from archfront.search.predict.manifest import read_manifest
from archfront.search.records.evaluation import Evaluation, Trained
from archfront.search.records.paths import StudyPaths
from archfront.search.records.store import reading
from archfront.search.results.refit_results import refits_of
from archfront.search.results.results import Results
from tests.support.command import Output, succeeds

HERE = Path(__file__).parent
PLACEHOLDER = "@ROOT@"
# A budget that is one training larger; a trial to train again, whose weights were not kept.
BUDGET = {"rungs": 4, "detection": 3}
REPRODUCED = {"rungs": 0, "detection": 1}


@dataclass(frozen=True)
class OldStudy:
    """An unpacked study, and what the code that recorded it read from it."""

    name: str
    root: Path
    expected: dict[str, Any]

    @property
    def is_made_here(self) -> bool:
        """Return whether a training here gives the bits that it gave there."""
        there = (self.expected["device"], self.expected["torch"])
        return there == (fingerprint().id, torch.__version__)

    def results(self) -> Results:
        """Return the records as they are now."""
        places = StudyPaths(self.root, self.name)
        return Results.read(reading(places, None), places)


@pytest.fixture(params=list(BUDGET))
def old(request: pytest.FixtureRequest, tmp_path: Path) -> OldStudy:
    """Return a study in a folder of its own, to which its recorded paths are rewritten."""
    with tarfile.open(HERE / f"{request.param}.tar.xz") as archive:
        # Python has it since 3.11.4 and warns later where it is not given.
        options = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
        archive.extractall(tmp_path, **options)
    root = tmp_path / "root"
    for suffix in ("journal", "yaml"):
        for file in root.rglob(f"*.{suffix}"):
            file.write_text(file.read_text().replace(PLACEHOLDER, str(root)))
    return OldStudy(request.param, root, json.loads((tmp_path / "expected.json").read_text()))


def row(evaluation: Evaluation) -> dict[str, Any]:
    """Return the facts of an evaluation that an archive has too."""
    assert evaluation.measurement is not None
    outcome = evaluation.outcome
    return {
        "trial": evaluation.trial,
        "rung": evaluation.rung,
        "attempt": evaluation.attempt,
        "candidate": evaluation.candidate.id,
        "kind": evaluation.kind,
        "seed": evaluation.seed,
        "metric": outcome.metric if isinstance(outcome, Trained) else None,
        "latency_ms": evaluation.measurement.latency.p50_ms,
    }


@pytest.mark.slow
def test_it_reads_and_reports_what_was_recorded(old: OldStudy, capsys: Output) -> None:
    evaluations = old.results().evaluations
    assert [row(e) for e in evaluations] == old.expected["evaluations"]
    words = (old.name, "--root", str(old.root))
    front = json.loads(succeeds(capsys, "front", *words, "--json"))
    trained = [e for e in evaluations if isinstance(e.outcome, Trained)]
    best = max(trained, key=lambda e: e.outcome.metric)  # type: ignore[union-attr]
    assert front[-1]["trial"] == best.trial
    assert front[-1]["test"].keys() == best.outcome.metrics.keys()  # type: ignore[union-attr]
    succeeds(capsys, "report", *words)
    assert best.candidate.architecture.backbone in old.results().paths.report.read_text()


@pytest.mark.slow
def test_a_larger_budget_goes_on_as_the_earlier_code_did(old: OldStudy, capsys: Output) -> None:
    config = StudyPaths(old.root, old.name).config
    budget = f"budget.trials={BUDGET[old.name]}"
    said = succeeds(capsys, "run", "--config", str(config), budget)
    assert f"The study '{old.name}' is finished" in said
    found = [row(e) for e in old.results().evaluations]
    n_before = len(old.expected["evaluations"])
    for now, then in zip(found[:n_before], old.expected["evaluations"], strict=True):
        # A latency that other work had disturbed is measured again at the end.
        assert {**now, "latency_ms": None} == {**then, "latency_ms": None}
    new, expected = found[n_before:], old.expected["extended"]
    proposed = ("trial", "rung", "attempt", "candidate", "kind", "seed")
    assert [[e[key] for key in proposed] for e in new] == [
        [e[key] for key in proposed] for e in expected
    ]
    tolerance = 0.0 if old.is_made_here else 0.2
    assert [e["metric"] for e in new] == pytest.approx(
        [e["metric"] for e in expected], abs=tolerance, rel=0
    )


@pytest.mark.slow
def test_a_member_is_trained_in_full_and_exported(
    old: OldStudy, capsys: Output, tmp_path: Path
) -> None:
    words = (old.name, "--root", str(old.root))
    export = (*words, "--format", "onnx", "--no-latency", "--out")
    succeeds(capsys, "export", *export, str(tmp_path / "proxy"), "--proxy")
    of_search = read_manifest(tmp_path / "proxy")
    assert of_search.failed == {}
    assert of_search.weights["kind"] == "proxy"
    assert main(["refit", *words, "--members", "best", "--epochs", "1", "--seeds", "1"]) == 0
    capsys.readouterr()
    results = old.results()
    (refit,) = refits_of(results)
    assert refit.trial == of_search.trial
    succeeds(capsys, "export", *export, str(tmp_path / "refit"))
    in_full = read_manifest(tmp_path / "refit")
    assert in_full.weights["kind"] == "refit"
    assert in_full.metrics == pytest.approx(refit.metrics["val"], abs=1e-6)
    assert in_full.failed == {}
    assert in_full.artifacts["onnx"].metrics == pytest.approx(in_full.metrics, abs=1e-3)
    assert [row(e) for e in results.evaluations] == old.expected["evaluations"]


@pytest.mark.slow
def test_a_trial_trained_again_is_the_same(old: OldStudy, capsys: Output) -> None:
    trial = REPRODUCED[old.name]
    status = main(
        ["reproduce", old.name, "--root", str(old.root), "--trial", str(trial), "--json"]
    )
    found = json.loads(capsys.readouterr().out)
    assert {"metrics", "learning curve", "predictions"} <= {*found["compared"]}
    if old.is_made_here:
        assert (status, found["is_same"], found["differing"]) == (0, True, [])
    for then, now in found["metrics"].values():
        assert now == pytest.approx(then, abs=0.2)
