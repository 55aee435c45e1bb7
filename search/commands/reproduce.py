"""``archfront reproduce``: a trial trained again from its record, and compared."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from typing import TYPE_CHECKING

from archfront.search.commands.consoles import echo
from archfront.search.commands.study_text import add_study, results_of

if TYPE_CHECKING:
    from archfront.search.retrain.reproduction import Reproduction

TEXT = """\
Builds and trains the candidate of a trial from what is recorded, and compares metrics, learning
curve, predictions and weights. On the same CPU, with the same versions and threads, all of them
are the same to the last bit; otherwise the differences are printed, and the exit status is 1.

examples:
  archfront reproduce flowers --trial 12
  archfront reproduce flowers --trial 12 --json
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what ``archfront reproduce`` takes."""
    parser.epilog = TEXT
    add_study(parser)
    parser.add_argument(
        "--trial", type=int, required=True, metavar="N", help="number of the trial"
    )
    parser.add_argument("--json", action="store_true", help="the comparison as JSON")


def call(arguments: argparse.Namespace) -> int:
    """Train again, print the comparison, and return 1 where something differs."""
    from archfront.search.prepare.recorded import study_of
    from archfront.search.retrain.reproduction import reproduce

    results = results_of(arguments)
    found = reproduce(results, study_of(results.header), arguments.trial)
    if arguments.json:
        echo(json.dumps(asdict(found), indent=2))
    else:
        for line in lines(found):
            echo(line)
    return 0 if found.is_same else 1


def lines(found: Reproduction) -> list[str]:
    """Return the comparison as lines of text."""
    text = [
        f"{name:<24} {then:.6f} then, {now:.6f} now" for name, (then, now) in found.metrics.items()
    ]
    if found.is_same:
        text.append(f"The same to the last bit: {', '.join(found.compared)}.")
        text += [f"  although different from then: {line}" for line in found.changed]
        return text
    text.append(f"Not the same: {', '.join(found.differing)}.")
    text += [f"  different from then: {line}" for line in found.changed]
    if not found.changed:
        text.append(
            "  Versions, device and data are those of then. What is not recorded may differ: "
            "threads of a training (engine.threads), or a GPU, which does not repeat itself "
            "exactly."
        )
    return text
