"""A study with tiles against the same study without, on drawn images with small objects.

Both search the same space without weights for the same minutes and under the same limit of the
latency of an image, which with tiles is that of all its tiles. They run at the same time, each
with one thread on a core of its own; which core is whose changes with the seed. What is compared
is the best metric of the validation images, which are whole in both.

Aim, for each run: a best metric with tiles that is not below the one without. The exit status is 1
if a run misses it.

20 minutes on two quiet cores, with 3 seeds:

    python benchmarks/tiles.py
    python benchmarks/tiles.py --side 1536 --tile 320 --limit-ms 300

A run is added to ``--out`` when it is done, and not done again by the same command.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from race import RESULTS, Racer, Row, absolute, archfront, folder_of, raced
from race_records import Aim, Course, missed, ratio, read_course
from race_results import print_end, run_all

NAMES = ("square", "disc")
SPLITS = {"train": 0.75, "val": 0.25}
RATIO = 1.0
COLUMNS = (
    *("side", "object_px", "tile", "limit_ms", "minutes", "seed"),
    *("tiled", "tiled_low", "tiled_high", "whole", "whole_low", "whole_high", "ratio"),
    *("tiled_ms", "whole_ms", "tiled_seen", "whole_seen"),
)


def draw(folder: Path, n_images: int, *, side: int, object_px: int, seed: int = 0) -> Path:
    """Write images with squares and discs on a textured ground, with YOLO's files, and return it.

    Args:
        folder: Target; one that is there already is left as it is.
        n_images: Of both splits.
        side: Of an image, in px.
        object_px: Diameter of an object.
        seed: Decides everything that is drawn.
    """
    if (folder / "data.yaml").is_file():
        return folder
    rng = np.random.default_rng(seed)
    for split, share in SPLITS.items():
        images, labels = folder / split / "images", folder / split / "labels"
        images.mkdir(parents=True, exist_ok=True)
        labels.mkdir(parents=True, exist_ok=True)
        for number in range(round(share * n_images)):
            pixels, rows = _drawn(rng, side, object_px)
            Image.fromarray(pixels).save(images / f"{number}.png", compress_level=1)
            text = "".join(f"{label} {' '.join(f'{v:.6f}' for v in box)}\n" for label, box in rows)
            (labels / f"{number}.txt").write_text(text, encoding="utf-8")
    lines = ["train: train/images", "val: val/images", f"names: [{', '.join(NAMES)}]"]
    (folder / "data.yaml").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def _drawn(
    rng: np.random.Generator, side: int, object_px: int
) -> tuple[NDArray[np.uint8], list[tuple[int, tuple[float, ...]]]]:
    """Return an image and its objects: label, and center, width and height as shares."""
    coarse = rng.integers(60, 140, (side // 32 + 1, side // 32 + 1, 3), np.uint8)
    ground = Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC)
    pixels = np.asarray(ground).astype(np.float32) + rng.normal(0, 12, (side, side, 1))
    rows = []
    offsets = np.arange(object_px) + 0.5 - object_px / 2
    disc = np.hypot(*np.meshgrid(offsets, offsets)) <= object_px / 2
    n_cells = side // (2 * object_px)  # an object each, so that none hides another
    for cell in rng.choice(n_cells**2, rng.integers(4, 13), replace=False):
        x, y = np.array(divmod(cell, n_cells)) * 2 * object_px + rng.integers(0, object_px + 1, 2)
        label = int(rng.integers(len(NAMES)))
        inside = disc if label else np.ones_like(disc)
        part = pixels[y : y + object_px, x : x + object_px]
        part[inside] += rng.choice([-1, 1]) * rng.uniform(45, 80)
        center = ((x + object_px / 2) / side, (y + object_px / 2) / side)
        rows.append((label, (*center, object_px / side, object_px / side)))
    return pixels.clip(0, 255).astype(np.uint8), rows


def words_of(options: argparse.Namespace, data: Path) -> list[str]:
    """Return the words that both studies share."""
    return [
        "data=yolo",
        f"data.root={data}",
        "task=detection",
        "space=detection",
        "space.heads=[yolo]",
        "space.weights=none",
        "task.metric=map50",
        f"hardware.limits.latency_ms={options.limit_ms:g}",
        *options.word,
    ]


def racers_of(options: argparse.Namespace, data: Path, settings: Row, folder: Path) -> list[Racer]:
    """Return the study with tiles and the one without."""
    shared, minutes, seed = words_of(options, data), settings["minutes"], settings["seed"]
    words = {"tiled": [f"data.tiles={options.tile}"], "whole": []}
    return [
        replace(archfront(folder / name, [*shared, *own], minutes=minutes, seed=seed), name=name)
        for name, own in words.items()
    ]


def figures_of(tiled: Course, whole: Course) -> Row:
    """Return the figures of a run."""
    found: Row = {}
    for name, course in (("tiled", tiled), ("whole", whole)):
        best = course.best
        found |= {
            name: None if best is None else best.metric,
            f"{name}_low": None if best is None else best.low,
            f"{name}_high": None if best is None else best.high,
            f"{name}_ms": None if best is None else best.latency_ms,
            f"{name}_seen": course.n_seen,
        }
    return {**found, "ratio": ratio(found["tiled"], found["whole"])}


def aims_of(figures: Row) -> list[Aim]:
    """Return the aim of a run: met, too, where nothing is found without tiles."""
    if not figures["whole"]:
        return [Aim("best metric with tiles", figures["tiled"], 1e-6, "at least")]
    return [Aim("best metric with tiles over that without", figures["ratio"], RATIO, "at least")]


def run(options: argparse.Namespace, data: Path, settings: Row, folder: Path) -> Row:
    """Race once and return the run's row."""
    minutes, seed = settings["minutes"], settings["seed"]
    ended = raced(racers_of(options, data, settings, folder), minutes, turn=seed)
    courses = {
        name: read_course(folder / name / "root", started=one.started, seconds=60 * minutes)
        for name, one in ended.items()
    }
    figures = figures_of(courses["tiled"], courses["whole"])
    aims = aims_of(figures)
    for aim in aims:
        print(f"  {aim}", flush=True)
    for name, one in ended.items():
        if one.status != 0:
            print(f"  {name} ended with {one.status}: {courses[name].reason}", flush=True)
    seconds = round(max(one.seconds for one in ended.values()), 1)
    return {
        "settings": settings,
        "figures": {
            **figures,
            "n_late": sum(course.n_late for course in courses.values()),
            "ended_s": seconds,
            "missed": missed(aims),
        },
        "aims": [aim.as_row() for aim in aims],
        "ended": {name: one.as_row() for name, one in ended.items()},
        **{name: course.as_row() for name, course in courses.items()},
    }


def settings_of(options: argparse.Namespace, minutes: float, seed: int) -> Row:
    """Return what decides a run, without any path."""
    return {
        "images": options.images,
        "side": options.side,
        "object_px": options.object_px,
        "tile": options.tile,
        "limit_ms": options.limit_ms,
        "minutes": minutes,
        "seed": seed,
        "words": options.word,
    }


def main() -> int:
    options = options_of()
    folder = folder_of(options, "tiles")
    name = f"drawn-{options.images}-{options.side}-{options.object_px}"
    data = draw(folder / name, options.images, side=options.side, object_px=options.object_px)
    runs = run_all(
        options.out,
        folder,
        [settings_of(options, m, seed) for m in options.minutes for seed in range(options.seeds)],
        lambda settings, place: run(options, data, settings, place),
    )
    return print_end(runs, COLUMNS, options.out)


def options_of(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=80, help="of both splits")
    parser.add_argument("--side", type=int, default=1024, help="of an image, in px")
    parser.add_argument("--object-px", type=int, default=10, help="diameter of an object")
    parser.add_argument("--tile", type=int, default=256, help="side of a tile, in px")
    parser.add_argument("--limit-ms", type=float, default=150.0, help="latency of an image")
    parser.add_argument("--minutes", type=float, nargs="+", default=[6.0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--word", action="append", default=[], help="one more for archfront run")
    parser.add_argument("--folder", type=absolute, help="for files (default: a new temporary one)")
    parser.add_argument("--out", type=Path, default=RESULTS / "tiles.json")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
