"""Build, train, export and measure every head of a task over many backbones.

    python benchmarks/dense.py --task semantic --csv benchmarks/results/dense_semantic.csv
    python benchmarks/dense.py --task semantic --heads unet,fpn --backbones resnet18 --sizes 128

Of every head, backbone and input size it says whether a rule leaves the combination out before
the search, and else builds it, trains it for one step, exports it, compares the export with eager
PyTorch and times it. What no rule names and fails is named at the end, and the exit status is 1.
"""

from __future__ import annotations

import argparse
import csv
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch.optim import AdamW

from archfront.search.catalog import Backbone, catalog
from archfront.search.latency.key import MeasureSettings
from archfront.search.latency.measure import measure_architecture
from archfront.trainers.spec import Architecture, TrainSettings, Weights
from archfront.trainers.tasks import TASKS
from archfront.trainers.tasks.protocol import Task

BACKBONES = (
    *("resnet10t", "mobilenetv3_small_050", "convnext_atto", "swin_tiny_patch4_window7_224"),
    *("repvit_m0_9", "ghostnet_100", "fastvit_t8", "vit_tiny_patch16_224"),
)


@dataclass(frozen=True)
class Row:
    """What was found of one combination; ``said`` is the rule or the error."""

    head: str
    backbone: str
    input_size: int
    neck: str
    width: int
    depth: int
    outcome: str
    said: str = ""
    params_m: float | None = None
    macs_g: float | None = None
    loss: float | None = None
    latency_ms: float | None = None
    parity: float | None = None
    exporter: str = ""
    size_mb: float | None = None
    seconds: float | None = None


def shaped(task: Task, head: str, row: Backbone, size: int, words: argparse.Namespace) -> dict:
    """Return the fields of ``Architecture`` of one combination."""
    grid = task.grid(head)
    low, high = grid.depths
    return {
        "head": head,
        "backbone": row.name,
        "input_size": size,
        "neck": grid.neck[0],
        "width": words.width if grid.width else 0,
        "depth": min(max(words.depth, low), high) if grid.depth else 0,
    }


def ruled_out(task: Task, head: str, row: Backbone, size: int) -> str | None:
    """Return the rule that leaves a combination out of every space, if one does."""
    refused = task.grid(head).refused(sizes=[size])
    if (misfit := task.misfit(head, row.family, row.strides)) is not None:
        return misfit
    if refused:
        return f"{head} {refused['input_sizes']} px"
    return None if row.takes(size) else f"the backbone takes {row.size_rule}"


def trained(task: Task, a: Architecture) -> float:
    """Return the loss of one training step, after it was taken."""
    settings = TrainSettings(task.metrics[0], 1, 1, 0, 0.0, "one_cycle", "fp32", 1, task.losses[0])
    torch.manual_seed(0)
    model = task.build(a, Weights(), 0.1)
    optimizer = AdamW(model.parameters(), lr=1e-3)
    batch = (task.example(a, 2, 0), task.example_targets(a, 2, 0))
    loss = torch.stack(tuple(task.training_step(model, batch, settings).values())).sum()
    loss.backward()
    idle = [name for name, p in model.named_parameters() if p.grad is None]
    if idle:
        raise ValueError(f"{len(idle)} parameters have no gradient: {', '.join(idle[:3])}")
    optimizer.step()
    return float(loss.detach())


def tried(words: argparse.Namespace, folder: Path) -> Iterator[Row]:
    task = TASKS[words.task]
    settings = MeasureSettings(words.runtime, 1, 1, 2, 5, max_seconds=0.5)
    names, heads = words.backbones.split(","), (words.heads or ",".join(task.heads)).split(",")
    sizes = [int(size) for size in words.sizes.split(",")]
    for name, size, head in product(names, sizes, heads):
        row = catalog()[name]
        shape = shaped(task, head, row, size, words)
        rule = ruled_out(task, head, row, size)
        if rule is not None:
            yield Row(**shape, outcome="left out", said=rule)
            continue
        finest = next((s for s in task.grid(head).finest if s in row.strides), 0)
        a = Architecture(
            words.task,
            classes=words.classes,
            channels=3,
            fused=row.is_fusable,
            finest=finest,
            **shape,
        )
        start = time.perf_counter()
        try:
            loss = trained(task, a)
            m = measure_architecture(a, settings, folder=folder)
        except Exception as error:  # whatever it is, it is told, and the next is tried
            said = f"{type(error).__name__}: {error}"
            yield Row(**shape, outcome="failed", said=said.replace("\n", " "))
            continue
        yield Row(
            **shape,
            outcome="ok",
            params_m=m.params_m,
            macs_g=m.macs_g,
            loss=loss,
            latency_ms=m.latency.p50_ms,
            parity=m.latency.parity,
            exporter=m.latency.exporter,
            size_mb=m.size_mb,
            seconds=time.perf_counter() - start,
        )


def show(rows: Sequence[Row]) -> None:
    """Print one table a size: milliseconds, ``-`` where a rule leaves it out, or FAILED."""
    heads = list(dict.fromkeys(row.head for row in rows))
    cells = {(row.backbone, row.input_size, row.head): row for row in rows}
    wide = max(len(row.backbone) for row in rows) + 2
    for size in dict.fromkeys(row.input_size for row in rows):
        print(f"\n{f'ms at {size} px':<{wide}}" + "".join(f"{head:>15}" for head in heads))
        for name in dict.fromkeys(row.backbone for row in rows):
            found = [cells[name, size, head] for head in heads]
            texts = [
                f"{row.latency_ms:.1f}" if row.latency_ms else "-" * (row.outcome == "left out")
                for row in found
            ]
            print(f"{name:<{wide}}" + "".join(f"{text or 'FAILED':>15}" for text in texts))
    good = [row for row in rows if row.outcome == "ok"]
    failed = [row for row in rows if row.outcome == "failed"]
    rules = dict.fromkeys((row.backbone, row.said) for row in rows if row.outcome == "left out")
    print(f"\n{len(good)} of {len(good) + len(failed)} that no rule leaves out went well")
    if good:
        parity = max(row.parity or 0.0 for row in good)
        exporters = {e: sum(r.exporter == e for r in good) for e in {r.exporter for r in good}}
        print(f"largest parity {parity:.1e}, exporters {exporters}")
    for name, said in rules:
        print(f"left out: {name}: {said}")
    for row in failed:
        print(f"FAILED: {row.head} over {row.backbone} at {row.input_size} px: {row.said[:300]}")


def write(path: Path, rows: Sequence[Row]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [f.name for f in fields(Row)], lineterminator="\n")
        writer.writeheader()
        for row in rows:
            values = asdict(row).items()
            writer.writerow({k: f"{v:.5g}" if isinstance(v, float) else v for k, v in values})


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--task", default="semantic", choices=list(TASKS))
    parser.add_argument("--heads", help="all of the task where not given")
    parser.add_argument("--backbones", default=",".join(BACKBONES))
    parser.add_argument("--sizes", default="64,96")
    parser.add_argument("--width", type=int, default=32, help="of heads that leave it open")
    parser.add_argument("--depth", type=int, default=5, help="the nearest that a head takes")
    parser.add_argument("--classes", type=int, default=4)
    parser.add_argument("--runtime", default="onnxruntime")
    parser.add_argument("--csv", type=Path)
    words = parser.parse_args()
    rows = []
    with TemporaryDirectory() as folder:
        for row in tried(words, Path(folder)):
            rows.append(row)
            print(row.outcome, row.head, row.backbone, row.input_size, file=sys.stderr, flush=True)
    show(rows)
    if words.csv:
        write(words.csv, rows)
    return int(any(row.outcome == "failed" for row in rows))


if __name__ == "__main__":
    sys.exit(main())
