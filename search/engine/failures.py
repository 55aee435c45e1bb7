"""The failure of a job: its kind, and a message for people."""

from __future__ import annotations

import signal
import traceback
from pathlib import PurePath

from archfront.search.engine.jobs import Broken
from archfront.search.errors import ExportError, ParityError
from archfront.search.records.failure_kinds import FailureKind
from archfront.trainers.errors import (
    ArchfrontError,
    BuildError,
    DataError,
    DivergedError,
    FetchError,
    WeightsError,
    is_out_of_memory,
)
from archfront.trainers.machine import machine_failure

_KINDS: dict[type[ArchfrontError], FailureKind] = {
    BuildError: "build",
    FetchError: "weights",
    WeightsError: "build",
    ExportError: "export",
    ParityError: "parity",
    DataError: "data",
    DivergedError: "diverged",
}
_LONGEST_MESSAGE = 1500  # characters; exporters put whole graphs into theirs
_LAST_LINES = 8
# Exit code of a worker that itself failed, as without memory for a message, and not its job.
WORKER_FAILED = 75
# Signals by which the system or a person ends a process, whatever it computes. A SIGBUS is that
# of a file in memory for which the disk has no room.
_SIGNALS_FROM_OUTSIDE = frozenset(
    {
        signal.SIGKILL,
        signal.SIGTERM,
        signal.SIGHUP,
        signal.SIGQUIT,
        signal.SIGBUS,
        signal.SIGXCPU,
    }
)
# The last words of a process that C++ ended for want of memory.
_NO_MEMORY = ("std::bad_alloc", "Cannot allocate memory", "MemoryError")


def broken(error: BaseException, *, seconds: float = 0.0) -> Broken:
    """Return the failure of a job that raised an exception.

    An error of archfront is complete by its message; any other gets its type and the place
    where it was raised. A failure of the machine says what to do about it.
    """
    if is_out_of_memory(error):
        return Broken("out of memory", _sentence(error), seconds)
    failure = machine_failure(error)
    if failure is not None:
        what = _shortened(str(error)) if isinstance(error, ArchfrontError) else _sentence(error)
        return Broken("machine", f"{failure.cause}: {what.rstrip('.')}. {failure.remedy}", seconds)
    if isinstance(error, ArchfrontError):
        kinds = (kind for base, kind in _KINDS.items() if isinstance(error, base))
        return Broken(next(kinds, "crash"), _shortened(str(error)), seconds)
    return Broken("crash", _sentence(error), seconds)


def not_served(what: str, error: BaseException) -> Broken:
    """Return the failure of a job that says nothing of the job, whatever the error is.

    Args:
        what: What was done for the job, the beginning of a message.
        error: What was raised.
    """
    found = broken(error)
    message = found.message if found.kind == "machine" else f"{what}: {found.message}"
    return Broken("machine", message, 0.0)


def not_imported(error: Exception) -> Broken:
    """Return the failure of a job in a worker that could not import what jobs need."""
    failure = machine_failure(error)
    remedy = "" if failure is None else f" {failure.remedy}"
    said = _sentence(error).rstrip(".")
    what = f"The worker cannot import what jobs need: {said}.{remedy}"
    return Broken("machine", what, 0.0)


def undeliverable(what: str, error: Exception) -> Broken:
    """Return the failure of a job whose payload, result or event cannot be sent to a process."""
    kind: FailureKind = "out of memory" if is_out_of_memory(error) else "crash"
    failure = machine_failure(error)
    message = f"{what}: {type(error).__name__}: {_shortened(str(error))}"
    if failure is not None:
        return Broken("machine", f"{message}. {failure.remedy}", 0.0)
    return Broken(kind, message, 0.0)


def death(exit_code: int | None, output: str, *, is_at_start: bool = False) -> Broken:
    """Return the failure of a job whose worker process ended.

    Args:
        exit_code: Its exit code, negative for a signal; None if it had to be killed.
        output: The end of what it printed.
        is_at_start: Whether it ended before it took a job, which then did not end it.
    """
    how = "closed its pipe to the driver" if exit_code is None else ending(exit_code)
    kind: FailureKind = "killed" if -(exit_code or 0) in _SIGNALS_FROM_OUTSIDE else "crash"
    if kind == "crash" and any(phrase in output for phrase in _NO_MEMORY):
        kind = "out of memory"
    if exit_code == WORKER_FAILED:
        kind = "machine"
    if is_at_start:
        kind, how = "machine", f"{how} at its start"
    return Broken(kind, f"The worker {how}.{last_lines(output)}", 0.0)


def ending(exit_code: int) -> str:
    """Return how a worker process ended, to follow "The worker"; negative codes are signals."""
    if exit_code >= 0:
        return f"ended with exit code {exit_code}"
    if -exit_code == signal.SIGKILL:
        return "was killed (SIGKILL): the system may have been out of memory"
    try:
        name = signal.Signals(-exit_code).name
    except ValueError:  # a real-time signal has no name
        name = f"signal {-exit_code}"
    return f"was ended by {name} ({signal.strsignal(-exit_code)})"


def last_lines(output: str) -> str:
    """Return the end of a worker's output as a clause for a message, empty for no output.

    After a fatal signal that is Python's own dump, from its first line on.
    """
    start = max(0, output.rfind("Fatal Python error"))
    lines = [line.rstrip() for line in output[start:].splitlines() if line.strip()]
    lines = lines[:_LAST_LINES] if start else lines[-_LAST_LINES:]
    return " Its last lines:\n" + _shortened("\n".join(lines)) if lines else ""


def _sentence(error: BaseException) -> str:
    said = _shortened(str(error).strip())
    frames = traceback.extract_tb(error.__traceback__)
    place = ""
    if frames:  # the file's name only: its folder does not belong in a report
        last = frames[-1]
        place = f" ({PurePath(last.filename).name}:{last.lineno} in {last.name})"
    return f"{type(error).__name__}{': ' if said else ''}{said}{place}"


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST_MESSAGE else text[:_LONGEST_MESSAGE] + " [...]"
