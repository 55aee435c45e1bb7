"""The journal of a study as a file: what a death of the driver leaves, and damage."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from archfront.search.errors import StudyError
from archfront.search.records.paths import StudyPaths
from archfront.trainers.words import count_of

N_SHOWN = 3
# What reading content of another form than was written raises.
UNFIT = (KeyError, ValueError, TypeError, AttributeError, LookupError, AssertionError)


def damaged(paths: StudyPaths, what: str, remedy: str | None = None) -> StudyError:
    """Return the error for records that are not as they were written, with what to do.

    Args:
        paths: The study.
        what: What is wrong, in words.
        remedy: What to do without a copy; to delete the study and start it again when None.
    """
    again = f"'archfront delete {paths.study}', and the command that started the study"
    return StudyError(
        f"The records of {paths.study!r} in {paths.journal} are damaged: {what}. Restore the file "
        f"from a copy. Without one: {remedy or again}."
    )


def check_not_emptied(paths: StudyPaths) -> None:
    """Check that the journal of a study that has begun is not empty.

    Raises:
        StudyError: If it is empty or gone.
    """
    is_empty = not paths.journal.is_file() or paths.journal.stat().st_size == 0
    if is_empty and any(paths.trials.glob("*")):
        raise damaged(paths, "the file is empty, and there are files of trials")


def check_not_cut(paths: StudyPaths, count_trials: Callable[[], int]) -> None:
    """Check that no trial has files that the journal knows nothing of.

    The journal knows of a trial before the trial has files, so such a journal lost its end.

    Args:
        paths: The study.
        count_trials: Returns the trials that the journal knows, after the files were looked at: a
            driver may go on meanwhile.

    Raises:
        StudyError: If there is such a trial.
    """
    folders = sorted(f.name for f in paths.trials.glob("[0-9]*-*"))
    n_trials = count_trials()
    unknown = [name for name in folders if int(name.split("-")[0]) >= n_trials]
    if unknown:
        shown = ", ".join(unknown[:N_SHOWN]) + (", ..." if len(unknown) > N_SHOWN else "")
        raise damaged(
            paths,
            f"the end is lost: {count_of(n_trials, 'trial')} in the file, files of later ones in "
            f"{paths.trials} ({shown})",
            "remove these folders, and the same command makes the trials again",
        )


@contextlib.contextmanager
def clear_errors(paths: StudyPaths) -> Iterator[None]:
    """Turn what reading a damaged journal raises into one error for people."""
    try:
        yield
    except UNFIT as error:
        is_line = isinstance(error, json.JSONDecodeError | UnicodeDecodeError)
        if is_line or "log format" in str(error):
            raise damaged(paths, f"a line before the last one is none ({error})") from error
        said = f"{type(error).__name__}: {error}"
        raise damaged(paths, f"their content is not as it was written ({said})") from error


def cut_torn_line(journal: Path) -> int:
    """Cut off a last line without its end and return how many bytes it had."""
    if not journal.is_file():
        return 0
    with journal.open("r+b") as file:
        size = end = file.seek(0, os.SEEK_END)
        while end > 0:
            start = max(0, end - 65_536)
            file.seek(start)
            newline = file.read(end - start).rfind(b"\n")
            if newline >= 0:
                end = start + newline + 1
                break
            end = start
        file.truncate(end)
    return size - end
