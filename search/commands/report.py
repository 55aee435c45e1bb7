"""``archfront report``: a study's report and plots written again from its records."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from archfront.search.commands.consoles import echo
from archfront.search.commands.study_text import (
    add_study,
    results_of,
    runs_uri,
    url_or_default,
)
from archfront.search.errors import StudyError, StudyLockedError
from archfront.search.records.driver_lock import driver_lock
from archfront.search.report import finishing, pages
from archfront.search.results.results import Results

if TYPE_CHECKING:
    from archfront.search.tracking.tracker import Tracker


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what ``archfront report`` takes."""
    add_study(parser)
    parser.add_argument("--mlflow-uri", help="MLflow's store, if it is not in the root")


def call(arguments: argparse.Namespace) -> int:
    """Write the report and the plots of a study, print their paths, return the exit status."""
    lacking: list[pages.Unwritten] = []
    url = url_or_default(arguments.storage_url)
    results = results_of(arguments)
    for path in write_report(results, lacking.append, uri=arguments.mlflow_uri, storage_url=url):
        echo(path)
    for unwritten in lacking:
        echo(f"archfront: {unwritten}", to_stderr=True)
    return 1 if lacking else 0


def write_report(
    results: Results,
    tell: Callable[[pages.Unwritten], None],
    *,
    uri: str | None = None,
    storage_url: str | None = None,
) -> list[Path]:
    """Write the report and the plots of a study and return their paths.

    What the end of the study left unwritten in MLflow is written too.

    Args:
        results: The study.
        tell: Takes each thing that could not be written.
        uri: MLflow's store, if it is not in the root.
        storage_url: The database of the records; None for a journal.

    Raises:
        StudyError: If nothing is recorded yet.
    """
    paths = results.paths
    if not results.header:
        raise StudyError(f"The study {paths.study!r} has no records yet, so no report.")
    os.environ.setdefault("MPLCONFIGDIR", str(paths.matplotlib))
    if _is_outstanding(results):
        with suppress(StudyLockedError), driver_lock(paths, storage_url):
            known = runs_uri(results.header.mlflow_uri, uri, storage_url)
            return finishing.finish(results, lambda: _tracker(results, known), tell)
    return pages.write(results, tell)


def _is_outstanding(results: Results) -> bool:
    """Return whether MLflow lacks the end of a study that was written to it."""
    paths = results.paths
    is_in_root = results.begun().mlflow_uri is None
    has_database = not is_in_root or (paths.root / "mlflow.db").is_file()
    if not paths.finishing.is_file() and not has_database:  # it was run without MLflow
        return False
    return not has_database or finishing.MLFLOW in finishing.outstanding(paths)


def _tracker(results: Results, uri: str | None) -> Tracker:
    """Return what writes the study to MLflow.

    Raises:
        StudyError: If it is in a store with a password, or its store cannot be opened.
    """
    from archfront.search.tracking.tracker import Tracker

    header = results.begun()
    stored = header.mlflow_uri
    if uri is None and stored is not None:
        raise StudyError(f"The study keeps its MLflow runs in {stored}. Give --mlflow-uri.")
    return Tracker(results.paths, uri, header.experiment)
