"""The work of training an architecture, relative to others."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from archfront.search.space.space import Space

# Seconds of a training step grow with this power of the multiply-accumulates: small networks are
# bound by memory and by calls (USUAL_GROWTH of ``search.space.cost_model`` for latencies).
GROWTH = 0.8


def works(space: Space) -> NDArray[np.float64]:
    """Return the work of each architecture of a space, shape ``(n_architectures,)``, above 0."""
    found: NDArray[np.float64] = np.maximum(space.macs_g, 1e-6) ** GROWTH
    return found
