"""What a study does when the machine fails, and not a candidate."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from archfront.search.engine.failures import broken
from archfront.search.engine.jobs import Broken
from archfront.search.engine.second_try import MOST_LOST, TRIED_AGAIN, stopped
from archfront.search.errors import (
    ArchfrontError,
    DatabaseError,
    StudyError,
    StudyStoppedError,
)
from archfront.search.records.evaluation import Failed, Rejected, Trained, is_passing
from archfront.search.results.stats import failures
from archfront.search.study.progress import StudyProgress
from archfront.search.study.running_trial import RunningTrial
from archfront.trainers.machine import machine_failure
from archfront.trainers.words import count_of


@contextmanager
def stopped_by_machine() -> Iterator[None]:
    """Turn a failure of the machine within the block into the error that stops a study.

    Raises:
        StudyStoppedError: If the machine failed.
    """
    try:
        yield
    except ArchfrontError:
        raise
    except Exception as error:
        if machine_failure(error) is None:
            raise
        raise stopped(broken(error).message) from error


def record_end(steps: Iterable[Callable[[], None]], *, is_stopped: bool) -> None:
    """Do every step that records the end of a run, though the machine or database fails in others.

    Args:
        steps: The steps, in their order.
        is_stopped: Whether the machine has stopped the run already, so that one failure more is
            nothing new.

    Raises:
        StudyError: The first such failure in a run that none had stopped.
    """
    first: StudyError | None = None
    for step in steps:
        try:
            with stopped_by_machine():
                step()
        except (StudyStoppedError, DatabaseError) as error:
            first = first or error
    if first is not None and not is_stopped:
        raise first


def is_to_try_again(running: RunningTrial, result: Broken) -> bool:
    """Return whether the job of a trial is done once more, since the machine failed.

    That is noted of the trial. A lost node costs a job none of its tries.

    Raises:
        StudyStoppedError: If the machine failed the second time.
    """
    if result.kind not in TRIED_AGAIN:
        return False
    if result.is_lost:
        running.n_lost += 1
        return running.n_lost <= MOST_LOST
    if running.is_second_try and result.kind == "machine":
        raise stopped(result.message)
    is_first, running.is_second_try = not running.is_second_try, True
    return is_first


def driver_died(attempts: int, isolates: bool) -> Failed:
    """Return the failure of a candidate during which the driver died so often.

    Args:
        attempts: How often.
        isolates: Whether the candidate ran in another process, which cannot end the driver.
    """
    message = f"the driver died {attempts} times while this candidate was in flight"
    return Failed("killed" if isolates else "crash", message)


def ending(reason: str, progress: StudyProgress) -> tuple[str, str]:
    """Return the state and the reason of a run that has nothing left to do.

    It is stopped, not finished, where nothing was trained since candidates failed, and where
    every candidate was tried and the machine failed at some. Limits that are too strict finish it.

    Args:
        reason: Why nothing is left to do.
        progress: The progress of the run.
    """
    evaluations, is_exhausted = progress.evaluations, not progress.open.has_any()
    failed = [e for e in evaluations if isinstance(e.outcome, Failed)]
    passing = [e for e in failed if is_passing(e)]
    is_any_trained = any(isinstance(e.outcome, Trained) for e in evaluations)
    if not failed or (is_any_trained and not (is_exhausted and passing)):
        return "finished", reason
    if not is_exhausted and isinstance(evaluations[-1].outcome, Rejected):
        return "finished", reason
    words = f"not all candidates of the space could be tried ({reason})"
    if not is_any_trained:
        words = f"nothing could be trained ({reason})"
    by_kind = failures(failed)
    kinds = ", ".join(f"{len(each)} {kind}" for kind, each in by_kind.items())
    last = (passing or failed)[-1]
    is_again = passing or (not is_any_trained and "crash" in by_kind)
    again = (
        ". The same command tries again what may have failed by the machine" if is_again else ""
    )
    return "stopped", (
        f"{words}: {count_of(len(failed), 'candidate')} failed, {kinds}. The last one, "
        f"{last.candidate.label}: {str(last.outcome).rstrip('.')}{again}"
    )
