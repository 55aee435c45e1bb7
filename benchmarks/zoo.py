"""Export, match and measure many timm architectures in several runtimes.

    python benchmarks/zoo.py --csv benchmarks/results/zoo.csv
    python benchmarks/zoo.py --per-family 1 --runtimes eager,onnxruntime

Takes up to ``--per-family`` networks of every family of the catalog that fit ``--macs-g-max`` at
the input size, exports each, compares it with eager PyTorch, times it, and prints the share that
went well, the seconds it took, and how alike the runtimes rank. What is measured stays in
``--db``, from which a stopped run goes on.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from rich.progress import track
from scipy.stats import spearmanr

from archfront.search.catalog import Backbone, catalog
from archfront.search.commands.device_text import composed_config
from archfront.search.config.settings import measure_settings
from archfront.search.engine.engines import ENGINES
from archfront.search.engine.jobs import Done, Job
from archfront.search.jobs.perform import MeasureRequest, perform
from archfront.search.latency.database import LatencyTable
from archfront.search.latency.device import fingerprint
from archfront.search.latency.lookup import DeviceCosts
from archfront.search.records.evaluation import Failed, Measurement
from archfront.trainers.spec import Architecture

COLUMNS = ("runtime", "backbone", "family", "input_size", "fused", "latency_ms", "p95_ms")
COLUMNS += ("interval", "is_stable", "exporter", "parity", "memory_mb", "size_mb", "seconds")


def chosen(size: int, macs_g_max: float, per_family: int, seed: int) -> list[Backbone]:
    families: dict[str, list[Backbone]] = {}
    for row in catalog().values():
        fits = row.is_built and row.takes(size) and row.costs_at(size).macs_g <= macs_g_max
        if fits and not row.name.startswith("test_"):
            families.setdefault(row.family, []).append(row)
    rng = np.random.default_rng(seed)
    return [
        members[i]
        for members in families.values()
        for i in sorted(rng.permutation(len(members))[:per_family])
    ]


def measured(
    rows: list[Backbone], size: int, runtimes: list[str], db: Path
) -> Iterator[tuple[Backbone, str, Measurement | Failed]]:
    asked = {}
    for runtime in runtimes:
        settings = measure_settings(composed_config([f"hardware.runtime={runtime}"], db))
        asked[runtime] = settings, DeviceCosts(LatencyTable(db), settings)
    with (
        TemporaryDirectory() as folder,
        ENGINES["processes"](perform, workers=1, threads=None) as engine,
    ):
        for row in track(rows, description="measuring"):
            a = Architecture("classification", row.name, "timm", size, 1000, 3, row.is_fusable)
            for runtime in runtimes:
                settings, known = asked[runtime]
                found = known.lookup(a)
                if found is None:
                    request = MeasureRequest(a, settings, Path(folder))
                    result = engine.submit(Job("measure", request, is_exclusive=True)).result()
                    is_done = isinstance(result, Done)
                    found = result.value if is_done else Failed(result.kind, result.message)
                    known.learn(a, found)
                yield row, runtime, found


def write(path: Path, found: list[tuple[Backbone, str, Measurement]], size: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for row, runtime, m in found:
            t = m.latency
            first = (runtime, row.name, row.family, size, row.is_fusable)
            rest = (t.interval, t.is_stable, t.exporter, t.parity, m.memory_mb, m.size_mb)
            numbers = (t.p50_ms, t.p95_ms, *rest, m.seconds)
            writer.writerow(
                [*first, *(f"{n:.5g}" if isinstance(n, float) else n for n in numbers)]
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runtimes", default="eager,onnxruntime,openvino")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--per-family", type=int, default=2)
    parser.add_argument("--macs-g-max", type=float, default=5.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, help="only so many networks")
    parser.add_argument("--db", type=Path, default=Path("zoo.db"))
    parser.add_argument("--csv", type=Path)
    words = parser.parse_args()
    runtimes = words.runtimes.split(",")
    rows = chosen(words.size, words.macs_g_max, words.per_family, words.seed)[: words.first]
    print(
        f"{len(rows)} architectures of {len({r.family for r in rows})} families, {fingerprint()}"
    )
    results = list(measured(rows, words.size, runtimes, words.db))
    good = [(row, runtime, m) for row, runtime, m in results if isinstance(m, Measurement)]
    for row, runtime, found in results:
        if isinstance(found, Failed):
            print(f"{runtime} {row.name}: {found}"[:240])
    for runtime in runtimes:
        mine = [m for _, name, m in good if name == runtime]
        middle, slow = np.quantile([m.seconds for m in mine], (0.5, 0.9))
        exporters = sorted({m.latency.exporter for m in mine})
        counts = {e: sum(m.latency.exporter == e for m in mine) for e in exporters}
        print(
            f"{runtime}: {len(mine)} of {len(rows)} ({len(mine) / len(rows):.1%}), exporters "
            f"{counts}, seconds median {middle:.2f} p90 {slow:.2f}"
            f", stable {np.mean([m.latency.is_stable for m in mine]):.0%}, "
            f"largest parity {max((m.latency.parity or 0.0) for m in mine):.1e}"
        )
    by_name = {(runtime, row.name): m.latency.p50_ms for row, runtime, m in good}
    for one, other in combinations(runtimes, 2):
        both = [r.name for r in rows if (one, r.name) in by_name and (other, r.name) in by_name]
        pairs = np.array([(by_name[one, n], by_name[other, n]) for n in both])
        print(f"Spearman {one} / {other}: {spearmanr(*pairs.T)[0]:.4f} over {len(both)}")
    for runtime in runtimes:
        mine = [
            (r.costs_at(words.size).macs_g, m.latency.p50_ms) for r, n, m in good if n == runtime
        ]
        print(f"Spearman MACs / {runtime}: {spearmanr(*np.array(mine).T)[0]:.4f}")
    if words.csv:
        write(words.csv, good, words.size)


if __name__ == "__main__":
    main()
