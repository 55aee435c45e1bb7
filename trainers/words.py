"""Counts in words."""

from __future__ import annotations


def count_of(n: float, one: str, many: str | None = None) -> str:
    """Return a count with what is counted, as ``1 image``, ``1,200 images`` or ``2.5 minutes``.

    Args:
        n: How many.
        one: What a single one is called, with its verb where one follows.
        many: The same of several; ``one`` and an s when None.
    """
    number = f"{n:g}" if isinstance(n, float) else f"{n:,}"
    is_one = number == "1"
    return f"{number} {one if is_one else many or f'{one}s'}"
