"""``archfront report``: a study's report and plots written again from its records."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from pathlib import Path

from archfront.search.commands.consoles import print_note
from archfront.search.commands.study_text import add_study, results_of
from archfront.search.errors import StudyError
from archfront.search.report import pages
from archfront.search.results.results import Results


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what ``archfront report`` takes."""
    add_study(parser)


def call(arguments: argparse.Namespace) -> int:
    """Write the report and the plots of a study, print their paths; 1 where one is lacking."""
    lacking: list[str] = []
    for path in write_report(results_of(arguments), lacking.append):
        print(path)
    for line in lacking:
        print_note(line)
    return 1 if lacking else 0


def write_report(
    results: Results, tell: Callable[[str], None] = pages.logger.warning
) -> list[Path]:
    """Write the report and the plots of a study and return their paths.

    Args:
        results: The study.
        tell: Takes a line about each file that could not be written.

    Raises:
        StudyError: If nothing is recorded yet.
    """
    if not results.header:
        raise StudyError(f"The study {results.paths.study!r} has no records yet, so no report.")
    os.environ.setdefault("MPLCONFIGDIR", str(results.paths.matplotlib))
    return pages.write(results, tell)
