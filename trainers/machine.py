"""Failures of the machine, which say nothing of the network that was built or trained on it."""

from __future__ import annotations

import errno
import re
from dataclasses import dataclass

from archfront.trainers.errors import BuildError


@dataclass(frozen=True)
class MachineFailure:
    """One kind of failure of the machine.

    Attributes:
        cause: What is wrong, the beginning of a sentence.
        remedy: What to do about it, a sentence.
        errnos: Numbers of the system's errors that say it.
        phrases: What libraries say that hide the number of the system's error, in lower case;
            regular expressions.
    """

    cause: str
    remedy: str
    errnos: frozenset[int]
    phrases: tuple[str, ...]


FAILURES = (
    MachineFailure(
        "The disk is full",
        "Free space, or raise the quota.",
        frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG}),
        (
            "no space left on device",
            "disk quota exceeded",
            "database or disk is full",
            # torch.save
            "file write failed",
            r"\. unexpected pos ",
            # numpy.save
            "requested and 0 written",
        ),
    ),
    MachineFailure(
        "The file system is read-only",
        "Make it writable, or choose another folder.",
        frozenset({errno.EROFS}),
        ("read-only file system", "attempt to write a readonly database"),
    ),
    MachineFailure(
        "The disk cannot be read or written",
        "Look at the disk or its network.",
        frozenset({errno.EIO, errno.ESTALE, errno.ENXIO, errno.ENODEV}),
        ("input/output error", "disk i/o error", "stale file handle"),
    ),
    MachineFailure(
        "Too many files are open",
        "Raise the limit (ulimit -n), or use fewer workers.",
        frozenset({errno.EMFILE, errno.ENFILE}),
        ("too many open files",),
    ),
    MachineFailure(
        "The system has no memory, thread or process left",
        "End other programs, raise the limits (ulimit -a), or use fewer workers and threads.",
        frozenset({errno.ENOMEM, errno.EAGAIN}),
        (
            "cannot allocate memory",
            "failed to map segment from shared object",
            "can't start new thread",
            "resource temporarily unavailable",
            # oneDNN, which says another thing where it does not know an operation.
            "could not create a primitive(?! descriptor)",
        ),
    ),
    MachineFailure(
        "A library cannot be loaded",
        "Install what is missing.",
        frozenset(),
        ("cannot open shared object file", "undefined symbol:"),
    ),
)
_MEMORY, _LIBRARY = FAILURES[-2:]


def machine_failure(error: BaseException) -> MachineFailure | None:
    """Return how the machine failed if an error, or one that it was raised from, says so.

    A missing library counts unless a network cannot be built without it: only some networks need
    it then. A folder that may not be written is no failure of the machine.
    """
    seen: set[int] = set()
    needs_library = True
    one: BaseException | None = error
    while one is not None and id(one) not in seen:
        seen.add(id(one))
        found = _told(one)
        if found is not None:
            return found
        needs_library = needs_library and not isinstance(one, BuildError)
        if needs_library and isinstance(one, ImportError):
            return _LIBRARY
        # What was merely handled before says nothing of a library: its lack may be expected.
        needs_library = needs_library and one.__cause__ is not None
        one = one.__cause__ or (None if one.__suppress_context__ else one.__context__)
    return None


def _told(error: BaseException) -> MachineFailure | None:
    """Return the failure that the number or the text of one error tells."""
    if isinstance(error, MemoryError):
        return _MEMORY
    number = error.errno if isinstance(error, OSError) else None
    text = str(error).lower()
    for failure in FAILURES:
        if number in failure.errnos or any(re.search(p, text) for p in failure.phrases):
            return failure
    return None
