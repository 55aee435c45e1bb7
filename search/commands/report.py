"""``archfront report``: a study's report and plots written again from its records."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from archfront.search.commands.study_text import add_study, results_of
from archfront.search.errors import StudyError
from archfront.search.report import pages
from archfront.search.results.results import Results


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what ``archfront report`` takes."""
    add_study(parser)


def call(arguments: argparse.Namespace) -> int:
    """Write the report and the plots of a study, print their paths, return the exit status."""
    for path in write_report(results_of(arguments)):
        print(path)
    return 0


def write_report(results: Results) -> list[Path]:
    """Write the report and the plots of a study and return their paths.

    Raises:
        StudyError: If nothing is recorded yet.
        Exception: Why one of them could not be written, after the others were.
    """
    if not results.header:
        raise StudyError(f"The study {results.paths.study!r} has no records yet, so no report.")
    os.environ.setdefault("MPLCONFIGDIR", str(results.paths.matplotlib))
    lacking: list[pages.Unwritten] = []
    files = pages.write(results, lacking.append)
    if lacking:
        raise lacking[0].error
    return files
