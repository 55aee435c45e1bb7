"""How much of a known front each sampler finds after so many trainings, in seconds, not days.

Searches tables of architectures whose accuracy and latency are known through the real study loop,
with each sampler and several seeds, and prints the share of the true front's hypervolume after
10, 20, 40, 50, 80 and 100 trainings (mean over the seeds), that of the worst seed after 50, the
trainings needed for 90, 95 and 99 % of it (median over the seeds; - when not reached) and the
milliseconds of a proposal. With --low-fidelity short trainings are a rung below the full ones:
a study spends 5, 10 or 20 full trainings, everything counted, and the share is that of what it
trained in full. Optuna's samplers without the loop are there to compare with. What a folder of
tables holds is described in replay_tables.py.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np
import optuna
from replay_space import TableSpace
from replay_study import STOCK, Run, run_stock, run_study
from replay_tables import Floats, Table, load_tables
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from archfront.search.errors import ArchfrontError, ConfigError, unknown
from archfront.search.samplers import SAMPLERS

MARKS = (10, 20, 40, 50, 80, 100)
WORST = 50
LEVELS = (90, 95, 99)
# Full trainings that a study with short ones may spend; one study each, since it plans by them.
COSTS = (5, 10, 20)
# A proposal of a Gaussian process of Optuna takes up to a second, so these get few seeds.
SLOW = ("gp", "optuna-gp")
SLOW_SEEDS = 3
# Its Gaussian process takes over a minute a proposal with one categorical of a thousand rows.
NEEDS_GRID = ("optuna-gp",)

EXAMPLES = """examples:
  every sampler of archfront on every table
    python benchmarks/replay.py --tables DIR
  one of them beside all of Optuna's, on one table
    python benchmarks/replay.py --tables DIR --table NAME --sampler tpe 'optuna-*'
  what short trainings gain, and how much an uncertain latency costs
    python benchmarks/replay.py --tables DIR --sampler front --low-fidelity --latency-error 0.15
  how much harm a misleading prior does
    python benchmarks/replay.py --tables DIR --sampler tpe --shuffle-prior --json harm.json

The same seed gives the same result. A seed is taken for 0, 1, ... in turn; gp and optuna-gp get at
most 3 of them, and optuna-gp only tables whose categorical columns span a grid."""

Summary = dict[str, float | int | None]


@dataclass(frozen=True)
class Plan:
    """What is run on every table.

    Attributes:
        samplers: Names of ``SAMPLERS`` and ``STOCK``.
        seeds: Seeds of each, from 0.
        trials: Trainings of each search.
        prior: ``as published``, ``shuffled`` or ``none``.
        has_rungs: Short trainings are a rung below.
        latency_error: Of latencies that are not measured yet.
    """

    samplers: tuple[str, ...]
    seeds: int
    trials: int
    prior: str
    has_rungs: bool = False
    latency_error: float = 0.0

    def seeds_of(self, sampler: str) -> int:
        """Return how many seeds a sampler gets."""
        return min(self.seeds, SLOW_SEEDS) if sampler in SLOW else self.seeds

    def samplers_for(self, table: Table) -> list[str]:
        """Return who can search a table in reasonable time."""
        return [name for name in self.samplers if table.has_grid or name not in NEEDS_GRID]

    @property
    def trials_of(self) -> tuple[int, ...]:
        """Return the trainings of each search of a seed."""
        return COSTS if self.has_rungs else (self.trials,)


def search_once(space: TableSpace, sampler: str, plan: Plan, seed: int, trials: int) -> Run:
    """Return one search; a shuffled prior is another one for each seed."""
    if sampler in STOCK:
        return run_stock(space.table, sampler, seed=seed, trials=trials)
    published = space.published
    if plan.prior == "none":
        published = None
    elif plan.prior == "shuffled" and published is not None:
        published = np.random.default_rng(seed).permutation(published)
    other = space.with_published(published)
    return run_study(
        other,
        sampler,
        seed=seed,
        trials=trials,
        has_rungs=plan.has_rungs,
        latency_error=plan.latency_error,
    )


def summarize(shares: Sequence[Floats], proposal_s: Sequence[float], trials: int) -> Summary:
    """Return the figures of a sampler on a table; None for a level that is not reached.

    Args:
        shares: Share of the hypervolume after each training, one array a seed. A search that had
            tried every row early keeps its last share.
        proposal_s: Seconds of every proposal.
        trials: Trainings that were asked for; later marks are left out.
    """
    marks = [mark for mark in MARKS if mark <= trials]
    at = {mark: [float(s[min(mark, len(s)) - 1]) for s in shares] for mark in marks}
    summary: Summary = {f"@{mark}": round(float(np.mean(at[mark])), 4) for mark in marks}
    if WORST in at:
        summary[f"worst@{WORST}"] = round(min(at[WORST]), 4)
    for level in LEVELS:
        needed = float(np.median([_first(s, level / 100) for s in shares]))
        summary[f"to{level}"] = needed if np.isfinite(needed) else None
    summary["ms_per_proposal"] = round(1000 * float(np.mean(proposal_s)), 2)
    summary["seeds"] = len(shares)
    return summary


def summarize_costs(table: Table, runs: Mapping[int, Sequence[Run]]) -> Summary:
    """Return the figures of studies with short trainings, by the full trainings they may spend."""
    summary: Summary = {}
    for cost, of_seeds in runs.items():
        ends = [float(table.shares(run.picks)[-1]) for run in of_seeds]
        quarters = [_share_at(table, run, cost / 4) for run in of_seeds]
        summary[f"cost@{cost}"] = round(float(np.mean(ends)), 4)
        summary[f"quarter@{cost}"] = round(float(np.mean(quarters)), 4)
        summary[f"worst@{cost}"] = round(min(ends), 4)
        summary[f"low@{cost}"] = round(float(np.mean([run.n_low for run in of_seeds])), 1)
        summary[f"full@{cost}"] = round(float(np.mean([len(r.picks) for r in of_seeds])), 1)
    every = [second for of_seeds in runs.values() for run in of_seeds for second in run.proposal_s]
    summary["ms_per_proposal"] = round(1000 * float(np.mean(every)), 2)
    summary["seeds"] = len(next(iter(runs.values())))
    return summary


def _share_at(table: Table, run: Run, cost: float) -> float:
    """Return the share of a search with short trainings when so much of it was spent."""
    low = table.low_cost or 0.0
    n_picks = sum(
        k * (1 - low) + n_low * low <= cost for k, n_low in enumerate(run.low_before, start=1)
    )
    return float(table.shares(run.picks)[n_picks - 1]) if n_picks else 0.0


def _first(shares: Floats, level: float) -> float:
    """Return after how many trainings a level is reached, infinity when it is not."""
    reached = np.flatnonzero(shares >= level)
    return float(reached[0] + 1) if len(reached) else np.inf


def run_all(
    tables: Sequence[Table], plan: Plan, say: Callable[[str, str, Summary], None]
) -> dict[str, dict[str, Summary]]:
    """Run every sampler on every table and hand each summary over as soon as it is there."""
    results: dict[str, dict[str, Summary]] = {table.name: {} for table in tables}
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    total = sum(plan.seeds_of(s) for table in tables for s in plan.samplers_for(table))
    total *= len(plan.trials_of)
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        bar = progress.add_task("searching", total=total)
        for table in tables:
            space = TableSpace(table)
            for sampler in plan.samplers_for(table):
                progress.update(bar, description=f"{table.name} {sampler}")
                runs: dict[int, list[Run]] = {}
                for trials in plan.trials_of:
                    for seed in range(plan.seeds_of(sampler)):
                        found = search_once(space, sampler, plan, seed, trials)
                        runs.setdefault(trials, []).append(found)
                        progress.advance(bar)
                results[table.name][sampler] = _summary(table, plan, runs)
                say(table.name, sampler, results[table.name][sampler])
    return results


def _summary(table: Table, plan: Plan, runs: Mapping[int, Sequence[Run]]) -> Summary:
    if plan.has_rungs:
        return summarize_costs(table, runs)
    (of_seeds,) = runs.values()
    shares = [table.shares(run.picks) for run in of_seeds]
    seconds = [s for run in of_seeds for s in run.proposal_s]
    return summarize(shares, seconds, plan.trials)


class Printer:
    """Prints each summary as a line of its table, a heading before the first.

    Args:
        tables: What is searched.
        plan: How.
    """

    def __init__(self, tables: Sequence[Table], plan: Plan) -> None:
        self._plan = plan
        self._tables = {table.name: table for table in tables}
        self._name = ""

    def __call__(self, name: str, sampler: str, summary: Summary) -> None:
        """Print one line."""
        if name != self._name:
            self._name = name
            self._head(self._tables[name], list(summary))
        cells = [_cell(key, value) for key, value in summary.items()]
        print(f"{sampler:24}", *cells, flush=True)

    def _head(self, table: Table, keys: list[str]) -> None:
        kind = "no prior" if table.prior is None else f"prior {self._plan.prior}"
        print(f"\n{table.name}: {len(table.ids)} rows, {table.latency_scale} latency, {kind}")
        print(f"{'sampler':24}", *(f"{_title(key):>{_width(key)}}" for key in keys))


def _title(key: str) -> str:
    return "ms" if key == "ms_per_proposal" else key


def _width(key: str) -> int:
    return max(6, len(_title(key)))


def _cell(key: str, value: float | int | None) -> str:
    if value is None:
        text = "-"
    elif key.startswith(("low@", "full@")):
        text = f"{value:.1f}"
    elif "@" in key:
        text = f"{value:.3f}"
    else:
        text = f"{value:.1f}" if key == "ms_per_proposal" else f"{value:g}"
    return f"{text:>{_width(key)}}"


def chosen(patterns: Sequence[str]) -> tuple[str, ...]:
    """Return the samplers that names or patterns ask for, all of ``SAMPLERS`` without any.

    Raises:
        ConfigError: If one fits none.
    """
    known = [*SAMPLERS, *STOCK]
    found = []
    for pattern in patterns or SAMPLERS:
        fitting = [name for name in known if fnmatchcase(name, pattern)]
        if not fitting:
            raise unknown("sampler", pattern, known)
        found += fitting
    return tuple(dict.fromkeys(found))


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be 1 or more; got {number}")
    return number


def _spread(text: str) -> float:
    number = float(text)
    if not 0 <= number < 3:
        raise argparse.ArgumentTypeError(f"must lie from 0 to below 3; got {text}")
    return number


_spread.__name__ = "number"
_positive.__name__ = "whole number"  # what argparse calls it in its errors


def parse(words: Sequence[str] | None) -> argparse.Namespace:
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(
        prog="replay.py",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    known = f"{', '.join(SAMPLERS)}; without the loop {', '.join(STOCK)}"
    add = parser.add_argument
    add("--tables", type=Path, required=True, metavar="DIR", help="folder of tasks.json")
    add("--table", nargs="+", default=[], metavar="NAME", help="tables (default: all of them)")
    add(
        "--sampler",
        nargs="+",
        default=[],
        metavar="NAME",
        help=f"names or patterns (default: all of archfront's own): {known}",
    )
    add("--seeds", type=_positive, default=10, metavar="N", help="searches of each (default: 10)")
    add("--trials", type=_positive, default=100, metavar="N", help="trainings (default: 100)")
    add("--json", type=Path, metavar="FILE", help="write {table: {sampler: {figure: value}}}")
    add(
        "--low-fidelity",
        action="store_true",
        help="with short trainings, on the tables that have them",
    )
    add(
        "--latency-error",
        type=_spread,
        default=0.0,
        metavar="S",
        help="spread of the logarithm of latencies until they are measured (default: 0)",
    )
    prior = parser.add_mutually_exclusive_group()
    prior.add_argument(
        "--shuffle-prior", action="store_true", help="permute the prior: a misleading one"
    )
    prior.add_argument("--no-prior", action="store_true", help="search without the prior")
    return parser.parse_args(words)


def run(options: argparse.Namespace) -> None:
    """Do what the options ask for.

    Raises:
        ArchfrontError: If they cannot be used.
    """
    if options.json is not None and not options.json.absolute().parent.is_dir():
        raise ConfigError(f"--json: there is no folder {options.json.absolute().parent}.")
    prior = "shuffled" if options.shuffle_prior else "none" if options.no_prior else "as published"
    plan = Plan(
        _samplers(options),
        options.seeds,
        options.trials,
        prior,
        options.low_fidelity,
        options.latency_error,
    )
    tables = load_tables(options.tables, options.table)
    if plan.has_rungs:
        tables = _with_low(tables)
    left_out = [t.name for t in tables if len(plan.samplers_for(t)) < len(plan.samplers)]
    if left_out:
        words = f"{', '.join(NEEDS_GRID)} is left out, for want of a grid, of: "
        print(words + ", ".join(left_out), file=sys.stderr)
    results = run_all(tables, plan, Printer(tables, plan))
    if options.json is not None:
        options.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


def _samplers(options: argparse.Namespace) -> tuple[str, ...]:
    """Return who searches; Optuna without the loop has neither rungs nor unknown latencies."""
    samplers = chosen(options.sampler)
    stock = [name for name in samplers if name in STOCK]
    if stock and (options.low_fidelity or options.latency_error):
        raise ConfigError(
            f"--low-fidelity and --latency-error are of the study's loop; got {', '.join(stock)}, "
            "which search without it. Leave them out."
        )
    return samplers


def _with_low(tables: Sequence[Table]) -> list[Table]:
    """Return the tables with short trainings; ConfigError where none has any."""
    having = [table for table in tables if table.has_low]
    if not having:
        raise ConfigError(
            "--low-fidelity: none of these tables has a column accuracy_low and a "
            f"low_fidelity_cost; got {', '.join(table.name for table in tables)}."
        )
    return having


def main(words: Sequence[str] | None = None) -> int:
    options = parse(words)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        run(options)
    except (ArchfrontError, OSError) as error:
        print(f"replay.py: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
