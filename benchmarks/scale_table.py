"""A made-up replay table: a grid of architectures with a front that has to be searched for."""

from __future__ import annotations

from itertools import product

import numpy as np
from replay_tables import Floats, Table

FAMILIES = tuple(f"family{number}" for number in range(8))
WIDTHS = (16, 24, 32, 48, 64, 96)
DEPTHS = (2, 3, 4, 6, 8)
SIZES = (96, 128, 160, 192, 224, 256)
HEADS = ("avg", "gem", "mlp")
OPERATIONS = ("conv", "depthwise", "grouped", "attention", "mixed")
# Random waves over descriptors and names: a part of the accuracy that no single one explains.
WAVES = 40
# A short training, of a full one.
LOW_COST = 0.1
REF_ACCURACY = 50.0


def made_table(seed: int = 0) -> Table:
    """Return 21,600 architectures with drawn accuracies and latencies, the same for a seed."""
    rng = np.random.default_rng(seed)
    grid = (FAMILIES, WIDTHS, DEPTHS, SIZES, HEADS, OPERATIONS)
    cells = np.array(list(product(*(range(len(axis)) for axis in grid))))
    n = len(cells)
    family, head, operation = cells[:, 0], cells[:, 4], cells[:, 5]
    width, depth, size = (
        np.array(axis)[cells[:, column]] for axis, column in ((WIDTHS, 1), (DEPTHS, 2), (SIZES, 3))
    )
    work = np.array([1.0, 0.35, 0.6, 1.4, 0.9])[operation]
    log_params = np.log10(width**2 * depth * work) - 2
    log_macs = log_params + 2 * np.log10(size / 224)
    speed = 0.25 * rng.standard_normal(len(FAMILIES))[family]
    latency = 10 ** (0.2 + 0.7 * log_macs + 0.1 * (head == 2))
    latency = latency * np.exp(speed + 0.08 * rng.standard_normal(n))
    capacity = 0.8 * log_params + 1.2 * np.log10(size / 96) + 0.4 * np.log10(depth)
    accuracy = 88 - 22 * np.exp(-1.1 * capacity) + 1.5 * rng.standard_normal(8)[family]
    accuracy += np.array([0.0, 0.4, -0.2])[head] + 0.8 * rng.standard_normal(5)[operation]
    accuracy += _waves(cells / (np.array([len(axis) for axis in grid]) - 1), rng)
    accuracy += 0.3 * rng.standard_normal(n)
    low = 10 + 0.8 * accuracy + _waves(cells / 8, rng) + 0.6 * rng.standard_normal(n)
    names = np.array([[str(grid[column][code]) for column, code in enumerate(c)] for c in cells])
    return Table(
        name="made",
        ids=tuple("-".join(row) for row in names),
        accuracy=np.clip(accuracy, 1, 100),
        latency_ms=latency,
        ref_accuracy=REF_ACCURACY,
        latency_scale="log",
        train_s=None,
        prior=None,
        numeric=np.column_stack([log_params, log_macs, np.log10(size), np.log10(width), depth]),
        numeric_names=("log_params", "log_macs", "log_size", "log_width", "depth"),
        labels=names,
        categorical_names=("family", "width", "depth", "size", "head", "operation"),
        accuracy_low=np.clip(low, 1, 100),
        low_cost=LOW_COST,
    )


def _waves(places: Floats, rng: np.random.Generator) -> Floats:
    """Return a smooth function of places ``(n, d)`` with a spread of about 1."""
    slopes = 2.5 * rng.standard_normal((places.shape[1], WAVES))
    phases = rng.uniform(0, 2 * np.pi, WAVES)
    found: Floats = np.cos(places @ slopes + phases).sum(axis=1) * np.sqrt(2 / WAVES)
    return found
