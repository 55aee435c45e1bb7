"""What the tests of the engines say again and again."""

from __future__ import annotations

from concurrent.futures import Future
from typing import Any

import psutil
import pytest

from archfront.search.engine.jobs import Broken, Done, Job, Result
from archfront.trainers.threads import cores
from tests.support.waiting import DEADLINE_S

# On one core one worker does measurements and trainings, and pauses nothing.
pauses = pytest.mark.skipif(cores() == 1, reason="On one core there is no other worker to pause.")
STAYING = ("resource_tracker", "multiprocessing.forkserver", "tests.support.programs")
# The children that this process had when a test began, as a cluster that all tests share.
earlier: set[int] = set()


def train(*payload: Any, timeout_s: float | None = None) -> Job:
    return Job("train", payload, timeout_s=timeout_s)


def measure(*payload: Any, timeout_s: float | None = None) -> Job:
    return Job("measure", payload, is_exclusive=True, timeout_s=timeout_s)


def result(future: Future[Result]) -> Result:
    return future.result(DEADLINE_S)


def value(future: Future[Result]) -> Any:
    done = result(future)
    assert isinstance(done, Done), done
    return done.value


def broken(future: Future[Result]) -> Broken:
    failure = result(future)
    assert isinstance(failure, Broken), failure
    return failure


def is_running(pid: int) -> bool:
    """Whether a process computes or waits; one that nobody has reaped yet does neither."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def children() -> list[psutil.Process]:
    """Return the children that this process has got in a test, except those that stay.

    Once any test has used them, multiprocessing's servers and those of programs stay.
    """
    new = [child for child in psutil.Process().children() if child.pid not in earlier]
    found = ((child, " ".join(_words(child))) for child in new)
    return [child for child, words in found if not any(name in words for name in STAYING)]


def note_children() -> None:
    """Begin a test: the children that there are now are none of its own."""
    earlier.clear()
    earlier.update(child.pid for child in psutil.Process().children())


def _words(process: psutil.Process) -> list[str]:
    try:
        return list(process.cmdline())
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return []


def assert_matches(text: str, pattern: str) -> None:
    with pytest.raises(AssertionError, match=pattern):
        raise AssertionError(text)
