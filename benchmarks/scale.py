"""How many workers one driver serves: the real loop and its records, with a made-up engine.

Trainings take drawn seconds of a virtual clock and give what a table has. What the driver itself
does is done in earnest; its processor seconds move the clock on, and each sync of the journal by
--sync-ms. So a study of 1,000 workers and 10,000 trainings takes the minutes that its driver would
compute. Prints which share of the time the driver is busy, how long a free worker waits for its
next training, and what a trial costs of each part, first and last trials apart.

    python benchmarks/scale.py --workers 1 10 100 300 1000 --trials 10000
    python benchmarks/scale.py --workers 1000 --seconds 60 --no-mlflow --json figures.json
"""

from __future__ import annotations

import argparse
import io
import json
import os
import resource
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import wait
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any
from unittest import mock

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
import optuna
from optuna.storages import JournalStorage
from replay_space import TableSpace
from replay_study import (
    KnownLatencies,
    Replay,
    in_memory,
    prepared_study,
    study_config,
    with_low_rung,
)
from replay_tables import CORNER, Table, load_tables
from rich.console import Console
from scale_clock import REST, MadeUpEngine, VirtualClock
from scale_table import made_table

from archfront.search.config.settings import measure_settings
from archfront.search.front.pareto import hypervolume
from archfront.search.records.evaluation import Trained
from archfront.search.records.events import Event, EventLog, StudyStarted, TrialFinished
from archfront.search.records.paths import StudyPaths
from archfront.search.records.store import StudyStore
from archfront.search.report.terminal import PlainView
from archfront.search.samplers.base import ProposalSampler
from archfront.search.study import driver, study
from archfront.search.study.progress import StudyProgress
from archfront.search.tracking.tracker import Tracker

# Trainings after which the front is judged.
MARKS = (100, 300, 1000, 2000, 3000, 5000, 10_000)
# Trainings after which a line is printed.
TOLD = 500
# What the time of the driver is spent on, and the methods that are it.
PROPOSALS, JOURNAL, STEPS, FRONT = "proposals", "journal", "next step", "front"
MLFLOW, EVENTS = "MLflow", "events"
PARTS = (PROPOSALS, JOURNAL, STEPS, FRONT, MLFLOW, EVENTS, REST)
METHODS: dict[str, tuple[tuple[Any, tuple[str, ...]], ...]] = {
    PROPOSALS: ((ProposalSampler, ("sample_relative",)),),
    JOURNAL: (
        (StudyStore, ("ask", "tell", "record", "proposal", "begin", "promote", "note_rungs")),
        (TableSpace, ("suggest",)),
        (JournalStorage, ("_write_log", "_sync_with_backend")),
    ),
    STEPS: ((StudyProgress, ("next_step", "surplus")),),
    FRONT: ((StudyProgress, ("add",)),),
}


@dataclass(frozen=True)
class Case:
    """One simulated study.

    Attributes:
        workers: Trainings at a time.
        trials: Full trainings to spend.
        seconds: Median of a training's seconds.
        has_rungs: Short trainings are a rung below.
        has_mlflow: MLflow follows the study.
        sync_ms: Milliseconds of a sync of the journal.
        seed: Of the study.
        spread: Standard deviation of the logarithm of a training's seconds.
    """

    workers: int
    trials: int
    seconds: float
    has_rungs: bool = False
    has_mlflow: bool = True
    sync_ms: float = 0.0
    seed: int = 0
    spread: float = 0.4


@dataclass(frozen=True)
class Figures:
    """What was found; seconds are those of the virtual clock.

    Attributes:
        first_fill_s: Until every worker had its first training.
        busy: Share of the time after it, until the last training began, that the driver worked.
        wait_s: How long a free worker waited then: median, 95 %, most.
        ms: Milliseconds of a training by part: its first tenth, its last and all after the fill.
        n_syncs: Syncs of the journal for a training.
        memory_mb: Most memory of this process so far.
        shares: Of the true front's hypervolume, by finished full trainings.
        real_s: Seconds that the simulation took.
    """

    first_fill_s: float
    busy: float
    wait_s: tuple[float, float, float]
    ms: dict[str, dict[str, float]]
    n_syncs: float
    memory_mb: float
    shares: dict[int, float]
    real_s: float


class Watch:
    """Follows a study: what was trained, and what the driver's parts took until then."""

    def __init__(self, space: TableSpace, engine: MadeUpEngine, clock: VirtualClock) -> None:
        self.picks: list[int] = []
        self.spent: list[dict[str, float]] = []
        self._space, self._engine, self._clock = space, engine, clock

    def __call__(self, event: Event) -> None:
        """Take an event in."""
        match event:
            case StudyStarted():
                self._engine.start()
            case TrialFinished(evaluation):
                assert isinstance(evaluation.outcome, Trained), evaluation.outcome
                self.picks.append(self._space.index(evaluation.candidate))
                self.spent.append(self._clock.spent())
                if len(self.picks) % TOLD == 0:
                    self._tell()

    def _tell(self) -> None:
        """Print what the latest trainings took, since a long study takes its time."""
        n, begun = len(self.picks), self._engine.begun[-TOLD:]
        busy = 1 - (begun[-1].idle_s - begun[0].idle_s) / (begun[-1].at - begun[0].at)
        waits = np.quantile([one.waited_s for one in begun], [0.5, 0.95, 1.0]).round(3)
        parts = {part: round(ms, 1) for part, ms in self.ms(max(0, n - TOLD), n - 1).items()}
        words = f"  at {n}: busy {busy:.1%}, waits {waits.tolist()} s, ms {parts}"
        print(f"{words}, share {share_of(self._space.table, self.picks):.4f}", flush=True)

    def ms(self, first: int, last: int) -> dict[str, float]:
        """Return the milliseconds of a training by part, of those from one to another."""
        before, after = self.spent[first], self.spent[last]
        n = last - first
        return {part: 1000 * (after.get(part, 0.0) - before.get(part, 0.0)) / n for part in PARTS}


def share_of(table: Table, picks: Sequence[int]) -> float:
    """Return the share of the true front's hypervolume that rows have."""
    return hypervolume(table.losses[list(picks)], CORNER) / table.volume


@contextmanager
def taken_apart(clock: VirtualClock, engine: MadeUpEngine, sync_s: float) -> Iterator[list[float]]:
    """Count the time of the driver's parts, and let its waits be those of the clock."""
    syncs: list[float] = []

    def sync(_: int) -> None:
        syncs.append(sync_s)
        clock.wait(sync_s)

    def waited(futures: Any, **how: Any) -> Any:
        engine.end_due()
        return wait(futures, **how)

    patches = [mock.patch.object(os, "fsync", sync), mock.patch.object(driver, "wait", waited)]
    patches += [
        mock.patch.object(owner, name, clock.counted(part, getattr(owner, name)))
        for part, methods in METHODS.items()
        for owner, names in methods
        for name in names
    ]
    for patch in patches:
        patch.start()
    try:
        yield syncs
    finally:
        for patch in reversed(patches):
            patch.stop()


def simulated(case: Case, table: Table) -> Figures:
    """Return what a study of a case would take of its driver."""
    began, space, clock = time.perf_counter(), TableSpace(table), VirtualClock()
    with tempfile.TemporaryDirectory(prefix="scale-", dir=in_memory()) as root:
        config = study_config("front", table, Path(root), seed=case.seed, trials=case.trials)
        config = with_low_rung(config, table) if case.has_rungs else config
        paths, known = StudyPaths(Path(root), config.study), measure_settings(config)
        latencies = KnownLatencies(space, known)
        engine = MadeUpEngine(
            Replay(space, latencies).perform,
            workers=case.workers,
            clock=clock,
            median_s=case.seconds,
            spread=case.spread,
            seed=case.seed,
        )
        watch = Watch(space, engine, clock)
        view = PlainView(Console(file=io.StringIO(), width=140))
        followers: list[Any] = [
            clock.counted(EVENTS, EventLog(paths.events, clock=clock)),
            clock.counted(EVENTS, view),
        ]
        if case.has_mlflow:
            tracker = Tracker(paths, None, "scale")
            followers.append(clock.counted(MLFLOW, tracker))
        with taken_apart(clock, engine, case.sync_ms / 1000) as syncs:
            study.run(
                config,
                prepared=prepared_study(config, space),
                engine=engine,
                followers=(*followers, watch),
                table=latencies,
                clock=clock,
            )
    return figures(case, table, engine, watch, n_syncs=len(syncs), began=began)


def figures(
    case: Case,
    table: Table,
    engine: MadeUpEngine,
    watch: Watch,
    *,
    n_syncs: int,
    began: float,
) -> Figures:
    """Return the figures of a study that ended."""
    begun, n = engine.begun, case.workers
    steady = begun[n:]
    spent_s = steady[-1].at - steady[0].at
    waits = np.array([one.waited_s for one in steady])
    found, tenth = len(watch.spent), max(1, len(watch.spent) // 10)
    last = max(tenth + 1, found - n) if found > n + tenth else found - 1
    first = min(n, last - tenth)
    shares = {
        mark: share_of(table, watch.picks[:mark]) for mark in MARKS if mark <= len(watch.picks)
    }
    return Figures(
        first_fill_s=begun[n - 1].at - (begun[0].at - begun[0].waited_s),
        busy=1 - (steady[-1].idle_s - steady[0].idle_s) / spent_s,
        wait_s=(*np.quantile(waits, [0.5, 0.95]).tolist(), float(waits.max())),
        ms={
            "first": watch.ms(first, first + tenth),
            "last": watch.ms(last - tenth, last),
            "all": watch.ms(first, last),
        },
        n_syncs=n_syncs / len(begun),
        memory_mb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        shares=shares,
        real_s=time.perf_counter() - began,
    )


def show(case: Case, found: Figures) -> None:
    """Print the figures of a case."""
    median_s, high_s, most_s = found.wait_s
    print(
        f"{case.workers} workers, {case.trials} trainings of {case.seconds:g} s"
        f"{', rungs' if case.has_rungs else ''}{'' if case.has_mlflow else ', without MLflow'}: "
        f"busy {found.busy:.1%}, a free worker waits {median_s:.3f} s, {high_s:.3f} at 95 %, "
        f"{most_s:.2f} at most; first fill {found.first_fill_s:.1f} s; "
        f"{found.memory_mb:.0f} MB; {found.n_syncs:.1f} syncs; simulated in {found.real_s:.0f} s"
    )
    for name, parts in found.ms.items():
        words = ", ".join(f"{part} {ms:.1f}" for part, ms in parts.items())
        print(f"  {name:5} ms a training: {sum(parts.values()):.1f} ({words})")
    shares = ", ".join(f"{share:.4f} @{mark}" for mark, share in found.shares.items())
    print(f"  share of the hypervolume: {shares}", flush=True)


def parse(words: Sequence[str] | None) -> argparse.Namespace:
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--workers", type=int, nargs="+", default=[1, 10, 100, 300, 1000])
    add("--trials", type=int, default=10_000, help="full trainings of each study")
    add("--seconds", type=float, nargs="+", default=[300.0], help="median of a training")
    add("--sync-ms", type=float, default=1.0, help="milliseconds of a sync of the journal")
    add("--seeds", type=int, default=1)
    add("--rungs", action="store_true", help="short trainings are a rung below")
    add("--no-mlflow", action="store_true")
    add("--tables", type=Path, metavar="DIR", help="folder of replay tables, with --table")
    add("--table", help="one of them, in place of the made-up one")
    add("--json", type=Path, metavar="FILE", help="write all figures")
    options = parser.parse_args(words)
    if (options.tables is None) != (options.table is None):
        parser.error("--tables and --table go together")
    return options


def main(words: Sequence[str] | None = None) -> int:
    """Simulate the studies that the command line asks for."""
    options = parse(words)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    table = made_table()
    if options.tables is not None:
        (table,) = load_tables(options.tables, [options.table])
    case = Case(
        workers=1,
        trials=options.trials,
        seconds=options.seconds[0],
        has_rungs=options.rungs,
        has_mlflow=not options.no_mlflow,
        sync_ms=options.sync_ms,
    )
    found = []
    for seed in range(options.seeds):
        for seconds in options.seconds:
            for workers in options.workers:
                one = replace(case, workers=workers, seconds=seconds, seed=seed)
                figures_of = simulated(one, table)
                show(one, figures_of)
                found.append({**asdict(one), **asdict(figures_of)})
                if options.json is not None:
                    options.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
