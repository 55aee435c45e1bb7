"""Engines that end a small study in the middle, and what its records say then."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from archfront.search.engine.inline import InlineEngine
from archfront.search.engine.jobs import Job, Result
from archfront.search.records.evaluation import Evaluation, Trained
from archfront.search.records.paths import StudyPaths
from archfront.search.records.store import reading
from archfront.search.results.results import Results
from tests.support.small_study import perform


def results(root: Path) -> Results:
    """Return what is recorded of the small study."""
    places = StudyPaths(root, "small")
    return Results.read(reading(places, None), places)


def story(evaluations: list[Evaluation]) -> list[tuple[Any, ...]]:
    """Return what must not differ between two runs: no times."""
    return [
        (
            e.trial,
            e.candidate.id,
            e.kind,
            e.outcome.metric if isinstance(e.outcome, Trained) else str(e.outcome),
        )
        for e in evaluations
    ]


class Interrupting:
    """An engine that answers by formula until it has done enough; then Ctrl-C comes."""

    isolates = False
    n_slots = 1

    def __init__(self, n_jobs: int) -> None:
        self.left = n_jobs
        self.inner = InlineEngine(perform, workers=1, threads=1)

    def submit(self, job: Job, on_event: Any = None) -> Future[Result]:
        if self.left == 0:
            raise KeyboardInterrupt
        self.left -= 1
        return self.inner.submit(job, on_event)

    def close(self) -> None:
        self.inner.close()


class DriverDeath(Exception):
    """The end of a driver in the middle of its work, as its records show it."""


class Dying(InlineEngine):
    """An engine during whose jobs, or those chosen, the driver dies."""

    def __init__(self, dies: Callable[[Job], bool] = lambda job: True) -> None:
        super().__init__(perform, workers=1, threads=1)
        self.dies = dies

    def submit(self, job: Job, on_event: Any = None) -> Future[Result]:
        if self.dies(job):
            raise DriverDeath
        return super().submit(job, on_event)


class Threaded:
    """An engine of two slots whose jobs are answered by formula, in threads."""

    isolates = False
    n_slots = 2

    def __init__(self) -> None:
        self.pool = ThreadPoolExecutor(2)
        self.inner = InlineEngine(perform, workers=1, threads=1)

    def submit(self, job: Job, on_event: Any = None) -> Future[Result]:
        return self.pool.submit(lambda: self.inner.submit(job, on_event).result())

    def close(self) -> None:
        self.pool.shutdown()
