"""``archfront front``: the Pareto front of a study as a table, CSV or JSON."""

from __future__ import annotations

import argparse
import csv
import json
import sys
from typing import Any

from archfront.search.commands.consoles import echo, print_lines, print_table, wide_console
from archfront.search.commands.study_text import add_study, results_of

# Columns of a table that is not shown in a terminal.
WIDTH = 140


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what ``archfront front`` takes."""
    add_study(parser)
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="records with every field")
    form.add_argument("--csv", action="store_true", help="the same as comma-separated values")


def call(arguments: argparse.Namespace) -> int:
    """Print the front of a study and return the exit status."""
    from archfront.search.report.front_table import front_table
    from archfront.search.results.baselines import baseline_line, baselines
    from archfront.search.results.stats import provisional_sentence

    results = results_of(arguments)
    if arguments.json:
        echo(json.dumps(results.rows(), indent=2))
    elif arguments.csv:
        flat = [{name: _cell(value) for name, value in row.items()} for row in results.rows()]
        # Of the members of a front some may have more values, as those of folds.
        names = list(dict.fromkeys(name for row in flat for name in row)) or ["trial"]
        writer = csv.DictWriter(sys.stdout, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(flat)
    elif not (members := results.front()):
        echo(results.none_trained())
    else:
        metric, *costs = (objective.name for objective in results.objectives)
        console = wide_console(WIDTH)
        table = front_table(members, metric, results.scores, costs=costs)
        print_table(console, table)
        line = baseline_line(baselines(results.begun()), metric)
        print_lines(console, filter(None, [line, provisional_sentence(members)]))
    return 0


def _cell(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, dict | list) else value
