"""The whole chain with real networks, as small as it gets."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

from archfront.search.cli import main
from archfront.search.records.evaluation import Evaluation, Trained
from archfront.search.records.paths import StudyPaths
from archfront.search.records.store import reading
from archfront.search.results.results import Results
from tests.support import forked
from tests.support.command import Output, fails, succeeds
from tests.support.own_processes import SMALLEST
from tests.support.recorded_study import unmeasured

ROOT = Path(__file__).parent.parent
TINY = (*SMALLEST, "data.train=120", "data.val=90", "data.test=90", "budget.folds=0")

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("own_folder", "known_profiles")]


def evaluations(root: Path, name: str) -> list[Evaluation]:
    places = StudyPaths(root, name)
    return Results.read(reading(places, None), places).evaluations


def metrics(root: Path, name: str) -> dict[str, object]:
    """Return them by candidate: which comes first depends on the latencies known before."""
    return {
        e.candidate.id: e.outcome.curve and [row["metrics"] for row in e.outcome.curve]
        for e in evaluations(root, name)
        if isinstance(e.outcome, Trained)
    }


def test_a_study_runs_resumes_extends_by_the_other_engine_and_is_removed(
    own_folder: Path, capsys: Output
) -> None:
    """Both engines train to the same bits: one trains a candidate, the other the two left."""
    more = ("task.epochs=2", "budget.trials=1", "hardware.limits.latency_ms=null")
    command = ("run", "experiment=digits", *TINY, *more)
    shown = succeeds(capsys, *command)
    assert "The study 'digits' is finished: 1 candidate is trained (budget.trials=1)" in shown
    assert "Pareto front, fastest first" in shown
    assert "archfront ui" in shown
    folder = own_folder / "mlruns" / "studies" / "digits"
    for name in ("report.html", "front.png", "front.html", "front.json", "study.yaml"):
        assert (folder / name).stat().st_size > 0
    assert {p.name for p in own_folder.iterdir()} == {"mlruns"}, "litter"
    front = json.loads(succeeds(capsys, "front", "digits", "--json"))
    assert set(front[0]["test"]) == {"accuracy", "balanced_accuracy", "macro_f1"}
    again = succeeds(capsys, *command)
    assert "is finished: 1 candidate is trained (budget.trials=1). Nothing was done." in again
    changed = fails(capsys, 1, *command, "task.epochs=3")
    assert "task.epochs: 2 in the study, 3 now" in changed
    with forked.workers():
        whole = succeeds(capsys, *command, "budget.trials=50", "engine=processes")
    assert "all 3 candidates of the space were tried" in whole
    config = str(folder / "study.yaml")
    succeeds(capsys, "run", "--config", config, "study=again", "engine.threads=1")
    root = own_folder / "mlruns"
    assert metrics(root, "again") == metrics(root, "digits"), "the same question, other metrics"
    assert len(metrics(root, "again")) == 3
    assert "Removed again: 3 trials, 4 MLflow runs." in succeeds(
        capsys, "delete", "again", "--yes"
    )
    assert not (root / "studies" / "again").exists()


def here() -> dict[str, str]:
    """Return what a command in a process of its own has to see of this one."""
    return {name: os.environ[name] for name in ("ARCHFRONT_DEVICE_DB", "HOME")}


def test_a_moved_root_goes_on_where_it_is_now(
    own_folder: Path, capsys: Output, shared: Path
) -> None:
    """It wrote to where it had been; and its name has what URIs give a meaning to."""
    old, new = own_folder / "mlruns", own_folder / "größer? 100%, #2"
    words = ["run", "experiment=digits", *TINY, "budget.trials=1"]
    words.append("hardware.limits.latency_ms=null")
    # In a process of its own, as MLflow remembers where the artifacts of a run are.
    driver, reader = forked.command(words, here(), databases=shared)
    with open(reader.fileno(), encoding="utf-8", closefd=False) as shown:
        assert "is finished: 1 candidate is trained" in shown.read()
    driver.join()
    assert driver.exitcode == 0
    old.rename(new)
    config, root = new / "studies" / "digits" / "study.yaml", ("--root", str(new))
    succeeds(capsys, "run", "--config", str(config), "budget.trials=2")
    assert len({e.trial for e in evaluations(new, "digits")}) == 2
    assert str(new) in succeeds(capsys, "report", "digits", *root)
    refit = ("refit", "digits", "--members", "best", "--epochs", "1", "--seeds", "1", *root)
    assert main(list(refit)) == 0  # so small a network may be no better than the commonest class
    capsys.readouterr()
    out = own_folder / "exported"
    succeeds(capsys, "export", "digits", "--format", "onnx", "--out", str(out), *root)
    assert (out / "onnx" / "model.onnx").is_file()
    assert {p.name for p in own_folder.iterdir()} == {new.name, out.name}
    from mlflow import MlflowClient

    from archfront.search.tracking.tracker import default_uri

    client = MlflowClient(default_uri(new))
    [experiment] = [e for e in client.search_experiments() if e.name != "Default"]
    runs = client.search_runs([experiment.experiment_id])
    assert len(runs) == 4, "the study, its trials and a full training"
    assert all(run.info.artifact_uri.startswith((new / "artifacts").as_uri()) for run in runs)
    assert {run.info.status for run in runs} == {"FINISHED"}


def interrupted(words: list[str], number: int, *, databases: Path) -> str:
    """Return what a run prints that a signal ends within its second training or a later one."""
    driver, reader = forked.command(words, here(), databases=databases)
    with open(reader.fileno(), encoding="utf-8", closefd=False) as shown:
        for line in shown:
            if re.match(r"trial +\d+ +trained", line):
                break
        time.sleep(0.5)  # into the next training
        assert driver.pid is not None
        os.kill(driver.pid, number)
        rest = shown.read()
    driver.join()
    assert driver.exitcode == 130
    return rest


def test_an_end_records_shows_the_front_and_goes_on(
    own_folder: Path, capsys: Output, shared: Path
) -> None:
    """The study that one signal ended goes on, is ended by the other and goes on again."""
    words = ["run", "experiment=digits", *TINY, "budget.trials=null", "task.epochs=6"]
    words += ["budget.minutes=10", "budget.rungs=[]", "space.input_sizes=8,16,24,32"]
    # More candidates than are trained before the signals come, however late they do.
    words += ["space.recipe.lr=0.001,0.002,0.003,0.004,0.005"]
    root, before = own_folder / "mlruns", list[Evaluation]()
    for number in (signal.SIGINT, signal.SIGTERM):
        shown = interrupted(words, number, databases=shared)
        assert "The study 'digits' is interrupted: interrupted from the keyboard." in shown
        assert "Pareto front, fastest first" in shown
        before = went_on(before, unmeasured(evaluations(root, "digits")))
    succeeds(capsys, *words, f"budget.trials={len(before) + 1}")
    went_on(before, unmeasured(evaluations(root, "digits")))


def went_on(before: list[Evaluation], after: list[Evaluation]) -> list[Evaluation]:
    """Return the later evaluations, after a check that they have the earlier ones and more."""
    assert [evaluation for evaluation in after if evaluation in before] == before
    assert len(after) > len(before)
    return after


def test_a_dry_run_tells_size_time_and_disk_and_writes_no_study(
    own_folder: Path, capsys: Output
) -> None:
    shown = succeeds(capsys, "run", "experiment=digits", *TINY, "--dry-run")
    assert "3 candidates: 1 backbone of 1 family, 3 architectures, 1 recipe" in shown
    assert "no architecture of this space has been measured on this device yet" in shown
    assert re.search(r"^time +about .+ for 2 trainings", shown, re.MULTILINE)
    assert re.search(r"^disk +about [\d,]+ MB", shown, re.MULTILINE)
    assert not (own_folder / "mlruns" / "studies").exists()


def test_a_wheel_carries_everything_and_works_elsewhere(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path / "dist")],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    site = tmp_path / "site"
    zipfile.ZipFile(wheel).extractall(site)
    others = [p for p in site.iterdir() if not p.name.endswith(".dist-info")]
    assert [p.name for p in others] == ["archfront"], "one import name, whatever a user's are"
    code = (
        "import archfront, sys; from archfront.search.cli import main; "
        f"assert archfront.__file__.startswith({str(site)!r}), archfront.__file__; "
        "sys.exit(main(['run', 'experiment=digits', '--cfg', 'job']))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "study: digits" in ran.stdout
