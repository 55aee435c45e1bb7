"""Deployed files whose outputs are far from those of PyTorch, in words."""

from __future__ import annotations

# In units of the outputs' spread over the images. Answers that have nothing to do with each other
# differ by about 1.5; of int8 classifiers the worst had 2.9 and 4.0 and lost 13 and 23 points, of
# int8 boxes the worst had 18 and lost none (benchmarks/LOG.md, "Export formats").
SEVERAL = 2.0


def difference_note(parity: float | None) -> str:
    """Return a note on outputs that differ by several spreads; empty for others.

    It excludes nothing: the metric may not show the difference, but other images may.

    Args:
        parity: Largest difference from PyTorch in units of the outputs' spread; None where it is
            not known.
    """
    if parity is None or not parity > SEVERAL:
        return ""
    return f"outputs differ from PyTorch's by up to {parity:.2g} times their spread"
