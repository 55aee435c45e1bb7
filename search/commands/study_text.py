"""What the commands on recorded studies have in common: their arguments, and what these name."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from archfront.search.records.paths import default_root
from archfront.search.records.storage_urls import STORAGE_VARIABLE, revealed
from archfront.search.records.store import find_study, reading
from archfront.search.results.results import Results
from archfront.trainers.files import plain_path


def add_study(parser: argparse.ArgumentParser) -> None:
    """Add the name of a study, and where it lies."""
    parser.add_argument("study", help="name of the study")
    add_root(parser)
    add_storage(parser)


def add_root(parser: argparse.ArgumentParser) -> None:
    """Add the folder of the studies."""
    parser.add_argument(
        "--root", type=Path, help="folder of the studies (default: ARCHFRONT_ROOT, else ./mlruns)"
    )


def add_storage(parser: argparse.ArgumentParser) -> None:
    """Add the database of studies that keep their records in one."""
    parser.add_argument("--storage-url", help="SQLAlchemy URL, for studies that were run with one")


def results_of(arguments: argparse.Namespace) -> Results:
    """Return the records of the study that the arguments name.

    Raises:
        StudyError: If there is no such study, or its records cannot be read.
    """
    return read_results(
        arguments.study, root_or_default(arguments.root), url_or_default(arguments.storage_url)
    )


def read_results(study: str, root: Path, storage_url: str | None) -> Results:
    """Return the records of a study.

    Args:
        study: Name of the study.
        root: Folder of the studies; absolute.
        storage_url: SQLAlchemy URL of the records; None for a journal in the study's folder.

    Raises:
        StudyError: If there is no such study, or its records cannot be read.
    """
    paths = find_study(root, study, storage_url)
    return Results.read(reading(paths, storage_url), paths)


def root_or_default(root: str | Path | None) -> Path:
    """Return a folder of studies as an absolute path; the environment's, or the default one."""
    return default_root() if root is None else plain_path(root)


def url_or_default(storage_url: str | None) -> str | None:
    """Return the URL of the database; the environment's where none is given."""
    return storage_url or os.environ.get(STORAGE_VARIABLE)


def runs_uri(stored: str | None, given: str | None, storage_url: str | None) -> str | None:
    """Return MLflow's store, also where it is the database of the records.

    Args:
        stored: The store that the study began with, its password hidden; None for the root's.
        given: On the command line.
        storage_url: The database of the records.
    """
    return given or revealed(stored, url_or_default(storage_url))


def state_text(results: Results) -> str:
    """Return the state of a study; one that is recorded as running without a driver stopped."""
    if results.state == "running" and not results.is_driven:
        return "stopped"
    return results.state


def names_in(text: str) -> list[str]:
    """Return the names between commas."""
    return [name.strip() for name in text.split(",") if name.strip()]
