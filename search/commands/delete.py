"""``archfront delete``: a study removed with its files, its rows in MLflow and in a database."""

from __future__ import annotations

import argparse
import shutil
import sys

from archfront.search.commands.consoles import echo
from archfront.search.commands.study_text import (
    add_study,
    root_or_default,
    runs_uri,
    url_or_default,
)
from archfront.search.errors import DatabaseError, StudyError
from archfront.search.records.driver_lock import is_driven
from archfront.search.records.paths import StudyPaths
from archfront.search.records.store import find_study, reading, remove
from archfront.search.results.results import Results
from archfront.trainers.machine import machine_failure
from archfront.trainers.words import count_of


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what ``archfront delete`` takes."""
    add_study(parser)
    parser.add_argument("--yes", action="store_true", help="do not ask")
    parser.add_argument("--mlflow-uri", help="MLflow's store, if it is not in the root")


def call(arguments: argparse.Namespace) -> int:
    """Remove a study and return the exit status: 1 where a person answers no."""
    url = url_or_default(arguments.storage_url)
    paths = find_study(root_or_default(arguments.root), arguments.study, url)
    if is_driven(paths, url):
        raise StudyError(f"The study {paths.study!r} is being run; end that first.")
    try:
        results = Results.read(reading(paths, url), paths)
    except DatabaseError:
        raise
    except StudyError as error:
        return _delete_damaged(paths, error, is_sure=arguments.yes)
    stored = None if results.header is None else results.header.mlflow_uri
    uri = runs_uri(stored, arguments.mlflow_uri, url)
    _check_runs_known(results, uri)
    trials = count_of(sum(results.counts().values()), "trial")
    if not _is_confirmed(paths, trials, is_sure=arguments.yes):
        return 1
    n_runs = _remove_all(results, url, uri)
    echo(f"Removed {paths.study}: {trials}, {count_of(n_runs, 'MLflow run')}.")
    return 0


def _remove_all(results: Results, url: str | None, mlflow_uri: str | None) -> int:
    """Remove a study's runs and then its records and files; return the number of the runs.

    On a full disk the files go first, which makes room.
    """

    def remove_files() -> None:
        remove(results.paths, url)
        # A study in a database may have its files on another host.
        shutil.rmtree(results.paths.folder, ignore_errors=not results.paths.folder.exists())

    try:
        n_runs = _remove_runs(results, mlflow_uri)
    except Exception as error:
        if machine_failure(error) is None:
            raise
        remove_files()
        return _remove_runs(results, mlflow_uri)
    remove_files()
    return n_runs


def _is_confirmed(paths: StudyPaths, what: str, *, is_sure: bool) -> bool:
    """Return whether a person wants a study removed.

    Raises:
        StudyError: If nobody can be asked.
    """
    if is_sure:
        return True
    if not sys.stdin.isatty():
        raise StudyError(
            f"Deleting {paths.study!r} would remove {what} in {paths.folder} for good. Say --yes."
        )
    answer = input(f"Remove {what} in {paths.folder}? [y/N] ")
    if answer.strip().lower() in ("y", "yes"):
        return True
    echo("Nothing was removed.")
    return False


def _delete_damaged(paths: StudyPaths, error: StudyError, *, is_sure: bool) -> int:
    """Remove the folder of a study whose records cannot be read; return the exit status."""
    if not paths.journal.is_file() and not any(paths.trials.glob("*")):
        raise error  # its records are in a database
    reason = str(error).partition(". Restore")[0]
    if not _is_confirmed(paths, f"all files ({reason})", is_sure=is_sure):
        return 1
    shutil.rmtree(paths.folder)
    echo(
        f"Removed {paths.study}, whose records were damaged. Its runs in MLflow are left, since "
        "only the records say which they are."
    )
    return 0


def _check_runs_known(results: Results, uri: str | None) -> None:
    """Raise a StudyError unless it is known where the study's MLflow runs are."""
    stored = None if results.header is None else results.header.mlflow_uri
    if stored is not None and uri is None:
        raise StudyError(
            f"The study {results.paths.study!r} keeps its runs in {stored}. Give --mlflow-uri, "
            "so that they are removed too."
        )


def _remove_runs(results: Results, uri: str | None) -> int:
    """Remove the study's runs from MLflow and return how many there were."""
    is_there = uri is not None or (results.paths.root / "mlflow.db").is_file()
    if results.header is None or not is_there:
        return 0
    from archfront.search.tracking.tracker import Tracker

    tracker = Tracker(results.paths, uri, results.header.experiment)
    return tracker.remove(results.header.id)
