"""Seeds that are computed, never carried: the same place in a training has the same seed."""

from __future__ import annotations

import numpy as np


def derive_seed(*parts: int) -> int:
    """Return a 63-bit seed for a place, such as ``(seed, epoch, step)``.

    Neighboring places give unrelated seeds, and a place never depends on what was drawn
    before it, so that a resumed training draws what an uninterrupted one would.

    Raises:
        ValueError: If a part is negative.
    """
    if any(part < 0 for part in parts):
        raise ValueError(f"Seeds are made of numbers from 0 up, got {parts}.")
    # The length is a part of its own: trailing zeros would not count otherwise.
    state = np.random.SeedSequence([len(parts), *parts]).generate_state(1, np.uint64)
    return int(state[0] >> np.uint64(1))
