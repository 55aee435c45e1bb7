"""``archfront list``: the studies of a root and of a team's database, a line each."""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

from archfront.search.commands.consoles import echo, print_table, wide_console
from archfront.search.commands.study_text import (
    add_root,
    add_storage,
    root_or_default,
    state_text,
    url_or_default,
)
from archfront.search.errors import StudyError
from archfront.search.records.evaluation import Trained
from archfront.search.records.paths import StudyPaths
from archfront.search.records.store import reading
from archfront.search.records.stored_studies import all_studies
from archfront.search.report.fitted_table import Column, FittedTable, Kind
from archfront.search.results.results import Results

# Columns of a table that is not shown in a terminal.
WIDTH = 140


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what ``archfront list`` takes."""
    add_root(parser)
    add_storage(parser)
    parser.add_argument("--json", action="store_true", help="as JSON")


def call(arguments: argparse.Namespace) -> int:
    """Print the studies of a root and return the exit status."""
    root = root_or_default(arguments.root)
    url = url_or_default(arguments.storage_url)
    summaries = [_summary(root, name, url) for name in all_studies(root, url)]
    if arguments.json:
        echo(json.dumps(summaries, indent=2))
        return 0
    if not summaries:
        echo(f"There is no study in {root}. archfront run study=NAME ... starts one.")
        return 0
    ranks = {"study": 0, "state": 0, "best": 1, "trained": 2, "metric": 3, "started": 4}
    kinds: dict[str, Kind] = {"study": "key", "state": "words", "metric": "name"}
    # A study that cannot be read has fewer values than others, one with rungs has more.
    fullest = sorted(summaries, key=len, reverse=True)
    names = list(dict.fromkeys(name for summary in fullest for name in summary))
    columns = [Column(name, ranks.get(name, 5), kinds.get(name, "number")) for name in names]
    table = FittedTable(f"Studies in {root}", columns)
    for summary in summaries:
        values = [summary.get(name) for name in names]
        table.add_row(*("" if v is None else str(v) for v in values))
    print_table(wide_console(WIDTH), table)
    return 0


def _summary(root: Path, name: str, url: str | None) -> dict[str, Any]:
    """Return what the table shows of one study."""
    paths = StudyPaths(root, name)
    try:
        results = Results.read(reading(paths, url), paths)
    except StudyError as error:
        return {"study": name, "state": f"unreadable: {str(error).splitlines()[0]}"}
    trained = [
        e.outcome.metric
        for e in results.evaluations
        if e.can_join_front and isinstance(e.outcome, Trained)
    ]
    started = None if results.header is None else results.header.started
    state = state_text(results)
    why = (results.reason.splitlines() or [""])[0] if state in ("stopped", "failed") else ""
    return {
        "study": name,
        "state": f"{state}: {why}" if why else state,
        **results.counts(),
        "best": f"{max(trained):.4f}" if trained else None,
        "metric": results.objectives[0].name if results.objectives else None,
        "started": started and time.strftime("%Y-%m-%d %H:%M", time.localtime(started)),
    }
