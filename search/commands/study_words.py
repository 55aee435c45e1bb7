"""What the commands on a recorded study have in common."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from archfront.search.records.paths import default_root, existing
from archfront.search.records.store import reading
from archfront.search.results.results import Results


def add_study(parser: argparse.ArgumentParser) -> None:
    """Add the study and where it lies."""
    parser.add_argument("study", help="name of the study")
    parser.add_argument(
        "--root", type=Path, help="folder of the studies (default: ARCHFRONT_ROOT, else ./mlruns)"
    )
    parser.add_argument("--storage-url", help="SQLAlchemy URL, for studies that were run with one")


def results_of(arguments: argparse.Namespace) -> Results:
    """Return the records of the study that is asked for.

    Raises:
        StudyError: If it is not there or cannot be read.
    """
    root = arguments.root
    places = existing(
        default_root() if root is None else root.expanduser().absolute(), arguments.study
    )
    url = arguments.storage_url or os.environ.get("ARCHFRONT_STORAGE_URL")
    return Results.read(reading(places, url), places)


def names_in(text: str) -> list[str]:
    """Return the names between commas."""
    return [name.strip() for name in text.split(",") if name.strip()]
