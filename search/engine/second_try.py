"""The second try of a job that the machine failed, and the error that ends all jobs."""

from __future__ import annotations

from archfront.search.engine.jobs import Broken, Engine, Job, Result
from archfront.search.errors import StudyStoppedError
from archfront.search.records.failure_kinds import FailureKind

# Of these a second try, in a fresh worker, may come to another end at once.
TRIED_AGAIN: tuple[FailureKind, ...] = ("killed", "machine")
GO_ON = "Everything finished is recorded; the same command goes on when the cause is gone."


def stopped(message: str) -> StudyStoppedError:
    """Return the error for a failure of the machine that no job gets past."""
    return StudyStoppedError(f"{message}\n{GO_ON}")


def result_of(engine: Engine, job: Job) -> Result:
    """Return the result of a job, which is done once more where the machine failed.

    Raises:
        StudyStoppedError: If the machine failed twice.
    """
    result = engine.submit(job).result()
    if isinstance(result, Broken) and result.kind in TRIED_AGAIN:
        result = engine.submit(job).result()
        if isinstance(result, Broken) and result.kind == "machine":
            raise stopped(result.message)
    return result
