"""``archfront variants``: members of the front as they may be deployed, without training."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from typing import TYPE_CHECKING

from archfront.search.commands.consoles import (
    echo,
    print_lines,
    print_note,
    print_table,
    wide_console,
)
from archfront.search.commands.flags import collecting
from archfront.search.commands.study_text import add_study, names_in, results_of
from archfront.search.errors import ConfigError, StudyError

if TYPE_CHECKING:
    from archfront.search.records.variant_records import Variant, VariantSummary
    from archfront.search.results.results import Results
    from archfront.search.results.select_members import Member

TEXT = """\
Each member is written at other input sizes, in int8 and for other runtimes with the weights that
it has; the file is measured as the study's candidates are and scored on the validation split.
Every variant is recorded, also those that could not be made: after Ctrl-C the same command goes
on. The front of the trained members stays what it is; the table and the report show the variants
beside it.

examples:
  archfront variants flowers
  archfront variants flowers --members knee,best --runtimes onnxruntime --sizes 160,192
"""
WIDTH = 160


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what ``archfront variants`` takes."""
    parser.epilog = TEXT
    add_study(parser)
    parser.add_argument(
        "--members", default="all", metavar="A,B", help="as for refit (default: all of the front)"
    )
    parser.add_argument(
        "--runtimes",
        metavar="A,B",
        help="onnxruntime, openvino (default: those that are installed)",
    )
    parser.add_argument(
        "--precisions", default="fp32,int8", metavar="A,B", help="(default: %(default)s)"
    )
    parser.add_argument(
        "--sizes",
        default="auto",
        metavar="A,B",
        help="input sizes in pixels (default: auto, half to five quarters of each member's own)",
    )
    parser.add_argument("--again", action="store_true", help="make recorded variants again")
    parser.add_argument("--json", action="store_true", help="the result as JSON")


def call(arguments: argparse.Namespace) -> int:
    """Make the variants, print their front, write the report again, return the exit status."""
    from archfront.search.export.make_variants import make_variants
    from archfront.search.export.variant_request import RUNTIMES, VariantRequest, formats_of
    from archfront.search.prepare.recorded import study_of
    from archfront.search.report import pages
    from archfront.search.results.variant_results import summary

    chosen = RUNTIMES if arguments.runtimes is None else names_in(arguments.runtimes)
    problems: list[str] = []
    with collecting(problems):
        sizes = _sizes(arguments.sizes)
    with collecting(problems):
        precisions = names_in(arguments.precisions)
        formats = formats_of(chosen, precisions, installed_only=arguments.runtimes is None)
    if not names_in(arguments.members):
        problems.append("--members: at least one member is needed.")
    if problems:
        raise ConfigError(*problems)
    results = results_of(arguments)
    study = study_of(results.header)
    if results.is_driven:
        raise StudyError(
            f"The study {arguments.study!r} is running: beside its trainings every latency would "
            "be too long. Wait for it, or end it."
        )
    members, lacking = _members(results, names_in(arguments.members))
    for error in lacking:
        print_note(f"left out: {error}")
    request = VariantRequest(formats, sizes, arguments.again)
    done = make_variants(results, study, members, request)
    for variant, was_there in done:
        if not was_there:
            print_note(_line(variant, study.config.task.metric))
    found = summary(results)
    if found is None:
        raise StudyError(
            "Only what the members already are was asked for. Give other --sizes, --runtimes or "
            "--precisions."
        )
    pages.write(results, lambda lacking: print_note(str(lacking)))
    if arguments.json:
        echo(json.dumps(asdict(found), indent=2))
    else:
        _print(results, found)
    return 0


def _sizes(text: str) -> tuple[int, ...] | None:
    if text == "auto":
        return None
    names = names_in(text)
    if not names or not all(name.isascii() and name.isdigit() and int(name) for name in names):
        raise ConfigError(
            f"--sizes: auto, or whole numbers of pixels between commas are needed; got {text!r}."
        )
    return tuple(dict.fromkeys(int(name) for name in names))


def _members(results: Results, names: list[str]) -> tuple[list[Member], list[StudyError]]:
    """Return the members that have weights, and why the others are left out.

    Raises:
        StudyError: If none of them has weights.
    """
    from archfront.search.results.select_members import chosen_trials, proxy_member

    members, lacking = [], []
    for trial in chosen_trials(results, names):
        try:
            members.append(proxy_member(results, trial))
        except StudyError:
            reason = "were not kept: only those of the front are, and variants are made of them."
            lacking.append(StudyError(f"The weights of trial {trial} {reason}"))
    if not members:
        raise lacking[0]
    return members, lacking


def _line(variant: Variant, metric: str) -> str:
    from archfront.search.records.evaluation import Failed

    start = f"trial {variant.trial} {variant.setting}:"
    if isinstance(variant.outcome, Failed):
        return f"{start} not made. {variant.outcome}"
    scored = variant.outcome
    latency = scored.measurement.latency
    return f"{start} {metric} {scored.metric:.4f}, p50 {latency.p50_ms:.3g} ms"


def _print(results: Results, found: VariantSummary) -> None:
    from archfront.search.report.fitted_table import Column, FittedTable

    columns = [
        Column("trial"),
        Column("candidate", 4, "name"),
        Column("deployed as", kind="name"),
        Column(found.metric.replace("_", " ")),
        Column("95 %", 3),
        *(Column(name, 0 if name == "latency_ms" else 2) for name in found.costs),
        Column("verdict", 1, "words"),
    ]
    table = FittedTable("Members of the front and their variants", columns)
    for point in found.points:
        table.add_row(
            str(point.trial),
            point.label,
            str(point.setting),
            f"{point.metric:.4f}",
            f"{point.metric_low:.4f} to {point.metric_high:.4f}",
            *(f"{value:.3g}" for value in point.costs.values()),
            point.verdict,
            style="bold" if point.is_on_front else "dim",
        )
    console = wide_console(WIDTH)
    print_table(console, table)
    refused = [f"not made  trial {v.trial}, {v.setting}: {v.outcome}" for v in found.refused]
    print_lines(console, [*refused, found.sentence, f"report    {results.paths.report}"])
