"""``archfront latency measure``: a space measured on this device, with its progress."""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console
from rich.progress import (
    MofNCompleteColumn,
    ProgressColumn,
    Task,
    TimeRemainingColumn,
)
from rich.text import Text

from archfront.search.advise.sweep import (
    LatencySweep,
    SweepPlan,
    expected_seconds,
    plan,
    space_of,
    sweep_costs,
)
from archfront.search.commands.consoles import described_bar, print_lines
from archfront.search.commands.device_text import composed_config, image_shape
from archfront.search.config.schema import Config
from archfront.search.config.settings import latency_table
from archfront.search.engine.interrupts import terminate_like_interrupt
from archfront.search.errors import StudyError
from archfront.search.latency.database import LatencyTable
from archfront.search.prepare.make_engine import measuring_engine
from archfront.search.prepare.study_settings import StudySettings, resolve
from archfront.search.records.evaluation import Failed, Measurement
from archfront.search.records.failure_kinds import LASTING
from archfront.search.report.latency_tables import first_line
from archfront.trainers.spec import Architecture
from archfront.trainers.words import count_of, duration

INTERRUPTED = 130  # what a shell gives for a command ended by Ctrl-C
# Failures of a kind that are printed at the end; the others are counted.
SHOWN = 3


class _Rate(ProgressColumn):
    """The number of measurements a minute."""

    def render(self, task: Task) -> Text:
        """Return the rate as text."""
        return Text("" if not task.speed else f"{60 * task.speed:.3g}/min")


def measure(arguments: argparse.Namespace, console: Console) -> int:
    """Measure the space that the arguments name and return the exit status."""
    config = composed_config(arguments.words, arguments.db)
    table = latency_table(config)
    classes, channels = image_shape(arguments, config)
    space = space_of(config, classes=classes, channels=channels)
    settings = resolve(config)
    known = sweep_costs(settings, table)
    planned = plan(
        space.architectures,
        known,
        again=arguments.again,
        retry_failed=arguments.retry_failed,
        sample=arguments.sample,
        limit=arguments.limit,
        seed=arguments.seed or 0,
    )
    print_lines(console, _begin(config, settings, table, planned, space.dropped))
    if arguments.dry_run or not planned.todo:
        return 0
    results: list[tuple[Architecture, Measurement | Failed]] = []
    terminate_like_interrupt()
    status = 0
    try:
        with (
            TemporaryDirectory(prefix="archfront-") as folder,
            measuring_engine(config) as engine,
        ):
            sweep = LatencySweep(settings, known, engine, Path(folder))
            is_live = console.is_terminal and not arguments.plain
            _measure_all(sweep, planned, results, console, is_live=is_live, config=config)
            _check_streak(results, config)
    except KeyboardInterrupt:
        status = INTERRUPTED
    finally:
        print_lines(console, _summary(results, planned, is_cut=status != 0))
    return status


def _begin(
    config: Config,
    settings: StudySettings,
    table: LatencyTable,
    planned: SweepPlan,
    dropped: tuple[str, ...],
) -> list[str]:
    from archfront.search.latency.device import fingerprint

    hardware = config.hardware
    lines = [
        f"device    {fingerprint()}",
        f"runtime   {hardware.runtime} {hardware.precision}, threads {hardware.threads}, batch "
        f"{hardware.batch_size}",
        f"table     {table.name}",
        f"space     {count_of(planned.n_all, 'architecture')}: "
        f"{planned.n_known:,} remembered, {planned.n_failed:,} known to fail, "
        f"{len(planned.todo):,} to measure now",
    ]
    if dropped:
        shown = "; ".join(dropped[:SHOWN]) + ("; ..." if len(dropped) > SHOWN else "")
        n = count_of(len(dropped), "backbone or size of one", "backbones or sizes of them")
        lines.append(f"left out  {n}: {shown}")
    if planned.todo:
        each = expected_seconds(settings, table, planned.todo[0])
        lines.append(
            f"time      about {duration(each * len(planned.todo))}, {duration(each)} each"
            if each
            else "time      not known before the first ones; a second or two each for small ones"
        )
    return lines


def _measure_all(
    sweep: LatencySweep,
    planned: SweepPlan,
    results: list[tuple[Architecture, Measurement | Failed]],
    console: Console,
    *,
    is_live: bool,
    config: Config,
) -> None:
    """Measure every planned architecture and append each result as it comes."""
    columns = (MofNCompleteColumn(), _Rate(), TimeRemainingColumn())
    with described_bar(console, *columns, is_live=is_live) as bar:
        task = bar.add_task("", total=len(planned.todo))
        last = ""
        for number, architecture in enumerate(planned.todo, 1):
            bar.update(task, description=f"{label(architecture)}{last}")
            found = sweep.measure(architecture)
            results.append((architecture, found))
            bar.advance(task)
            line = f"{label(architecture):<40}  {_describe(found)}"
            last = f"   last: {_describe(found)}"
            if not is_live:
                print_lines(console, [f"{number:>5}/{len(planned.todo)}  {line}"])
            elif isinstance(found, Failed):
                print_lines(bar.console, [line])
            if _streak(results) >= config.budget.max_failures:
                return


def label(architecture: Architecture) -> str:
    """Return the label of an architecture, such as ``resnet18@64 avg``."""
    return f"{architecture.backbone}@{architecture.input_size} {architecture.head}"


def _describe(found: Measurement | Failed) -> str:
    if isinstance(found, Failed):
        return f"failed, {found.kind}: {first_line(found.message)[:120]}"
    note = "" if found.latency.is_stable else ", unstable"
    return f"{found.latency.p50_ms:.4g} ms{note}"


def _streak(results: list[tuple[Architecture, Measurement | Failed]]) -> int:
    """Return the number of last results that failed for a cause that may not be their own."""
    count = 0
    for _, found in reversed(results):
        if not isinstance(found, Failed) or found.kind in LASTING:
            break
        count += 1
    return count


def _check_streak(
    results: list[tuple[Architecture, Measurement | Failed]], config: Config
) -> None:
    streak = _streak(results)
    if streak >= config.budget.max_failures:
        found = results[-1][1]
        raise StudyError(
            f"{count_of(streak, 'architecture')} failed in a row (budget.max_failures="
            f"{config.budget.max_failures}), the last one: {found}\nWhen the cause is gone, "
            "--retry-failed tries them again."
        )


def _summary(
    results: list[tuple[Architecture, Measurement | Failed]], planned: SweepPlan, *, is_cut: bool
) -> list[str]:
    measured = [found for _, found in results if isinstance(found, Measurement)]
    failed = [(a, found) for a, found in results if isinstance(found, Failed)]
    unstable = sum(not found.latency.is_stable for found in measured)
    lines = [
        f"{len(measured)} measured ({unstable} unstable), {planned.n_known} remembered before, "
        f"{len(failed)} failed, {len(planned.todo) - len(results)} left."
    ]
    kinds = Counter(found.kind for _, found in failed)
    for kind, count in kinds.most_common():
        of_kind = [(a, found) for a, found in failed if found.kind == kind]
        lines.append(f"failed, {kind}: {count}")
        lines += [
            f"  {label(a)}: {first_line(found.message)[:200]}" for a, found in of_kind[:SHOWN]
        ]
    if is_cut:
        lines.append("interrupted: everything measured is remembered; the same command goes on.")
    return lines
