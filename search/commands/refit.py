"""``archfront refit``: members of the front trained in full."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from archfront.search.commands.consoles import print_lines, print_note, wide_console
from archfront.search.commands.study_text import add_study, names_in, results_of
from archfront.search.errors import ConfigError

if TYPE_CHECKING:
    from archfront.search.prepare.recorded import Study
    from archfront.search.records.refit_records import RefitSummary
    from archfront.search.results.results import Results

TEXT = """\
Each member is trained with its own recipe for more epochs and with several seeds; averaged weights
are judged, and those of the best epoch are kept. What is done is not done again: after Ctrl-C the
same command goes on. The table and the report say which members are really different, and how well
the short trainings had ranked them.

examples:
  archfront refit flowers --epochs 60
  archfront refit flowers --members knee,best --epochs 100 --seeds 5 --distill
  archfront export flowers --member knee --out knee
"""
WIDTH = 140
# Epochs of a full training for each of a short one, where they are not given.
TIMES = 5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what ``archfront refit`` takes."""
    parser.epilog = TEXT
    add_study(parser)
    parser.add_argument(
        "--members",
        default="all",
        metavar="A,B",
        help="knee, fastest, best, trials or ids; all of the front (default), or trained for "
        "every trained candidate",
    )
    parser.add_argument(
        "--epochs", type=int, metavar="N", help=f"(default: {TIMES} times those of the search)"
    )
    parser.add_argument("--seeds", type=int, default=3, metavar="N", help="(default: 3)")
    parser.add_argument(
        "--ema", type=float, default=0.998, help="decay of averaged weights, 0: none (0.998)"
    )
    parser.add_argument(
        "--patience",
        type=int,
        metavar="N",
        help="epochs without a better metric that end a training (default: half of all)",
    )
    parser.add_argument(
        "--distill", action="store_true", help="the best member teaches the others"
    )
    parser.add_argument(
        "--teaching", type=float, default=0.5, metavar="SHARE", help="of the loss (default: 0.5)"
    )
    parser.add_argument("--mlflow-uri", help="MLflow's store, if it is not in the root")
    parser.add_argument("--json", action="store_true", help="the result as JSON")
    parser.add_argument("--plain", action="store_true", help="plain lines, no progress bar")


def call(arguments: argparse.Namespace) -> int:
    """Train, print what came of it, and write the report again."""
    _check(arguments)
    from archfront.search.prepare.recorded import study_of
    from archfront.search.report import pages
    from archfront.search.results.refit_results import summary
    from archfront.search.results.select_members import chosen_trials
    from archfront.search.retrain.refit_members import RefitRequest
    from archfront.trainers.training.full import FullSettings

    results = results_of(arguments)
    study = study_of(results.header)
    epochs = arguments.epochs or TIMES * study.config.task.epochs
    if epochs < study.config.task.epochs:
        print_note(
            f"note: --epochs {epochs} is less than the {study.config.task.epochs} of the search."
        )
    patience = arguments.patience or max(1, (epochs + 1) // 2)
    order = RefitRequest(
        trials=tuple(chosen_trials(results, names_in(arguments.members))),
        epochs=epochs,
        seeds=arguments.seeds,
        full=FullSettings(arguments.ema, patience, arguments.teaching),
        is_taught=arguments.distill,
    )
    try:
        _train(results, study, order, arguments)
    finally:  # what was trained before an interruption too
        _track(results, study, arguments)
    found = summary(results)
    assert found is not None
    pages.write(results)
    if arguments.json:
        print(json.dumps(asdict(found), indent=2))
    else:
        _print(results, found)
    return 0


def _track(results: Results, study: Study, arguments: argparse.Namespace) -> None:
    """Write full trainings to MLflow, where the study's own runs are."""
    from archfront.search.results.refit_results import refits_of

    stored, uri = study.config.tracking.mlflow_uri, arguments.mlflow_uri
    if stored is not None and uri is None:
        print_note(f"The study keeps its MLflow runs in {stored}. Give --mlflow-uri to add these.")
        return
    refits = refits_of(results)
    if not refits or (uri is None and not (results.places.root / "mlflow.db").is_file()):
        return
    from archfront.search.results.select_members import evaluation_of
    from archfront.search.tracking.tracker import Tracker

    names = {r.trial: evaluation_of(results, r.trial).candidate.label for r in refits}
    tracker = Tracker(results.places, uri, study.config.tracking.experiment)
    tracker.write_refits(results.header["id"], refits, names)


def _train(results: Results, study: Any, order: Any, arguments: argparse.Namespace) -> None:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    from archfront.search.results.select_members import evaluation_of
    from archfront.search.retrain.refit_members import refit

    console = Console(stderr=True)
    is_live = console.is_terminal and not arguments.plain
    columns = (BarColumn(), TimeElapsedColumn(), TextColumn("{task.description}", markup=False))
    n_steps = len(order.trials) * order.seeds
    with Progress(*columns, console=console, transient=True, disable=not is_live) as bar:
        task = bar.add_task("", total=n_steps * order.epochs)
        n_done = 0

        def on_epoch(step: Any, row: Any) -> None:
            label = evaluation_of(results, step.trial).candidate.label
            metric = study.config.task.metric
            bar.update(
                task,
                completed=n_done * order.epochs + row.epoch,
                description=f"trial {step.trial} {label}, seed {step.seed}, epoch {row.epoch} of "
                f"{order.epochs}: {metric} {row.metrics[metric]:.4f}",
            )

        for step, record in refit(results, study, order, on_epoch):
            n_done += 1
            bar.update(task, completed=n_done * order.epochs)
            if not is_live and not arguments.json:
                value = record.metrics["val"][study.config.task.metric]
                word = "was there" if step.done is not None else f"{record.seconds:.0f} s"
                line = (
                    f"trial {step.trial} seed {step.seed}: {study.config.task.metric} {value:.4f} "
                    f"on val, best epoch {record.best_epoch} of {len(record.curve)}, {word}"
                )
                print_lines(console, [line])


def _print(results: Results, found: RefitSummary) -> None:
    from rich.table import Table
    from rich.text import Text

    from archfront.search.report.refit_text import sentences, verdict

    title = f"Refit: {found.metric} {found.words}"
    table = Table(title=Text(title), title_justify="left")
    for name in ("trial", "candidate"):
        table.add_column(name)
    for name in ("p50 ms", "proxy", found.metric, "over seeds", "95 %"):
        table.add_column(name, justify="right")
    table.add_column("verdict")
    for member in found.members:
        table.add_row(
            str(member.trial),
            Text(member.label),
            f"{member.latency_ms:.3g}",
            f"{member.proxy:.4f}",
            f"{member.metric:.4f}",
            "" if member.spread is None else f"± {member.spread:.4f} ({member.n_seeds})",
            f"{member.low:.4f} to {member.high:.4f}",
            verdict(member),
        )
    console = wide_console(WIDTH)
    console.print(table)
    print_lines(console, [*sentences(found), f"report    {results.places.report}"])


def _check(arguments: argparse.Namespace) -> None:
    problems = [
        f"--{name}: a whole number of at least 1 is needed; got {value}."
        for name, value in (
            ("epochs", arguments.epochs),
            ("seeds", arguments.seeds),
            ("patience", arguments.patience),
        )
        if value is not None and value < 1
    ]
    if not 0 <= arguments.ema < 1:
        problems.append(f"--ema: a number from 0 to below 1 is needed; got {arguments.ema:g}.")
    if not 0 < arguments.teaching <= 1:
        problems.append(
            f"--teaching: a share above 0 and up to 1 is needed; got {arguments.teaching:g}."
        )
    if not names_in(arguments.members):
        problems.append("--members: at least one member is needed.")
    if problems:
        raise ConfigError(*problems)
