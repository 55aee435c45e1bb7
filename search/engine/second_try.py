"""Jobs that are tried again since the machine failed, and the error that ends all jobs."""

from __future__ import annotations

from concurrent.futures import Future

from archfront.search.engine.jobs import Broken, Engine, Job, Result
from archfront.search.errors import StudyStoppedError
from archfront.search.records.failure_kinds import FailureKind

# Of these a second try, in a fresh worker, may come to another end at once.
TRIED_AGAIN: tuple[FailureKind, ...] = ("killed", "machine")
# So often a job is done again whose node was lost. More says that the job itself ends its nodes.
MOST_LOST = 10
GO_ON = "Everything finished is recorded; the same command goes on when the cause is gone."


def stopped(message: str) -> StudyStoppedError:
    """Return the error for a failure of the machine that no job gets past."""
    return StudyStoppedError(f"{message}\n{GO_ON}")


def is_lost(result: Result) -> bool:
    """Return whether the machine that a job ran on was lost or taken away."""
    return isinstance(result, Broken) and result.is_lost


def found_result(engine: Engine, job: Job, first: Future[Result] | None = None) -> Result:
    """Return the result of a job, which is done again while nodes that run it are lost.

    Args:
        engine: Runs the job.
        job: The job.
        first: Its future, where it is submitted already.
    """
    result = (first or engine.submit(job)).result()
    for _ in range(MOST_LOST):
        if not is_lost(result):
            break
        result = engine.submit(job).result()
    return result


def result_of(engine: Engine, job: Job) -> Result:
    """Return the result of a job, which is done once more where the machine failed.

    Raises:
        StudyStoppedError: If the machine failed twice.
    """
    result = found_result(engine, job)
    if isinstance(result, Broken) and result.kind in TRIED_AGAIN:
        result = found_result(engine, job)
        if isinstance(result, Broken) and result.kind == "machine":
            raise stopped(result.message)
    return result
