"""One search on a replay table: through the real loop, or by a sampler of Optuna alone."""

from __future__ import annotations

import math
import os
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import GPSampler, NSGAIISampler, RandomSampler, TPESampler
from replay_space import TableSpace
from replay_tables import Table

from search import study
from search.compose import compose
from search.config import Config, build
from search.engine.inline import InlineEngine
from search.engine.jobs import Job
from search.errors import StudyError
from search.evaluate import DrawRequest, TrainRequest
from search.events import Event, StudyStarted, TrialFinished, TrialProposed
from search.front import Objective
from search.latency.measure import MeasureSettings, latency_key
from search.latency.table import Entry, LatencyKey
from search.prepare import Prepared, data_ref
from search.records import Failed, Latency, Measurement, Trained
from search.settings import measure_settings
from trainers.tasks import TASKS

MEMORY = "/dev/shm"
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
        picks: Rows in the order in which they were trained.
        proposal_s: Seconds of each proposal, with what the loop does around it.
    """

    picks: tuple[int, ...]
    proposal_s: tuple[float, ...]


def run_study(space: TableSpace, sampler: str, *, seed: int, trials: int) -> Run:
    """Return what a sampler of ``SAMPLERS`` trains in a study over a table.

    Raises:
        StudyError: If the study ended otherwise than by its budget or an empty space.
    """
    watch = _Watch(space)
    with tempfile.TemporaryDirectory(prefix="replay-", dir=_in_memory()) as root:
        config = _config(sampler, space.table, Path(root), seed=seed, trials=trials)
        result = study.run(
            config,
            prepared=_prepared(config, space),
            engine=InlineEngine(_Replay(space).perform, workers=1, threads=1),
            followers=(watch,),
            table=_KnownLatencies(space, measure_settings(config)),
        )
    if result.state != "finished" or len(watch.picks) != min(trials, space.size):
        raise StudyError(
            f"The study of {space.table.name} with sampler={sampler}, seed {seed}, ended after "
            f"{len(watch.picks)} trainings, {result.state}: {result.reason}."
        )
    return Run(tuple(watch.picks), tuple(watch.proposal_s))


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
        self.proposal_s: list[float] = []
        self._space, self._since = space, 0.0

    def __call__(self, event: Event) -> None:
        match event:
            case TrialProposed():
                self.proposal_s.append(time.perf_counter() - self._since)
            case TrialFinished(evaluation):
                if not isinstance(evaluation.outcome, Trained):
                    raise StudyError(f"{evaluation.candidate.label}: {evaluation.outcome}")
                self.picks.append(self._space.index(evaluation.candidate))
                self._since = time.perf_counter()
            case StudyStarted():
                self._since = time.perf_counter()


class _Replay:
    """Answers jobs from the table."""

    def __init__(self, space: TableSpace) -> None:
        self._space = space

    def perform(self, job: Job) -> Any:
        """Return the row's accuracy for a training, nothing for a picture."""
        match job.payload:
            case TrainRequest(candidate=candidate):
                return self._trained(self._space.index(candidate))
            case DrawRequest(file=file):
                return str(file)
        raise AssertionError(f"nothing else is asked for; got {job}")

    def _trained(self, row: int) -> Trained:
        table = self._space.table
        accuracy = float(table.accuracy[row]) / 100
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
        )


class _KnownLatencies:
    """A table of latencies that has all of them, so that nothing is measured."""

    def __init__(self, space: TableSpace, settings: MeasureSettings) -> None:
        self._space, self._settings = space, settings

    def get(self, key: LatencyKey) -> Measurement:
        """Return the latency of a row; its other costs are not known."""
        row = self._space.architecture_number(key.architecture)
        latency = Latency(
            p50_ms=float(self._space.table.latency_ms[row]),
            p95_ms=math.nan,
            spread=math.nan,
            repeats=1,
            warmup=0,
            threads=key.threads,
            batch_size=key.batch_size,
            runtime=key.runtime,
            runtime_version=key.runtime_version,
            precision=key.precision,
            device=key.device,
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


def _in_memory() -> str | None:
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


def _config(sampler: str, table: Table, root: Path, *, seed: int, trials: int) -> Config:
    """Return the configuration; the limit is what the slowest row takes, so none is rejected."""
    base = _base(sampler)
    limits = replace(base.hardware.limits, latency_ms=float(table.latency_ms.max()))
    return replace(
        base,
        seed=seed,
        hardware=replace(base.hardware, limits=limits),
        budget=replace(base.budget, trials=trials),
        tracking=replace(base.tracking, root=str(root), device_db=str(root / "latency.db")),
    )


def _prepared(config: Config, space: TableSpace) -> Prepared:
    """Return a study without data: what it is asked for is in the table."""
    split = {"images": 2, "per_class": {"a": 1, "b": 1}}
    dataset = {
        "class_names": ["a", "b"],
        "channels": 3,
        "fingerprint": space.fingerprint,
        "splits": {"train": split, "val": split},
    }
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
