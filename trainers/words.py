"""Counts and values in words."""

from __future__ import annotations

from collections.abc import Sequence

# Characters of what is somebody else's in a message.
WIDTH = 200


def count_of(n: float, one: str, many: str | None = None) -> str:
    """Return a count with its noun, such as ``1 image``, ``1,200 images`` or ``2.5 minutes``.

    Args:
        n: How many.
        one: What a single one is called, with its verb where one follows.
        many: The same of several; ``one`` and an s when None.
    """
    number = f"{n:g}" if isinstance(n, float) else f"{n:,}"
    is_one = number == "1"
    return f"{number} {one if is_one else many or f'{one}s'}"


def reason_of(error: Exception) -> str:
    """Return why a file could not be read, without an error's number and its name once more."""
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def task_words(task: str) -> str:
    """Return what people call a task: ``instance segmentation`` for ``instance``."""
    return f"{task} segmentation" if task in ("semantic", "instance") else task


def duration(seconds: float) -> str:
    """Return a time span in its two largest units, such as ``2 min 5 s``."""
    if seconds < 10:
        return f"{seconds:.2g} s"
    whole = round(seconds)
    units = ((whole // 3600, "h"), (whole // 60 % 60, "min"), (whole % 60, "s"))
    return " ".join([f"{count} {unit}" for count, unit in units if count][:2])


def join_words(words: Sequence[str]) -> str:
    """Return ``a``, ``a and b`` or ``a, b and c``."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def shortened(text: str, width: int) -> str:
    """Return a text of at most so many characters: a longer one loses its middle."""
    if len(text) <= width:
        return text
    kept = max(0, width - 1)
    end = kept // 2
    return text[: kept - end] + "…"[:width] + text[len(text) - end :]


def quoted(value: object, width: int = WIDTH) -> str:
    """Return a value of somebody else's as a message quotes it: in one line, not too long."""
    return shortened(" ".join(repr(value).split()), width)


def score_text(score: float) -> str:
    """Return a score from 0 to 1 such as ``0.87``, and a small one such as ``0.0092``."""
    return f"{score:.2f}" if score >= 0.1 else f"{score:.2g}"
