"""``archfront show``: one study with its question, its state and its costs."""

from __future__ import annotations

import argparse
import json

from archfront.search.commands.consoles import echo, print_lines, wide_console
from archfront.search.commands.study_text import add_study, results_of, state_text
from archfront.search.results.node_work import node_work, waiting_sentence
from archfront.trainers.words import duration

# Columns of lines that are not shown in a terminal.
WIDTH = 140


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what ``archfront show`` takes."""
    add_study(parser)
    parser.add_argument("--json", action="store_true", help="as JSON")


def call(arguments: argparse.Namespace) -> int:
    """Print one study and return the exit status."""
    from archfront.search.report.terminal import study_lines

    results = results_of(arguments)
    paths, header = results.paths, results.header
    if arguments.json:
        content = {
            "study": paths.study,
            "state": state_text(results),
            "reason": results.reason,
            "counts": results.counts(),
            "seconds": results.seconds(),
            "nodes": [work.as_dict() for work in node_work(results.evaluations)],
            "folder": str(paths.folder),
            "header": {} if header is None else header.as_dict(),
            "front": results.rows(),
        }
        echo(json.dumps(content, indent=2))
        return 0
    lines = [f"study     {paths.study}", f"state     {state_text(results)}: {results.reason}"]
    if header:
        lines += study_lines(header)
    counts = ", ".join(f"{count} {kind}" for kind, count in results.counts().items())
    costs = ", ".join(f"{duration(s)} {name}" for name, s in results.seconds().items())
    lines += [f"trials    {counts}", f"costs     {costs}"]
    if nodes := node_work(results.evaluations):
        lines += [f"node      {work}" for work in nodes]
        lines += [f"waiting   {waiting_sentence(results.evaluations)}"]
    lines += [f"folder    {paths.folder}"]
    print_lines(wide_console(WIDTH), lines)
    return 0
