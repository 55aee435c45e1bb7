"""One search on a replay table: through the real loop, or by a sampler of Optuna alone."""

from __future__ import annotations

import math
import os
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import GPSampler, NSGAIISampler, RandomSampler, TPESampler
from replay_space import TableSpace
from replay_tables import Table

from archfront.search.config.build import build
from archfront.search.config.compose import compose
from archfront.search.config.schema import Config
from archfront.search.config.settings import measure_settings
from archfront.search.engine.inline import InlineEngine
from archfront.search.engine.jobs import Job
from archfront.search.errors import StudyError
from archfront.search.jobs.perform import DrawRequest, MeasureRequest, TrainRequest
from archfront.search.latency.database import Entry, LatencyKey
from archfront.search.latency.key import MeasureSettings, latency_key
from archfront.search.prepare.data_reference import data_ref
from archfront.search.prepare.prepare import Prepared
from archfront.search.records.evaluation import Failed, Latency, Measurement, Prediction, Trained
from archfront.search.records.events import (
    Event,
    RungFinished,
    StudyStarted,
    TrialFinished,
    TrialProposed,
)
from archfront.search.records.objectives import Objective
from archfront.search.space.cost_model import BAND
from archfront.search.study import study
from archfront.trainers.dataset_summary import DatasetSummary, SplitSummary
from archfront.trainers.spec import Architecture
from archfront.trainers.tasks import TASKS

MEMORY = "/dev/shm"
# Of a full training with a rung below, so that the cost of the rung is a whole number of them.
EPOCHS = 1000
# Optuna's samplers as they come, by seed; NSGA-II with a population that fits a hundred trials.
STOCK: dict[str, Callable[[int], optuna.samplers.BaseSampler]] = {
    "optuna-random": lambda seed: RandomSampler(seed=seed),
    "optuna-nsga2": lambda seed: NSGAIISampler(seed=seed, population_size=20),
    "optuna-tpe": lambda seed: TPESampler(seed=seed),
    "optuna-tpe-multivariate": lambda seed: TPESampler(seed=seed, multivariate=True),
    "optuna-gp": lambda seed: GPSampler(seed=seed, deterministic_objective=True),
}


@dataclass(frozen=True)
class Run:
    """One search.

    Attributes:
        picks: Rows in the order in which they were trained in full.
        proposal_s: Seconds of each proposal, with what the loop does around it.
        n_low: Short trainings.
        low_before: Short trainings until each of the picks was trained.
    """

    picks: tuple[int, ...]
    proposal_s: tuple[float, ...]
    n_low: int = 0
    low_before: tuple[int, ...] = ()


def run_study(
    space: TableSpace,
    sampler: str,
    *,
    seed: int,
    trials: int,
    has_rungs: bool = False,
    latency_error: float = 0.0,
) -> Run:
    """Return what a sampler of ``SAMPLERS`` trains in a study over a table.

    Args:
        space: The table.
        sampler: Its name.
        seed: Of the study, and of the errors.
        trials: Full trainings to spend.
        has_rungs: Short trainings are a rung below, each at its cost.
        latency_error: Standard deviation of the logarithm of what is expected of a latency that
            is not measured yet, over what it is.

    Raises:
        StudyError: If the study ended otherwise than by its budget or an empty space.
    """
    watch = _Watch(space)
    with tempfile.TemporaryDirectory(prefix="replay-", dir=in_memory()) as root:
        config = study_config(sampler, space.table, Path(root), seed=seed, trials=trials)
        if has_rungs:
            config = with_low_rung(config, space.table)
        table = KnownLatencies(space, measure_settings(config))
        known = _Guessed(space, table, latency_error, seed) if latency_error else None
        result = study.run(
            config,
            prepared=prepared_study(config, space),
            engine=InlineEngine(Replay(space, table).perform, workers=1, threads=1),
            followers=(watch,),
            table=table,
            known=known,
        )
    n_picks = len(watch.picks)
    is_whole = n_picks > 0 if has_rungs else n_picks == min(trials, space.size)
    if result.state != "finished" or not is_whole:
        raise StudyError(
            f"The study of {space.table.name} with sampler={sampler}, seed {seed}, ended after "
            f"{len(watch.picks)} trainings, {result.state}: {result.reason}."
        )
    return Run(tuple(watch.picks), tuple(watch.proposal_s), watch.n_low, tuple(watch.low_before))


def run_stock(table: Table, sampler: str, *, seed: int, trials: int) -> Run:
    """Return what a sampler of ``STOCK`` asks for; a row asked for again counts again.

    Each axis of a grid is a categorical; without a grid there is one categorical, of all rows.
    """
    grid = TableSpace(table) if table.has_grid else None
    rows = list(range(len(table.ids)))
    picks, seconds = [], []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        made = STOCK[sampler](seed)
        asked = optuna.create_study(directions=["minimize", "minimize"], sampler=made)
        for _ in range(trials):
            started = time.perf_counter()
            trial = asked.ask()
            if grid is None:
                row = trial.suggest_categorical("row", rows)
            else:
                row = grid.index(grid.suggest(trial))
            seconds.append(time.perf_counter() - started)
            picks.append(row)
            asked.tell(trial, table.losses[row].tolist())
    return Run(tuple(picks), tuple(seconds))


class _Watch:
    """Follows a study: which rows are trained, and how long each proposal takes."""

    def __init__(self, space: TableSpace) -> None:
        self.picks: list[int] = []
        self.low_before: list[int] = []
        self.proposal_s: list[float] = []
        self.n_low = 0
        self._space, self._since = space, 0.0

    def __call__(self, event: Event) -> None:
        match event:
            case TrialProposed():
                self.proposal_s.append(time.perf_counter() - self._since)
            case RungFinished():
                self.n_low += 1
                self._since = time.perf_counter()
            case TrialFinished(evaluation):
                if not isinstance(evaluation.outcome, Trained):
                    raise StudyError(f"{evaluation.candidate.label}: {evaluation.outcome}")
                self.picks.append(self._space.index(evaluation.candidate))
                self.low_before.append(self.n_low)
                self._since = time.perf_counter()
            case StudyStarted():
                self._since = time.perf_counter()


class Replay:
    """Answers jobs from the table."""

    def __init__(self, space: TableSpace, latencies: KnownLatencies) -> None:
        self._space, self._latencies = space, latencies

    def perform(self, job: Job) -> Any:
        """Return the row's accuracy for a training, its latency, nothing for a picture."""
        match job.payload:
            case TrainRequest(candidate=candidate, settings=settings):
                is_low = settings.until_epoch < settings.horizon
                return self._trained(self._space.index(candidate), is_low=is_low)
            case MeasureRequest(architecture=architecture):
                return self._latencies.of(architecture)
            case DrawRequest(file=file):
                return str(file)
        raise AssertionError(f"nothing else is asked for; got {job}")

    def _trained(self, row: int, *, is_low: bool) -> Trained:
        table = self._space.table
        known = table.accuracy_low if is_low else table.accuracy
        assert known is not None
        accuracy = float(known[row]) / 100
        seconds = 1.0 if table.train_s is None else float(table.train_s[row])
        return Trained(
            metric=accuracy,
            metric_low=accuracy,
            metric_high=accuracy,
            metrics={"accuracy": accuracy},
            curve=(),
            seconds=1.0 if math.isnan(seconds) else seconds,
            predictions="trials/none.npz",
            weights="trials/none.safetensors",
            resume="trials/none.pt" if is_low else None,
        )


class KnownLatencies:
    """A table of latencies that has all of them, so that nothing is measured."""

    def __init__(self, space: TableSpace, settings: MeasureSettings) -> None:
        self._space, self._settings = space, settings

    def get(self, key: LatencyKey) -> Measurement:
        """Return the latency of a row; its other costs are not known."""
        return self.of(key.architecture)

    def of(self, architecture: Architecture) -> Measurement:
        """Return the same by the row's architecture."""
        row, settings = self._space.architecture_number(architecture), self._settings
        latency = Latency(
            p50_ms=float(self._space.table.latency_ms[row]),
            p95_ms=math.nan,
            spread=math.nan,
            repeats=1,
            warmup=0,
            threads=settings.threads,
            batch_size=settings.batch_size,
            runtime=settings.runtime,
            runtime_version="replayed",
            precision=settings.precision,
            device="replayed",
            exporter="none",
            is_stable=True,
            source="imported",
        )
        return Measurement(latency, math.nan, math.nan, math.nan, 0.0)

    def put(self, key: LatencyKey, measurement: Measurement, *, is_final: bool = False) -> None:
        """Keep nothing: all is known."""

    def failure(self, key: LatencyKey) -> Failed | None:
        """Return None: nothing fails."""
        return None

    def put_failure(self, key: LatencyKey, failed: Failed) -> None:
        """Keep nothing: nothing fails."""

    def entries(self) -> list[Entry]:
        """Return every row."""
        keys = [latency_key(a, self._settings) for a in self._space.architectures]
        return [Entry(key, self.get(key), 0.0) for key in keys]


class _Guessed:
    """Knows each latency but for an error until it is measured.

    Args:
        space: The table.
        latencies: What a measurement gives.
        error: Standard deviation of the logarithm.
        seed: Of the errors.
    """

    def __init__(
        self, space: TableSpace, latencies: KnownLatencies, error: float, seed: int
    ) -> None:
        draws = np.random.default_rng([seed, 2]).standard_normal(space.size)
        self._guesses = space.table.latency_ms * np.exp(error * draws)
        self._space, self._latencies, self._error = space, latencies, error
        self._measured: dict[Architecture, Measurement] = {}

    def lookup(self, architecture: Architecture) -> Measurement | None:
        """Return what was measured, if it was."""
        return self._measured.get(architecture)

    def expected(self, architecture: Architecture) -> Prediction:
        """Return the guess with the band that nine of ten lie in."""
        p50 = float(self._guesses[self._space.architecture_number(architecture)])
        reach = math.exp(BAND * self._error)
        return Prediction(p50, p50 / reach, p50 * reach, p50 / reach**2)

    def measured(self) -> dict[Architecture, Measurement]:
        """Return what was measured so far."""
        return dict(self._measured)

    def bands(self, architectures: Sequence[Architecture]) -> dict[int, Prediction]:
        """Return the guess of each."""
        return {number: self.expected(one) for number, one in enumerate(architectures)}

    def learn(self, architecture: Architecture, result: Measurement | Failed) -> None:
        """Take in what measuring gave."""
        assert isinstance(result, Measurement), "nothing fails"
        self._measured[architecture] = result


def in_memory() -> str | None:
    """Return a folder in memory, since three quarters of a replay would wait for a disk's sync.

    None where there is none: then the usual place of temporary folders serves.
    """
    return MEMORY if os.access(MEMORY, os.W_OK) else None


@cache
def _base(sampler: str) -> Config:
    """Return the shipped configuration with a sampler as its own file sets it up."""
    words = ("data=digits", "hardware=cpu_eager", "engine=inline", f"sampler={sampler}")
    composed = compose((*words, "study=replay", "budget.minutes=null", "budget.trials=1"))
    return build(composed.content, texts=composed.texts)


def study_config(sampler: str, table: Table, root: Path, *, seed: int, trials: int) -> Config:
    """Return the configuration; the limit is what the slowest row takes, so none is rejected."""
    base = _base(sampler)
    limits = replace(base.hardware.limits, latency_ms=float(table.latency_ms.max()))
    return replace(
        base,
        seed=seed,
        hardware=replace(base.hardware, limits=limits),
        budget=replace(base.budget, trials=trials, rungs=()),
        tracking=replace(base.tracking, root=str(root), device_db=str(root / "latency.db")),
    )


def with_low_rung(config: Config, table: Table) -> Config:
    """Return the configuration with two rungs whose epochs are as their costs."""
    assert table.low_cost is not None
    low = round(table.low_cost * EPOCHS)
    return replace(
        config,
        task=replace(config.task, epochs=EPOCHS),
        budget=replace(config.budget, rungs=(low, EPOCHS)),
    )


def prepared_study(config: Config, space: TableSpace) -> Prepared:
    """Return a study without data: what it is asked for is in the table."""
    split = SplitSummary(images=2, per_class={"a": 1, "b": 1})
    dataset = DatasetSummary(
        class_names=("a", "b"),
        channels=3,
        fingerprint=space.fingerprint,
        splits={"train": split, "val": split},
    )
    is_log = space.table.latency_scale == "log"
    return Prepared(
        config=config,
        task=TASKS["classification"],
        data=data_ref(config),
        dataset=dataset,
        space=space,
        objectives=[
            Objective("accuracy", "maximize", is_known=False),
            Objective("latency_ms", "minimize", is_known=True, unit="ms", is_log=is_log),
        ],
        chance=space.table.ref_accuracy / 100,
    )
