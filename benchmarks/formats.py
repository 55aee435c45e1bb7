"""Every export format over tasks and backbones: parity, metric, latency before and after.

    python benchmarks/formats.py --task detection --csv benchmarks/results/formats.csv
    python benchmarks/formats.py --task semantic --backbones resnet10t,convnext_atto --epochs 20

Each backbone is trained for a few epochs on drawn shapes with the task's first head, exported in
every format, and each artifact is scored on the validation split in its own runtime and measured.
Rows are appended to the table, which ``--table`` prints as Markdown. float32 has to give the
checkpoint's metric within 0.1 point, and int8 within 2 points or a mark; the exit status is 1
where one does not.
"""

from __future__ import annotations

import argparse
import csv
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from archfront.search.config.build import build
from archfront.search.config.compose import compose
from archfront.search.config.schema import Config
from archfront.search.config.settings import measure_settings, train_settings, with_metric
from archfront.search.export.export_request import ExportRequest
from archfront.search.export.ship import export_member
from archfront.search.formats.formats import FORMATS, formats_named
from archfront.search.latency.measure import measure_architecture
from archfront.search.predict.manifest import Manifest
from archfront.search.prepare.data_reference import data_ref
from archfront.search.prepare.recorded import Study
from archfront.search.records.candidate import Candidate
from archfront.search.records.evaluation import Evaluation, Trained
from archfront.search.records.header import Environment, SpaceFacts, StudyHeader
from archfront.search.records.objectives import Reference
from archfront.search.results.select_members import Member
from archfront.trainers.data import Dataset, load
from archfront.trainers.spec import Architecture, Recipe, Weights
from archfront.trainers.tasks import TASKS
from archfront.trainers.training import proxy

# One of each family; the last one has blocks that are merged.
BACKBONES = ("resnet10t", "mobilenetv3_small_050", "convnext_atto", "repvit_m0_9")
FP32_POINTS, INT8_POINTS = 0.001, 0.02
LR = 1e-3


@dataclass(frozen=True)
class Row:
    """What was found of one format of one network; ``said`` is why there is none."""

    task: str
    backbone: str
    head: str
    format: str
    precision: str
    metric: str
    checkpoint: float
    artifact: float | None = None
    parity: float | None = None
    drawn_ms: float | None = None
    p50_ms: float | None = None
    size_mb: float | None = None
    marked: str = ""
    said: str = ""


def rows_of(task_name: str, backbone: str, words: argparse.Namespace) -> Iterator[Row]:
    """Yield a row a format of a network that is trained here."""
    content = compose(
        [
            f"experiment=shapes_{task_name}",
            f"data.shapes.images={words.images}",
            f"hardware.max_seconds={words.seconds}",
            f"task.epochs={words.epochs}",
        ]
    )
    config = build(content.content, texts=content.texts)
    dataset = load(data_ref(config))
    study = Study(config, _header(config, dataset))
    of = candidate(task_name, backbone, len(dataset.class_names), dataset.channels)
    with TemporaryDirectory() as temporary:
        folder = Path(temporary)
        result = proxy.train(
            of.architecture,
            of.weights,
            of.recipe,
            data_ref(config),
            train_settings(config, "fp32"),
            folder=folder / "trained",
        )
        # As the search measures it before any training: drawn weights.
        measured = measure_architecture(
            of.architecture, measure_settings(config), folder=folder / "trained"
        )
        metric = with_metric(config).task.metric
        outcome = Trained(
            metric=result.metrics[metric],
            metric_low=0.0,
            metric_high=1.0,
            metrics=result.metrics,
            curve=tuple(asdict(row) for row in result.curve),
            seconds=result.seconds,
            predictions=str(result.predictions),
            weights=str(result.weights),
        )
        evaluation = Evaluation(0, of, 0, config.seed, 0, measured, outcome, time.time(), 0.0)
        origin = {"kind": "proxy", "seed": config.seed, "epochs": config.task.epochs}
        member = Member(evaluation, result.weights, origin)
        order = ExportRequest(tuple(formats_named([n for n in FORMATS if n != "mlflow"])))
        manifest = export_member(study, member, order, folder / "export")
    yield from table_of(manifest, of, measured.latency.p50_ms)


def _header(config: Config, dataset: Dataset) -> StudyHeader:
    """Return the header of a study that was never run: what an export reads of it."""
    return StudyHeader(
        id="formats",
        started=0.0,
        config=config.as_dict(),
        identity=config.question(),
        dataset=dataset.summary(),
        space=SpaceFacts(1, 1, 1, "", ()),
        objectives=(),
        rungs=(config.task.epochs,),
        environment=Environment({}, ""),
        reference=Reference({}),
        precision="fp32",
    )


def candidate(task_name: str, backbone: str, classes: int, channels: int) -> Candidate:
    """Return a small network of a task's first head."""
    from archfront.search.catalog import catalog

    task = TASKS[task_name]
    head = task.heads[0]
    grid = task.grid(head)
    architecture = Architecture(
        task_name,
        backbone,
        head,
        64,
        classes,
        channels,
        fused=catalog()[backbone].is_fusable,
        width=32 if grid.width else 0,
        depth=max(1, grid.depths[0]) if grid.depth else 0,
        neck="fpn" if "fpn" in grid.neck else "none",
        finest=grid.finest[0] if grid.finest else 0,
    )
    return Candidate(architecture, Weights(), Recipe(LR, 0.01, 16, "none", 0.0))


def table_of(manifest: Manifest, of: Candidate, drawn_ms: float) -> Iterator[Row]:
    """Yield what a manifest says, format by format."""
    a = of.architecture
    for name, entry in FORMATS.items():
        plain = Row(
            task=a.task,
            backbone=a.backbone,
            head=a.head,
            format=name,
            precision=entry.precision,
            metric=manifest.metric,
            checkpoint=manifest.metrics[manifest.metric],
            drawn_ms=drawn_ms,
        )
        if name in manifest.failed:
            yield replace(plain, said=manifest.failed[name])
        elif name in manifest.artifacts:
            artifact = manifest.artifacts[name]
            assert artifact.latency is not None
            yield replace(
                plain,
                artifact=artifact.metrics[manifest.metric],
                parity=artifact.parity,
                p50_ms=artifact.latency["p50_ms"],
                size_mb=artifact.size_mb,
                marked="; ".join(artifact.marks),
            )


def is_right(row: Row) -> bool:
    """Return whether a format keeps what it promises."""
    if row.artifact is None:
        return row.said.endswith("to those that can.")
    lost = row.checkpoint - row.artifact
    if row.precision == "fp32":
        return abs(lost) <= FP32_POINTS
    return lost <= INT8_POINTS or bool(row.marked)


def markdown(rows: Sequence[Row]) -> str:
    """Return a line a task and format: how many, largest parity and loss, median latencies."""
    lines = [
        "| task | format | made | parity, most | points lost, most | marked | p50 ms, median |",
        "|---|---|---|---|---|---|---|",
    ]
    keys = dict.fromkeys((row.task, row.format) for row in rows)
    for task, name in keys:
        mine = [row for row in rows if (row.task, row.format) == (task, name)]
        made = [row for row in mine if row.artifact is not None]
        if not made:
            lines.append(f"| {task} | {name} | 0 of {len(mine)} | | | | |")
            continue
        lost = max(100 * (row.checkpoint - (row.artifact or 0)) for row in made)
        lines.append(
            f"| {task} | {name} | {len(made)} of {len(mine)} | "
            f"{max(row.parity or 0 for row in made):.1e} | {lost:.2f} | "
            f"{sum(bool(row.marked) for row in made)} | "
            f"{statistics.median(row.p50_ms or 0 for row in made):.2f} |"
        )
    return "\n".join(lines)


def main() -> int:
    words = _words()
    if words.table:
        with words.csv.open(encoding="utf-8") as file:
            print(markdown([_read(line) for line in csv.DictReader(file)]))
        return 0
    found: list[Row] = []
    for backbone in words.backbones.split(","):
        started = time.monotonic()
        for row in rows_of(words.task, backbone, words):
            found.append(row)
            _append(words.csv, row)
            value = "none" if row.artifact is None else f"{row.artifact:.4f}"
            verdict = "" if is_right(row) else "  WRONG"
            print(
                f"{row.task} {row.backbone} {row.format}: {row.metric} {row.checkpoint:.4f} to "
                f"{value} {row.marked}{row.said}{verdict}",
                flush=True,
            )
        print(f"{backbone}: {time.monotonic() - started:.0f} s", flush=True)
    return 0 if all(map(is_right, found)) else 1


def _append(file: Path | None, row: Row) -> None:
    if file is None:
        return
    names = [field.name for field in fields(Row)]
    is_new = not file.is_file()
    with file.open("a", newline="", encoding="utf-8") as out:
        writer = csv.DictWriter(out, names, lineterminator="\n")
        if is_new:
            writer.writeheader()
        values = {k: f"{v:.6g}" if isinstance(v, float) else v for k, v in asdict(row).items()}
        writer.writerow(values)


def _read(line: dict[str, str]) -> Row:
    numbers = ("checkpoint", "artifact", "parity", "drawn_ms", "p50_ms", "size_mb")
    values: dict[str, object] = dict(line)
    for name in numbers:
        values[name] = float(line[name]) if line[name] else None
    return Row(**values)  # type: ignore[arg-type]  # read from text


def _words() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--task", choices=list(TASKS), default="classification")
    parser.add_argument("--backbones", default=",".join(BACKBONES))
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=0.5, help="of one timing, at most")
    parser.add_argument("--csv", type=Path, help="where rows are appended")
    parser.add_argument("--table", action="store_true", help="print the rows of --csv and end")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
