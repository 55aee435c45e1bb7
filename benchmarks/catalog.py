"""The catalog in figures: how complete it is, how true, and how soon it answers.

::

    python benchmarks/catalog.py
    python benchmarks/catalog.py --build built.csv --workers 2
    python benchmarks/catalog.py --published zoo-i7-r.csv.gz zoo-4090-sketch.csv.gz

Loading, selecting and building a space of the whole catalog is timed in fresh processes, the
median of so many runs, without the start of Python. A build is timed only when asked for.

Published figures are tables of timm's results with the columns id, n_log_macs, n_log_acts and
n_log_size: natural logarithms of billions, millions and pixels. Of two rows for one network the
later counts: those of timm's GPU tables are of fused networks, as the catalog's are.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import math
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from archfront.search.catalog import catalog, timm_version

AIM_S = 0.3
COMPLETE = 0.99
LOAD = """
import time
from archfront.search.config.build import build
from archfront.search.config.compose import compose
from archfront.search.prepare.select_backbones import select
from archfront.search.prepare.build_space import build_space
from archfront.search.prepare.fit_space import fit_space
from archfront.trainers.spec import Weights
content = compose(["space=timm", "data=digits"]).content
config = build(content).space
start = time.perf_counter()
rows = select(config)
selected = time.perf_counter()
fitted = fit_space(config, "classification").config
space = build_space(fitted, rows, {r.name: Weights() for r in rows}, task="classification",
                    classes=10, channels=3)
n = len(space.architectures)
built = time.perf_counter()
import sys
assert not {"torch", "timm"} & set(sys.modules)
print(selected - start, built - selected, len(rows), n)
"""


def main() -> None:
    options = _options()
    if options.build:
        from archfront.search.catalog.build_catalog import build

        start = time.perf_counter()
        rows = build(options.build, workers=options.workers)
        print(f"built {len(rows)} rows in {time.perf_counter() - start:.0f} s")
    _coverage()
    if options.published:
        _agreement(options.published)
    _start(options.runs)


def _agreement(paths: Sequence[Path]) -> None:
    """Print how far MACs and activations are from published ones of more than 0.5 G MACs."""
    rows = {}
    for path in paths:
        with gzip.open(path, "rt", encoding="utf-8") as file:
            rows.update(((row["id"], row["n_log_size"]), row) for row in csv.DictReader(file))
    groups: dict[str, list[tuple[float, float]]] = {}
    for row in rows.values():
        known = catalog()[row["id"].partition(".")[0]]
        macs, acts, size = (math.exp(float(row[f"n_log_{n}"])) for n in ("macs", "acts", "size"))
        if macs > 0.5:
            costs = known.costs_at(round(size))
            is_exact = round(size) in dict(known.costs)
            kind = "fused" if known.is_fusable else "in the table" if is_exact else "interpolated"
            groups.setdefault(kind, []).append((costs.macs_g / macs, costs.acts_m / acts))
    for kind, ratios in groups.items():
        for name, column in zip(("MACs", "activations"), zip(*ratios, strict=True), strict=True):
            off = np.quantile([abs(ratio - 1) for ratio in column], (0.5, 0.9, 0.99, 1))
            print(f"  {len(column):>4} {kind}, {name} off by (50, 90, 99, 100 %): {off.round(4)}")


def _coverage() -> None:
    rows = list(catalog().values())
    print(f"timm {timm_version()}: {len(rows)} architectures")
    parts = {
        "parameters": sum(row.params_m == row.params_m for row in rows),
        "costs": sum(row.is_built for row in rows),
        "strides": sum(bool(row.strides) for row in rows),
        "heads": sum(bool(row.heads) for row in rows),
        "weights": sum(bool(row.tags) for row in rows),
        "top-1": sum(row.top1 is not None for row in rows),
        "top-1 of the default weights": sum(row.default_published is not None for row in rows),
    }
    all_three = sum(row.is_built and bool(row.strides) for row in rows)
    for name, count in parts.items():
        print(f"  {name:<30} {count:>5}  {count / len(rows):.1%}")
    verdict = "" if all_three >= COMPLETE * len(rows) else f"  under {COMPLETE:.0%}"
    print(f"  {'the first three':<30} {all_three:>5}  {all_three / len(rows):.1%}{verdict}")
    print(f"  sizes: {dict(Counter(row.sizes for row in rows if row.is_built))}")
    print(f"  fusable: {sum(row.is_fusable for row in rows)}")
    tags = [tag for row in rows for tag in row.tags]
    unknown = sum("?" in tag.data for tag in tags)
    print(f"  weights: {len(tags)}, of unknown data {unknown}")
    for row in rows:
        if row.problem:
            print(f"  {row.name}: {row.problem}")


def _start(runs: int) -> None:
    found = []
    for _ in range(runs):
        command = [sys.executable, "-c", LOAD]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        found.append([float(word) for word in done.stdout.split()])
    load, space = ([taken[i] for taken in found] for i in (0, 1))
    n_backbones, n_architectures = map(int, found[0][2:])
    total = statistics.median(a + b for a, b in zip(load, space, strict=True))
    verdict = "" if total <= AIM_S else f"  over {AIM_S}"
    print(
        f"space=timm, {n_backbones} backbones, {n_architectures} architectures: load and select "
        f"{statistics.median(load):.3f} s, space {statistics.median(space):.3f} s, "
        f"both {total:.3f} s{verdict} (median of {runs})"
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", type=Path, metavar="FILE", help="build into a file, timed")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--published", type=Path, nargs="*", metavar="FILE")
    parser.add_argument("--runs", type=int, default=5)
    return parser.parse_args()


if __name__ == "__main__":
    main()
