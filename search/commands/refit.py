"""``archfront refit``: members of the front trained in full."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

from archfront.search.commands.consoles import (
    described_bar,
    echo,
    new_console,
    print_lines,
    print_note,
    print_table,
    wide_console,
)
from archfront.search.commands.flags import Problems, check_flags, not_counts
from archfront.search.commands.study_text import add_study, names_in, results_of, runs_uri
from archfront.search.records.refit_records import TIMES
from archfront.trainers.words import count_of, duration

if TYPE_CHECKING:
    from rich.console import Console

    from archfront.search.prepare.recorded import Study
    from archfront.search.records.refit_records import RefitSummary
    from archfront.search.results.results import Results
    from archfront.search.retrain.refit_members import FullTraining, RefitRequest
    from archfront.trainers.spec import EpochRow

TEXT = """\
Each member is trained with its own recipe for more epochs and with several seeds; averaged weights
are evaluated, and those of the best epoch are kept. Finished trainings are not repeated: after
Ctrl-C the same command goes on. The table and the report say which members really differ, and how
well the short trainings had ranked them.

examples:
  archfront refit flowers --epochs 60
  archfront refit flowers --members knee,best --epochs 100 --seeds 5 --distill
  archfront export flowers --member knee --out knee
"""
WIDTH = 140
# Seconds without a line after which an epoch has one, where there is no bar.
EPOCH_LINE_S = 20.0


@dataclass(frozen=True)
class RefitOptions:
    """What is asked of full trainings; each is a flag of the command of the same name.

    Attributes:
        members: As ``search.results.select_members.chosen_trials`` takes them.
        epochs: Of each training; ``TIMES`` those of the search when None.
        seeds: Trainings of each member.
        ema: Decay of averaged weights; 0 for none.
        patience: Epochs without a better metric that end a training; half of all when None.
        distill: Whether the best member teaches the others.
        teaching: Share of the loss that is the teacher's.
        mlflow_uri: MLflow's store, where it is not in the root.
    """

    members: tuple[str, ...] = ("all",)
    epochs: int | None = None
    seeds: int = 3
    ema: float = 0.998
    patience: int | None = None
    distill: bool = False
    teaching: float = 0.5
    mlflow_uri: str | None = None

    def problems(self) -> Problems:
        """Return what is wrong with the values, by option."""
        problems = not_counts(
            {"epochs": self.epochs, "seeds": self.seeds, "patience": self.patience}
        )
        if not 0 <= self.ema < 1:
            problems["ema"] = f"a number from 0 to below 1 is needed; got {self.ema:g}."
        if not 0 < self.teaching <= 1:
            problems["teaching"] = f"a share above 0 and up to 1 is needed; got {self.teaching:g}."
        if not self.members:
            problems["members"] = "at least one member is needed."
        return problems


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what ``archfront refit`` takes."""
    parser.epilog = TEXT
    add_study(parser)
    default = RefitOptions()
    parser.add_argument(
        "--members",
        default="all",
        metavar="A,B",
        help="knee, fastest, best, trials or ids; all for the front (default), trained for every "
        "trained candidate",
    )
    parser.add_argument(
        "--epochs", type=int, metavar="N", help=f"(default: {TIMES} times those of the search)"
    )
    parser.add_argument(
        "--seeds", type=int, default=default.seeds, metavar="N", help="(default: %(default)s)"
    )
    parser.add_argument(
        "--ema",
        type=float,
        default=default.ema,
        help="decay of averaged weights, 0: none (default: %(default)s)",
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
        "--teaching",
        type=float,
        default=default.teaching,
        metavar="SHARE",
        help="of the loss (default: %(default)s)",
    )
    parser.add_argument("--mlflow-uri", help="MLflow's store, if it is not in the root")
    parser.add_argument("--json", action="store_true", help="the result as JSON")
    parser.add_argument("--plain", action="store_true", help="plain lines, no progress bar")


def call(arguments: argparse.Namespace) -> int:
    """Train, print what came of it, and return the exit status."""
    options = RefitOptions(
        members=tuple(names_in(arguments.members)),
        epochs=arguments.epochs,
        seeds=arguments.seeds,
        ema=arguments.ema,
        patience=arguments.patience,
        distill=arguments.distill,
        teaching=arguments.teaching,
        mlflow_uri=arguments.mlflow_uri,
    )
    check_flags(options.problems())
    results = results_of(arguments)
    stored = results.begun().mlflow_uri
    uri = runs_uri(stored, arguments.mlflow_uri, arguments.storage_url)
    options = replace(options, mlflow_uri=uri)
    console = new_console(stderr=True)
    found = refit_members(
        results, options, console, is_plain=arguments.plain, has_lines=not arguments.json
    )
    if arguments.json:
        echo(json.dumps(asdict(found), indent=2))
    else:
        _print(results, found)
    return 0


def refit_members(
    results: Results,
    options: RefitOptions,
    console: Console,
    *,
    is_plain: bool = False,
    has_lines: bool = True,
) -> RefitSummary:
    """Train members in full, track them in MLflow, and write the study's report again.

    Args:
        results: The study.
        options: What is asked for, without problems.
        console: Where the progress is shown.
        is_plain: Whether lines are printed in a terminal too, instead of a bar.
        has_lines: Whether a line is printed for each training where there is no bar.

    Returns:
        What all full trainings of the study say together.
    """
    from archfront.search.prepare.recorded import study_of
    from archfront.search.report import pages
    from archfront.search.results.baselines import warnings
    from archfront.search.results.refit_results import summary
    from archfront.search.results.select_members import chosen_trials
    from archfront.search.retrain.refit_members import RefitRequest, searched_epochs
    from archfront.trainers.training.full import FullSettings

    study = study_of(results.header)
    trials = tuple(chosen_trials(results, options.members))
    searched = max(searched_epochs(results, study.header.trainings, t) for t in trials)
    epochs = options.epochs or TIMES * searched
    if epochs < searched:
        print_lines(
            console, [f"note: --epochs {epochs} is less than the {searched} of the search."]
        )
    patience = options.patience or max(1, (epochs + 1) // 2)
    print_lines(console, warnings([m for m in results.front() if m.trial in trials]))
    request = RefitRequest(
        trials=trials,
        epochs=options.epochs,
        seeds=options.seeds,
        full=FullSettings(options.ema, patience, options.teaching),
        is_taught=options.distill,
    )
    is_live = console.is_terminal and not is_plain
    try:
        _train(results, study, request, console, is_live=is_live, has_lines=has_lines)
    finally:  # what was trained before an interruption too
        _track(results, study, options.mlflow_uri, console)
    found = summary(results)
    assert found is not None
    pages.write(results, lambda lacking: print_note(str(lacking)))
    return found


def _track(results: Results, study: Study, uri: str | None, console: Console) -> None:
    """Write full trainings to MLflow, where the study's own runs are."""
    from archfront.search.results.refit_results import refits_of

    stored = study.header.mlflow_uri
    if stored is not None and uri is None:
        line = f"The study keeps its MLflow runs in {stored}. Give --mlflow-uri to add these."
        print_lines(console, [line])
        return
    refits = refits_of(results)
    if not refits or (uri is None and not (results.paths.root / "mlflow.db").is_file()):
        return
    from archfront.search.results.select_members import evaluation_of
    from archfront.search.tracking.tracker import Tracker

    names = {r.trial: evaluation_of(results, r.trial).candidate.label for r in refits}
    tracker = Tracker(results.paths, uri, study.config.tracking.experiment)
    tracker.write_refits(study.header.id, refits, names)


def _train(
    results: Results,
    study: Study,
    request: RefitRequest,
    console: Console,
    *,
    is_live: bool,
    has_lines: bool,
) -> None:
    """Train what is asked for; lines say what is done where there is no bar."""
    from rich.progress import TimeElapsedColumn

    from archfront.search.results.select_members import evaluation_of
    from archfront.search.retrain.refit_members import refit, steps_of
    from archfront.search.retrain.refit_time import RefitTime, epoch_seconds

    metric = study.config.task.metric
    has_lines = has_lines and not is_live
    with described_bar(console, TimeElapsedColumn(), is_live=is_live) as bar:
        steps = steps_of(results, study, request)
        left = RefitTime(steps, epoch_seconds(results, study, request.trials))
        if has_lines:
            print_lines(console, _plan(steps, left.left_s()))
        task = bar.add_task("reading images", total=sum(step.epochs for step in steps))
        n_done, told = 0, time.monotonic()

        def on_epoch(step: FullTraining, row: EpochRow) -> None:
            nonlocal told
            left.trained(step)
            left_s = left.left_s(step, row.epoch)
            words = f"trial {step.trial} seed {step.seed}, epoch {row.epoch} of {step.epochs}"
            words += f", {metric} {row.metrics[metric]:.4f}"
            words += "" if left_s is None else f", about {duration(left_s)} left"
            label = evaluation_of(results, step.trial).candidate.label
            bar.update(task, completed=n_done + row.epoch, description=f"{words}, {label}")
            if has_lines and time.monotonic() - told >= EPOCH_LINE_S and row.epoch < step.epochs:
                told = time.monotonic()
                print_lines(console, [words])

        for step, record in refit(results, study, request, on_epoch):
            n_done += step.epochs
            bar.update(task, completed=n_done)
            if has_lines:
                spent = "was there" if step.done is not None else f"{record.seconds:.0f} s"
                line = (
                    f"trial {step.trial} seed {step.seed}: {metric} "
                    f"{record.metrics['val'][metric]:.4f} on val, best epoch {record.best_epoch} "
                    f"of {len(record.curve)}, {spent}"
                )
                print_lines(console, [line])
                told = time.monotonic()


def _plan(steps: Sequence[FullTraining], left_s: float | None) -> list[str]:
    """Return what is to be trained, and for how long by the epochs of the search."""
    open_steps = [step for step in steps if step.done is None]
    if not open_steps:
        return []
    counts = sorted({step.epochs for step in open_steps})
    epochs = " to ".join(str(n) for n in dict.fromkeys((counts[0], counts[-1])))
    time_text = "" if left_s is None else f", about {duration(left_s)} by those of the search"
    n = count_of(len(open_steps), "full training")
    return [f"{n} of up to {epochs} epochs{time_text}"]


def _print(results: Results, found: RefitSummary) -> None:
    from archfront.search.report.fitted_table import Column, FittedTable
    from archfront.search.report.refit_text import remarks, sentences

    columns = [
        Column("trial"),
        Column("candidate", kind="name"),
        Column("p50 ms"),
        Column("proxy", 3),
        Column(found.metric.replace("_", " ")),
        Column("over seeds", 4),
        Column("95 %", 2),
        Column("verdict", 1, "words"),
    ]
    table = FittedTable(f"Refit: {found.metric} {found.split_description}", columns)
    for member in found.members:
        table.add_row(
            str(member.trial),
            member.label,
            f"{member.latency_ms:.3g}",
            f"{member.proxy:.4f}",
            f"{member.metric:.4f}",
            "" if member.spread is None else f"± {member.spread:.4f} ({member.n_seeds})",
            f"{member.low:.4f} to {member.high:.4f}",
            remarks(member),
        )
    console = wide_console(WIDTH)
    print_table(console, table)
    print_lines(console, [*sentences(found), f"report    {results.paths.report}"])
