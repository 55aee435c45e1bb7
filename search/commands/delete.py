"""``archfront delete``: a study removed with its files, its rows in MLflow and in a database."""

from __future__ import annotations

import argparse
import shutil
import sys

from archfront.search.commands.study_text import add_study, root_or_default, url_or_default
from archfront.search.errors import StudyError
from archfront.search.records.driver_lock import is_driven
from archfront.search.records.paths import existing
from archfront.search.records.store import reading, remove
from archfront.search.results.results import Results
from archfront.trainers.words import count_of


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what ``archfront delete`` takes."""
    add_study(parser)
    parser.add_argument("--yes", action="store_true", help="do not ask")
    parser.add_argument("--mlflow-uri", help="MLflow's store, if it is not in the root")


def call(arguments: argparse.Namespace) -> int:
    """Remove a study and return the exit status: 1 where a person answers no."""
    paths = existing(root_or_default(arguments.root), arguments.study)
    if is_driven(paths):
        raise StudyError(f"The study {paths.study!r} is being run; end that first.")
    url = url_or_default(arguments.storage_url)
    results = Results.read(reading(paths, url), paths)
    n_trials = sum(results.counts().values())
    _check_runs_known(results, arguments.mlflow_uri)
    if not arguments.yes:
        if not sys.stdin.isatty():
            raise StudyError(
                f"Deleting {paths.study!r} would remove {count_of(n_trials, 'trial')} in "
                f"{paths.folder} for good. Say --yes."
            )
        answer = input(f"Remove {count_of(n_trials, 'trial')} in {paths.folder}? [y/N] ")
        if answer.strip().lower() not in ("y", "yes"):
            print("Nothing was removed.")
            return 1
    n_runs = _remove_runs(results, arguments.mlflow_uri)
    remove(paths, url)
    shutil.rmtree(paths.folder)
    removed = f"{count_of(n_trials, 'trial')}, {count_of(n_runs, 'MLflow run')}"
    print(f"Removed {paths.study}: {removed}.")
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
