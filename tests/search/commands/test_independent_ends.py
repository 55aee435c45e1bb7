"""The end of a study: what cannot be written takes nothing else away."""

from __future__ import annotations

import io
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from mlflow import MlflowClient
from rich.console import Console

from archfront.search.commands import launch as launching
from archfront.search.commands.report import write_report
from archfront.search.report import figures, finishing, front_png, page_figure, pages
from archfront.search.study.study import StudyResult
from archfront.search.tracking.tracker import TRIAL_TAG, Tracker, default_uri
from tests.support import forked
from tests.support.small_study import run, small_config
from tests.support.study_engines import results

FILES = {"front.json", "report.html", "front.html", "front.png"}


def broken(*_: Any, **__: Any) -> Any:
    raise ValueError("'yerr' must not contain\nnegative values")


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    def small_run(config: Any, *, followers: Any, progress: Any) -> StudyResult:
        return run(config, followers=followers)

    monkeypatch.setattr(launching, "study", SimpleNamespace(run=small_run))
    return tmp_path


def launched(root: Path) -> tuple[StudyResult, str]:
    printed = io.StringIO()
    console = Console(file=printed, width=200)
    # Profiles are remembered beside the table of latencies: that of the data is made once for all.
    table = root.parent / "ends" / "latency.db"
    config = small_config(root, budget__trials=3, tracking__device_db=str(table))
    return launching.launch(config, console, is_plain=True), printed.getvalue()


def written(root: Path) -> set[str]:
    folder = results(root).paths.folder
    return {name for name in FILES if (folder / name).is_file()}


def trials_in_mlflow(root: Path) -> set[str]:
    client = MlflowClient(default_uri(root))
    ids = [experiment.experiment_id for experiment in client.search_experiments()]
    runs = client.search_runs(ids, max_results=1000)
    assert {run.info.status for run in runs if TRIAL_TAG not in run.data.tags} == {"FINISHED"}
    return {run.data.tags[TRIAL_TAG] for run in runs if TRIAL_TAG in run.data.tags}


def evaluated(root: Path) -> set[str]:
    return {f"{e.trial}:{e.rung}:{e.attempt}" for e in results(root).evaluations}


@pytest.mark.parametrize(
    ("name", "owner", "function"),
    [
        ("front.png", front_png, "write_png"),
        pytest.param("front.html", page_figure, "to_html", marks=pytest.mark.slow),
        pytest.param("report.html", pages, "render", marks=pytest.mark.slow),
        pytest.param("front.json", pages, "_write_rows", marks=pytest.mark.slow),
    ],
)
def test_a_file_that_cannot_be_written_is_one_line(
    small: Path, monkeypatch: pytest.MonkeyPatch, name: str, owner: Any, function: str
) -> None:
    """A study ended with matplotlib's traceback, without its table and MLflow's end."""
    monkeypatch.setattr(owner, function, broken)
    result, text = launched(small)
    assert result.state == "finished"
    assert written(small) == FILES - {name}
    [line] = [line for line in text.splitlines() if line.startswith("Not written")]
    assert str(results(small).paths.folder / name) in line
    assert "(ValueError: 'yerr' must not contain)" in line
    assert "Pareto front" in text
    assert trials_in_mlflow(small) == evaluated(small)


def test_a_table_that_cannot_be_drawn_is_one_line(
    small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launching, "front_table", broken)
    result, text = launched(small)
    assert result.state == "finished"
    assert "Not written: the table of the front (ValueError" in text
    assert "\nreport    " in text
    assert written(small) == FILES
    assert trials_in_mlflow(small) == evaluated(small)


def test_an_end_that_mlflow_does_not_take_is_one_line(
    small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Tracker, "finish", broken)
    result, text = launched(small)
    assert result.state == "finished"
    assert "Not written: the end of the study in MLflow (ValueError" in text
    assert "Pareto front" in text
    assert written(small) == FILES


@pytest.mark.slow
def test_trials_that_mlflow_did_not_take_are_written_at_the_end(
    small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, calls = Tracker._write, []

    def sometimes(tracker: Tracker, evaluation: Any) -> None:
        calls.append(evaluation)
        if len(calls) in (2, 3):
            raise OSError("disk I/O error")
        write(tracker, evaluation)

    monkeypatch.setattr(Tracker, "_write", sometimes)
    result, text = launched(small)
    assert result.state == "finished"
    assert text.count("Not written") == 1
    assert "in MLflow (OSError: disk I/O error)" in text
    assert trials_in_mlflow(small) == evaluated(small)
    assert written(small) == FILES


class KilledError(BaseException):
    """Stands for the end of the process."""


@pytest.fixture
def killed(small: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A root whose study is recorded as finished by a process that got no further."""

    def die(*_: Any) -> None:
        raise KilledError

    with monkeypatch.context() as patch:
        patch.setattr(finishing, "finish", die)
        with pytest.raises(KilledError):
            launched(small)
    assert results(small).state == "finished"
    assert written(small) == set()
    return small


def test_a_study_killed_at_its_end_is_completed_by_the_same_command(killed: Path) -> None:
    """No report was written any more, and MLflow's run was running for ever."""
    result, text = launched(killed)
    assert result.was_finished
    assert f"report    {results(killed).paths.report}" in text.splitlines()
    assert written(killed) == FILES
    assert trials_in_mlflow(killed) == evaluated(killed)
    assert not finishing.outstanding(results(killed).paths)


@pytest.mark.slow
def test_a_study_killed_at_its_end_is_completed_by_its_report(killed: Path) -> None:
    lacking: list[pages.Unwritten] = []
    files = write_report(results(killed), lacking.append)
    assert {file.name for file in files} == written(killed) == FILES
    assert lacking == []
    assert trials_in_mlflow(killed) == evaluated(killed)


def report_anew(root: Path) -> None:
    lacking: list[pages.Unwritten] = []
    write_report(results(root), lacking.append)
    assert lacking == []


@pytest.mark.slow
def test_a_database_that_was_moved_away_is_written_again(small: Path) -> None:
    launched(small)
    (small / "mlflow.db").rename(small / "damaged.db")
    # In a process of its own, as MLflow keeps the database of this one open.
    process = forked.started(report_anew, small)
    process.join()
    assert process.exitcode == 0
    assert (small / "mlflow.db").is_file()


def test_a_database_that_cannot_be_opened_does_not_end_the_study(small: Path) -> None:
    (small / "mlflow.db").write_bytes(b"no database" * 100)
    result, text = launched(small)
    assert result.state == "finished"
    assert text.startswith("Not written: the study in MLflow (StudyError: MLflow's database")
    assert text.count("Not written: the study in MLflow") == 1
    assert "Not written: the end of the study in MLflow (StudyError: MLflow's database" in text
    assert written(small) == FILES
    assert finishing.outstanding(results(small).paths) == {finishing.MLFLOW}


def test_nothing_is_written_again_where_all_is_written(
    small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    launched(small)
    monkeypatch.setattr(finishing, "finish", broken)
    result, _ = launched(small)
    assert result.was_finished


@pytest.mark.slow
def test_a_picture_that_failed_is_written_by_the_next_run(
    small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(front_png, "write_png", broken)
        _, text = launched(small)
        assert "figure    " not in text
    assert finishing.outstanding(results(small).paths) == {finishing.REPORT}
    _, text = launched(small)
    assert "figure    " in text
    assert written(small) == FILES
    assert trials_in_mlflow(small) == evaluated(small)


def test_a_damaged_note_means_that_all_is_written_again(small: Path) -> None:
    launched(small)
    paths = results(small).paths
    for text in ("", "[]", '{"lacking": 3}'):
        paths.finishing.write_text(text)
        assert finishing.outstanding(paths) == {finishing.REPORT, finishing.MLFLOW}


@pytest.mark.slow
def test_the_report_names_the_figure_that_cannot_be_drawn(
    small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(figures, "params_figure", broken)
    assert launched(small)[0].state == "finished"
    page = results(small).paths.report.read_text(encoding="utf-8")
    assert "Does size pay?" in page
    assert "Not drawn: ValueError" in page
    assert "<h3>Front</h3>" in page
