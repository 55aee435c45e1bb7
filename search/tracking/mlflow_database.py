"""MLflow's database of a root: made whole, recognized where it is not, and at home in its root.

MLflow makes its tables in seconds and in many transactions, so a process that dies meanwhile, or
two at once, leave a file that MLflow refuses for good. So one process at a time makes the database
under another name, and moves it into place when it is whole.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

from archfront.search.errors import StudyError
from archfront.search.tracking.mlflow_client import set_environment
from archfront.trainers.files import locked, sync
from archfront.trainers.machine import machine_failure

NAME, ARTIFACTS = "mlflow.db", "artifacts"
STUDY_TAG = "archfront.study_id"
# Another process writes for milliseconds; longer than this, something is wrong.
BUSY_S = 30.0
# Tables without rows where nothing was written yet.
_CONTENT = ("runs", "registered_models")
# Columns of MLflow that hold absolute URIs of artifacts.
_LOCATIONS = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)
_OF_ARCHFRONT = f"""
SELECT DISTINCT artifact_location FROM experiments WHERE name = ? OR experiment_id IN (
    SELECT experiment_id FROM runs JOIN tags USING (run_uuid) WHERE key = '{STUDY_TAG}'
)
"""
# MLflow's own default experiment lies in the working folder, until something is written there.
_DEFAULT = """
UPDATE experiments SET artifact_location = ? WHERE experiment_id = 0
AND NOT EXISTS (SELECT 1 FROM runs WHERE experiment_id = 0)
"""


def database_uri(file: Path) -> str:
    """Return the URI of a SQLite file, whatever its path has in it.

    MLflow makes the folder that a ``sqlite:`` URI spells, without unquoting; hence the driver in
    the URI where something is quoted.
    """
    from sqlalchemy.engine import URL

    plain = f"sqlite:///{file}"
    quoted = URL.create("sqlite+pysqlite", database=str(file)).render_as_string()
    return plain if quoted == plain.replace("sqlite", "sqlite+pysqlite", 1) else quoted


def ensure_database(root: Path, experiment: str = "") -> None:
    """Make the database of a root where there is none, mend what can be, and note a moved root.

    A database that was never whole and in which nothing is written is made anew.

    Args:
        root: Folder of all studies; absolute.
        experiment: Name of an experiment that is archfront's also before anything is written.

    Raises:
        StudyError: If the file is damaged, with what to do.
    """
    file = root / NAME
    if file.is_file() and not os.access(root, os.W_OK):  # it can be looked at
        return
    with locked(root / "cache" / "mlflow.lock"):
        try:
            if _is_lacking(file):
                _make(file)
            _settle(file, root / ARTIFACTS, experiment)
        except sqlite3.Error as error:
            raise damaged(file, str(error)) from error


def damaged(file: Path, reason: str) -> StudyError:
    """Return the error for a database that cannot be mended.

    Args:
        file: The database.
        reason: What is wrong with it, in words.
    """
    failure = machine_failure(OSError(reason))
    remedy = "Move the file away: a new one is made" if failure is None else failure.remedy[:-1]
    return StudyError(
        f"MLflow's database {str(file)!r} cannot be used: {reason}. The records of the studies do "
        f"not depend on it. {remedy}, and 'archfront report STUDY' writes the runs of a study "
        "into it again."
    )


def check_database(root: Path) -> None:
    """See that the database of a root can be used, if there is one, without importing MLflow.

    Args:
        root: Folder of all studies; absolute.

    Raises:
        StudyError: If the file is damaged, with what to do.
    """
    file = root / NAME
    try:
        if _is_there(file):
            _versions_without_content(file)
    except sqlite3.Error as error:
        raise damaged(file, str(error)) from error


def _is_there(file: Path) -> bool:
    return file.is_file() and file.stat().st_size > 0


def _is_lacking(file: Path) -> bool:
    """Return whether there is no database, or one that was never whole and has no content.

    Raises:
        StudyError: If it has content and is not whole.
        sqlite3.Error: If it is none of SQLite's, or damaged.
    """
    if not _is_there(file):
        return True
    versions = _versions_without_content(file)
    if versions is None:
        return False
    set_environment()
    from mlflow.store.db.utils import _get_latest_schema_revision

    return versions != [(_get_latest_schema_revision(),)]


def _versions_without_content(file: Path) -> list[tuple[str]] | None:
    """Return the versions of the tables of a database in which nothing is written, else None.

    Raises:
        StudyError: If it has content and is not whole.
        sqlite3.Error: If it is none of SQLite's, or damaged.
    """
    with closing(sqlite3.connect(file, timeout=BUSY_S)) as connection:
        (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        if found != "ok":
            raise sqlite3.DatabaseError(found.replace("\n", " "))
        rows = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        tables = {name for (name,) in rows}
        if any(_has_rows(connection, name) for name in _CONTENT if name in tables):
            if "alembic_version" in tables and _has_rows(connection, "alembic_version"):
                return None
            raise damaged(file, "the version of its tables is missing")
        query = "SELECT version_num FROM alembic_version"
        return list(connection.execute(query)) if "alembic_version" in tables else []


def _has_rows(connection: sqlite3.Connection, table: str) -> bool:
    return connection.execute(f"SELECT 1 FROM {table} LIMIT 1").fetchone() is not None


def _make(file: Path) -> None:
    """Make a database in memory, write it beside its place, and move it there when it is whole."""
    set_environment()
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    new = file.with_name(f".{file.name}.new")
    _remove(new)  # of a process that died
    store = SqlAlchemyStore("sqlite:///:memory:", (file.parent / ARTIFACTS).as_uri())
    with closing(store.engine.raw_connection()) as made, closing(sqlite3.connect(new)) as written:
        made.driver_connection.backup(written)
    store.engine.dispose()
    sync(new)
    _remove(file)
    new.replace(file)
    sync(file.parent)


def _remove(file: Path) -> None:
    """Remove a database with what SQLite keeps beside it."""
    for ending in ("", "-journal", "-wal", "-shm"):
        Path(f"{file}{ending}").unlink(missing_ok=True)


def _settle(file: Path, artifacts: Path, experiment: str) -> None:
    """Let the artifacts of a root lie below it, also where it was moved or copied.

    Only what archfront wrote is changed: the locations of other experiments stay.
    """
    here = artifacts.as_uri()
    with closing(sqlite3.connect(file, timeout=BUSY_S)) as connection:
        found = [location for (location,) in connection.execute(_OF_ARCHFRONT, (experiment,))]
        moved = [old for old in found if old != here and _is_of_a_root(old)]
        default = f"{here}/0"
        wrong = "SELECT 1 FROM experiments WHERE experiment_id = 0 AND artifact_location != ?"
        is_elsewhere = connection.execute(wrong, (default,)).fetchone() is not None
        if not moved and not is_elsewhere:
            return
        with connection:
            connection.execute(_DEFAULT, (default,))
            for old in moved:
                for table, column in _LOCATIONS:
                    _relocate(connection, (table, column), old, here)


def _is_of_a_root(location: str) -> bool:
    return location.startswith(f"file:{os.sep}") and location.endswith(f"/{ARTIFACTS}")


def _relocate(connection: sqlite3.Connection, place: tuple[str, str], old: str, new: str) -> None:
    """Change the beginning of the URIs in a column of a table."""
    table, column = place
    connection.execute(
        f"UPDATE {table} SET {column} = ? || substr({column}, ?) "
        f"WHERE {column} = ? OR substr({column}, 1, ?) = ?",
        (new, len(old) + 1, old, len(old) + 1, f"{old}/"),
    )
