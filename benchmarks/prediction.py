"""Predicted against measured latencies, beside a fit on MACs alone.

    python benchmarks/zoo.py --csv benchmarks/results/zoo.csv
    python benchmarks/prediction.py benchmarks/results/zoo.csv

For every runtime of the file: fit on ``--fit`` architectures drawn at random, predict all others,
``--splits`` times; the means over the splits of the median relative error, the rank correlation
and the share that lies in the 90 % band.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import numpy as np
from scipy.stats import spearmanr

from archfront.search.latency.predicted import LatencyModel, work
from archfront.trainers.spec import Architecture


def read(path: Path) -> dict[str, tuple[list[Architecture], np.ndarray]]:
    found: dict[str, list[tuple[Architecture, float]]] = {}
    with path.open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            size, fused = int(row["input_size"]), row["fused"] == "True"
            a = Architecture("classification", row["backbone"], "timm", size, 1000, 3, fused)
            found.setdefault(row["runtime"], []).append((a, float(row["latency_ms"])))
    return {n: ([a for a, _ in rows], np.array([t for _, t in rows])) for n, rows in found.items()}


def by_macs(macs: np.ndarray, ms: np.ndarray, fit: np.ndarray, rest: np.ndarray) -> np.ndarray:
    """Return latencies by a line through log latency over log MACs."""
    line = np.polyfit(np.log(macs[fit]), np.log(ms[fit]), 1)
    return np.exp(np.polyval(line, np.log(macs[rest])))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", type=Path)
    parser.add_argument("--fit", type=int, default=32)
    parser.add_argument("--splits", type=int, default=20)
    words = parser.parse_args()
    for runtime, (architectures, ms) in read(words.file).items():
        macs = work(architectures)[:, :4].sum(axis=1)
        rows = []
        for split in range(words.splits):
            order = np.random.default_rng(split).permutation(len(ms))
            fit, rest = order[: words.fit], order[words.fit :]
            model = LatencyModel([architectures[i] for i in fit], ms[fit])
            band = model.predict([architectures[i] for i in rest])
            simple = by_macs(macs, ms, fit, rest)
            rows.append(
                (
                    np.median(np.abs(band.p50_ms / ms[rest] - 1)),
                    np.median(np.abs(simple / ms[rest] - 1)),
                    spearmanr(band.p50_ms, ms[rest])[0],
                    spearmanr(simple, ms[rest])[0],
                    np.mean((band.low_ms <= ms[rest]) & (ms[rest] <= band.high_ms)),
                    np.median(band.high_ms / band.p50_ms),
                )
            )
        means = np.mean(rows, axis=0)
        print(
            f"{runtime}: {words.fit} fitted, {len(ms) - words.fit} predicted, {words.splits} "
            f"splits: median error {means[0]:.3f} (MACs alone {means[1]:.3f}, ratio "
            f"{means[0] / means[1]:.2f}), Spearman {means[2]:.4f} ({means[3]:.4f}), in the band "
            f"{means[4]:.1%}, band up to {means[5]:.2f} x"
        )


if __name__ == "__main__":
    main()
