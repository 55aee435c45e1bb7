"""MLflow's database is there whole or not at all, and its artifacts lie below its root."""

from __future__ import annotations

import shutil
import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import pytest
from mlflow import MlflowClient
from mlflow.store.tracking import sqlalchemy_store
from sqlalchemy import create_engine

from archfront.search.errors import StudyError
from archfront.search.records.paths import StudyPaths
from archfront.search.tracking import mlflow_database
from archfront.search.tracking.mlflow_database import (
    NAME,
    STUDY_TAG,
    check_database,
    database_uri,
    ensure_database,
)
from archfront.search.tracking.tracker import Tracker, default_uri
from tests.support.forked import started
from tests.support.mlflow_template import copied_databases, template

AWKWARD = ("plain", "with blank", "what?", "a#b", "100%", "100%41", "Grün & 'blau'", "a;b=c+d")


def change(file: Path, *statements: str) -> None:
    with closing(sqlite3.connect(file)) as connection, connection:
        for statement in statements:
            connection.execute(statement)


def experiments(root: Path) -> dict[str, str]:
    found = MlflowClient(default_uri(root)).search_experiments()
    return {experiment.name: experiment.artifact_location for experiment in found}


@pytest.fixture
def root(tmp_path: Path, shared: Path) -> Path:
    """A root with a whole and empty database."""
    shutil.copyfile(template(shared), tmp_path / NAME)
    return tmp_path


@pytest.fixture
def copied(shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Copy a whole database, where one is made, instead of making it in seconds."""
    monkeypatch.setattr(
        mlflow_database, "_make", lambda file: shutil.copyfile(template(shared), file)
    )


@pytest.mark.slow
def test_a_database_is_made_whole_under_another_name(
    tmp_path: Path, shared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kill within its first seconds left a file that MLflow refused for good."""
    made = SimpleNamespace(engine=create_engine(f"sqlite:///{template(shared)}"))
    with monkeypatch.context() as patch:
        patch.setattr(sqlalchemy_store, "SqlAlchemyStore", lambda *places: made)
        patch.setattr(mlflow_database, "sync", lambda path: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            ensure_database(tmp_path)
    assert not (tmp_path / NAME).exists()
    (tmp_path / f".{NAME}.new").write_bytes(b"half")
    ensure_database(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {NAME, "cache"}
    assert experiments(tmp_path) == {"Default": (tmp_path / "artifacts" / "0").as_uri()}


def open_store(root: Path, databases: Path) -> None:
    with copied_databases(databases):
        Tracker(StudyPaths(root, "small"), None, "tests")


@pytest.mark.slow
def test_studies_that_start_at_once_share_one_database(tmp_path: Path, shared: Path) -> None:
    """Three in a fresh root all failed and left it unusable."""
    processes = [started(open_store, tmp_path, shared) for _ in range(3)]
    for process in processes:
        process.join(300)
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert set(experiments(tmp_path)) == {"Default", "tests"}


HALF_MADE = {
    "empty": ("DROP TABLE runs",),
    "without a version": ("DELETE FROM alembic_version",),
    "without versions": ("DROP TABLE alembic_version",),
    "with some of its changes": ("UPDATE alembic_version SET version_num = '451aebb31d03'",),
}


@pytest.mark.usefixtures("copied")
@pytest.mark.parametrize("state", HALF_MADE)
def test_a_half_made_database_without_runs_is_made_anew(root: Path, state: str) -> None:
    if state == "empty":
        (root / NAME).write_bytes(b"")
    else:
        change(root / NAME, *HALF_MADE[state])
    ensure_database(root)
    with closing(sqlite3.connect(root / NAME)) as connection:
        assert len(connection.execute("SELECT * FROM alembic_version").fetchall()) == 1
    assert set(experiments(root)) == {"Default"}


RUN = (
    "INSERT INTO runs (run_uuid, name, user_id, status, start_time, end_time, lifecycle_stage, "
    "artifact_uri, experiment_id) "
    "VALUES ('r', 'r', 'me', 'FINISHED', 1, 2, 'active', '{uri}', {experiment})"
)


def test_a_database_with_runs_and_no_version_is_named(root: Path) -> None:
    change(root / NAME, RUN.format(uri="u", experiment=0), "DELETE FROM alembic_version")
    before = (root / NAME).read_bytes()
    message = "cannot be used: the version of its tables is missing.*Move the file away.*report"
    with pytest.raises(StudyError, match=message):
        ensure_database(root)
    assert (root / NAME).read_bytes() == before


@pytest.mark.parametrize("kept", [0, 60_000])
def test_a_damaged_database_is_named(root: Path, kept: int) -> None:
    content = (root / NAME).read_bytes()
    (root / NAME).write_bytes(content[:kept] + b"\x07" * (len(content) - kept))
    with pytest.raises(StudyError, match=r"mlflow\.db' cannot be used: .*Move the file away"):
        Tracker(StudyPaths(root, "small"), None, "tests")


@pytest.mark.parametrize("kept", [0, 60_000])
def test_a_damaged_database_is_told_before_mlflow_is_imported(
    root: Path, kept: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    check_database(root)
    check_database(root / "empty")
    content = (root / NAME).read_bytes()
    (root / NAME).write_bytes(content[:kept] + b"\x07" * (len(content) - kept))
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(StudyError, match=r"mlflow\.db' cannot be used: .*Move the file away"):
        check_database(root)


def test_an_mlflow_that_cannot_be_imported_is_no_damage_of_its_database(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The advice was to move the file away, which has every run in it."""
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(StudyError, match=r"^MLflow cannot be imported: .*force-reinstall") as told:
        Tracker(StudyPaths(root, "small"), None, "tests")
    assert "Move" not in str(told.value)
    assert "database" not in str(told.value)


def test_a_database_of_a_later_mlflow_is_named(root: Path) -> None:
    statement = "UPDATE alembic_version SET version_num = 'ffffffffffff'"
    change(root / NAME, RUN.format(uri="u", experiment=0), statement)
    with pytest.raises(StudyError, match=r"mlflow\.db' cannot be used: .*out-of-date"):
        Tracker(StudyPaths(root, "small"), None, "tests")


@pytest.mark.usefixtures("copied")
@pytest.mark.parametrize("name", AWKWARD)
def test_a_root_may_have_any_name(tmp_path: Path, name: str) -> None:
    root = tmp_path / name
    root.mkdir()
    tracker = Tracker(StudyPaths(root, "small"), None, "tests")
    (experiment,) = (e for e in tracker.client.search_experiments() if e.name == "tests")
    run = tracker.client.create_run(experiment.experiment_id).info.run_id
    (root / "report.html").write_text("whole")
    tracker.client.log_artifact(run, str(root / "report.html"))
    assert (root / "artifacts" / run / "artifacts" / "report.html").read_text() == "whole"
    assert Path(tracker.client.download_artifacts(run, "report.html")).is_file()
    assert {path.name for path in tmp_path.iterdir()} == {name}
    assert {p.name for p in root.iterdir()} == {NAME, "cache", "artifacts", "report.html"}


def test_a_plain_path_stays_a_plain_uri() -> None:
    assert database_uri(Path("/a b/mlflow.db")) == "sqlite:////a b/mlflow.db"


def test_a_moved_root_keeps_its_artifacts_below_it(root: Path) -> None:
    """A root that was moved wrote to the old place."""
    old, elsewhere = root / "was here", "file:///else/artifacts"
    here = (old / "artifacts").as_uri()
    change(
        root / NAME,
        f"UPDATE experiments SET artifact_location = '{here}/0'",
        "INSERT INTO experiments (experiment_id, name, artifact_location, lifecycle_stage, "
        f"workspace) VALUES (1, 'tests', '{here}', 'active', 'default'), "
        f"(2, 'others', '{elsewhere}', 'active', 'default')",
        RUN.format(uri=f"{here}/r/artifacts", experiment=1),
        f"INSERT INTO tags (key, value, run_uuid) VALUES ('{STUDY_TAG}', 'id', 'r')",
    )
    ensure_database(root)
    now = (root / "artifacts").as_uri()
    assert experiments(root) == {"Default": f"{now}/0", "tests": now, "others": elsewhere}
    run = MlflowClient(default_uri(root)).get_run("r")
    assert run.info.artifact_uri == f"{now}/r/artifacts"


def test_a_full_disk_is_no_damage_of_the_file(tmp_path: Path) -> None:
    """The advice was to move the file away, which has every run in it."""
    error = mlflow_database.damaged(tmp_path / "mlflow.db", "database or disk is full")
    assert "Move" not in str(error)
    assert "Free space, or raise the quota, and 'archfront report STUDY' writes" in str(error)
