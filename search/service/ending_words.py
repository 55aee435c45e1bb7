"""Why a driver ended, in words: its exit status and what it said last."""

from __future__ import annotations

import signal
from collections.abc import Sequence

# What the signals that end a driver mean most often.
MEANINGS = {
    signal.SIGKILL: "most often the system, for lack of memory, or a person",
    signal.SIGSEGV: "a mistake in a library",
    signal.SIGABRT: "a mistake in a library",
    signal.SIGBUS: "a disk that is full or gone",
    signal.SIGILL: "a library that was built for another processor",
    signal.SIGTERM: "a person, or the system that shuts down",
}
COMPLAINT = "archfront: "
MOST_LETTERS = 4000


def status_text(status: int) -> str:
    """Return an exit status in words; a negative one is a signal."""
    number = -status if status < 0 else status - 128 if status > 128 else None
    if number is not None:
        try:
            name = signal.Signals(number)
        except ValueError:
            return f"its driver was ended by signal {number}"
        meaning = MEANINGS.get(name)
        return f"its driver was killed by {name.name}" + (f" ({meaning})" if meaning else "")
    return f"its driver ended with status {status}"


def complaint(lines: Sequence[str]) -> str | None:
    """Return the error that a driver gave as its last words; None where it gave none."""
    starts = [n for n, line in enumerate(lines) if line.startswith(COMPLAINT)]
    if not starts:
        return None
    first, *others = lines[starts[-1] :]
    return "\n".join([first.removeprefix(COMPLAINT), *others])[:MOST_LETTERS]


def ending_text(status: int, lines: Sequence[str]) -> str:
    """Return why a driver ended: its own error, or its exit status and its last lines."""
    own = complaint(lines)
    if own is not None:
        return own
    end = status_text(status).replace("its", "Its", 1)
    if not lines:
        return f"{end} and had said nothing."
    said = "\n".join(lines)
    return f"{end}. Its last lines:\n{said}"[:MOST_LETTERS]
