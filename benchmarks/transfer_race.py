"""archfront against ``plain_transfer.py`` on pretrained networks, in the same minutes.

Both get the same images, weights, networks and input sizes, and run at the same time, each with
one thread on a core of its own; which core is whose changes with the seed. Seconds count from the
start of each process, with all imports. The script's front may hold every model that it finished;
archfront's is its own front, as its records have it. Both choose by the validation images, which
are the same. The script has the networks as timm ends them; archfront chooses among its heads, of
which ``truncated`` makes networks that are faster than any of the script's.

A hypervolume is the metric above chance times halvings of the latency below a reference, which is
a tenth above the slowest network of either. When both have ended, the latency of every network of
either is measured by archfront's clock on ONNX Runtime, one thread, nothing beside it; what a
racer measured itself counts for its choices, not for the hypervolume. The script's networks take
color, archfront's the channels that the images have.

Aims, for each run: archfront's first member after at most 60 s, and at most 1.2 times the
script's first model; its best metric not below the script's beyond its own interval; hypervolume
at least 1.1 times the script's; after two minutes never an empty front. The exit status is 1 if a
run misses one, and the words say which.

An hour and a half a dataset on two quiet cores, with 3 and 6 minutes and 3 seeds:

    python benchmarks/transfer_race.py --data PIECES --weights WEIGHTS --metric balanced_accuracy
    python benchmarks/transfer_race.py --data FASHION_MNIST --weights WEIGHTS \
        --train-images 1000 --val-images 500

The data folder holds ``train`` and ``val``, each with a folder of images per class. A run is added
to ``--out`` when it is done, and not done again by the same command.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from race import (
    Row,
    absolute,
    add_common,
    add_shares,
    archfront,
    folder_of,
    listed,
    raced,
    script,
    shared,
)
from race_clock import Latencies
from race_records import Aim, Course, ratio, read_course
from race_results import print_end, run_all, told
from transfer_curves import hypervolume_over_time

from archfront.search.front.intervals import chance_level
from archfront.trainers.spec import Architecture

BACKBONES = ("tf_efficientnet_lite0", "tf_efficientnet_lite1", "tf_efficientnet_lite2")
SIZES = (96, 128, 160)
FIRST_S, FIRST_RATIO, VOLUME_RATIO, NEVER_EMPTY_S = 60.0, 1.2, 1.1, 120.0
SLOWER = 1.1  # the reference over the slowest network
COLUMNS = (
    *("data", "minutes", "seed", "first_s", "script_first_s", "best", "low", "high"),
    *("script_best", "volume_ratio", "ratio_most", "members", "n_seen", "n_full"),
)


def words_of(options: argparse.Namespace, data: Path) -> list[str]:
    """Return archfront's words for the data, the networks and the metric."""
    return [
        "data=folder",
        f"data.root={data}",
        f"task.metric={options.metric}",
        f"space.backbones={listed(options.backbones)}",
        f"space.input_sizes={listed(options.sizes)}",
        f"space.weights={options.weights}",
        "space.weights_missing=stop",
        *options.word,
    ]


def script_words(options: argparse.Namespace, data: Path, minutes: float, seed: int) -> list[str]:
    """Return the same for the script."""
    return [
        *("--data", str(data), "--weights", str(options.weights)),
        *("--backbones", ",".join(options.backbones), "--metric", options.metric),
        *("--sizes", ",".join(map(str, options.sizes)), "--minutes", f"{minutes:g}"),
        *("--seed", str(seed), "--threads", "1"),
    ]


def models_of(lines: Sequence[Row], seconds: float) -> list[Row]:
    """Return the script's models that were finished in time."""
    return [row for row in lines if row["stage"] != "test" and row["seconds"] <= seconds]


def network_of(row: Row, classes: int) -> Architecture:
    """Return the network of a script's model, as archfront's clock takes it."""
    return Architecture("classification", row["network"], "timm", row["input_size"], classes, 3)


def volumes(
    course: Course,
    models: Sequence[Row],
    latencies_ms: dict[Architecture, float],
    *,
    metric: str,
    worst: float,
    classes: int,
) -> Row:
    """Return the hypervolumes of archfront's last front and of all of the script's models.

    ``perfect_volume`` is that of one network without an error that is as fast as the fastest of
    all: over the script's it is the ratio that no search can surpass.
    """
    members = [
        {
            "seconds": member.seconds,
            "stage": "member",
            metric: member.metric,
            "latency_ms": latencies_ms[member.architecture],
        }
        for member in course.members
    ]
    others = [{**m, "latency_ms": latencies_ms[network_of(m, classes)]} for m in models]
    times_ms = [row["latency_ms"] for row in (*members, *others)]
    slowest_ms = SLOWER * max(times_ms, default=1.0)
    perfect = {"seconds": 0.0, "stage": "member", metric: 1.0}
    perfect["latency_ms"] = min(times_ms, default=slowest_ms)
    found: Row = {}
    volumes_of = {"volume": members, "script_volume": others, "perfect_volume": [perfect]}
    for name, rows in volumes_of.items():
        curve = hypervolume_over_time(rows, metric, worst=worst, slowest_ms=slowest_ms)
        found[name] = curve[-1][1] if curve else 0.0
    return found


def figures_of(course: Course, models: Sequence[Row], metric: str) -> Row:
    """Return the figures of a run but for its hypervolumes."""
    return {
        **course.figures(),
        "least_members": course.least_members(NEVER_EMPTY_S),
        "script_first_s": models[0]["seconds"] if models else None,
        "script_best": max((m[metric] for m in models), default=None),
        "script_models": len(models),
    }


def aims_of(figures: Row, minutes: float) -> list[Aim]:
    """Return the aims of a run; there is none after two minutes where it had no more."""
    first, bound = figures["first_s"], figures["script_first_s"]
    aims = [
        Aim("seconds to the first member", first, FIRST_S, "at most"),
        Aim("the same over the script's", ratio(first, bound), FIRST_RATIO, "at most"),
        Aim(
            "upper end of the best metric's interval",
            figures["high"],
            figures["script_best"] or 0.0,
            "at least",
        ),
        Aim("hypervolume over the script's", figures["volume_ratio"], VOLUME_RATIO, "at least"),
    ]
    if 60 * minutes > NEVER_EMPTY_S:
        name = "fewest members after two minutes"
        aims.append(Aim(name, figures["least_members"], 1, "at least"))
    return aims


def val_counts(data: Path) -> list[int]:
    """Return the validation images of each class."""
    classes = sorted(p for p in (data / "val").iterdir() if p.is_dir())
    return [sum(p.is_file() for p in folder.iterdir()) for folder in classes]


def run(
    options: argparse.Namespace, data: Path, settings: Row, folder: Path, latencies: Latencies
) -> Row:
    """Race once and return the run's row."""
    minutes, seed, metric = settings["minutes"], settings["seed"], options.metric
    racers = [
        archfront(folder, words_of(options, data), minutes=minutes, seed=seed),
        script(folder, "plain_transfer.py", *script_words(options, data, minutes, seed)),
    ]
    ended = raced(racers, minutes, turn=seed)
    course = read_course(folder / "root", started=ended["archfront"].started, seconds=60 * minutes)
    models = models_of(ended["script"].lines(), 60 * minutes)
    counts = val_counts(data)
    networks = [network_of(m, len(counts)) for m in models]
    latencies.measure([*(m.architecture for m in course.members), *networks])
    worst = chance_level(metric, np.array(counts))
    found = volumes(
        course, models, latencies.found_ms, metric=metric, worst=worst, classes=len(counts)
    )
    figures = {**figures_of(course, models, metric), **found}
    figures["volume_ratio"] = ratio(found["volume"], found["script_volume"])
    figures["ratio_most"] = ratio(found["perfect_volume"], found["script_volume"])
    row = told(settings, figures, aims_of(figures, minutes), course, ended)
    return {**row, "script": models}


def settings_of(options: argparse.Namespace, minutes: float, seed: int) -> Row:
    """Return what decides a run, without any path."""
    settings: dict[str, Any] = {
        "data": options.data.name,
        "minutes": minutes,
        "seed": seed,
        "metric": options.metric,
        "train_images": options.train_images,
        "val_images": options.val_images,
        "backbones": options.backbones,
        "sizes": options.sizes,
        "words": options.word,
    }
    return settings


def main() -> int:
    options = options_of()
    folder = folder_of(options, "transfer-race")
    wanted = {"train": options.train_images, "val": options.val_images}
    name = f"{options.data.name}-{options.train_images}-{options.val_images}"
    data = shared(options.data, folder / name, wanted)
    latencies = Latencies(folder)
    runs = run_all(
        options.out,
        folder,
        [settings_of(options, m, seed) for m in options.minutes for seed in range(options.seeds)],
        lambda settings, place: run(options, data, settings, place, latencies),
    )
    return print_end(runs, COLUMNS, options.out)


def options_of(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_common(parser, "transfer_race.json", (3.0, 6.0))
    add_shares(parser)
    parser.add_argument("--weights", type=absolute, required=True, help="folder of timm's files")
    parser.add_argument("--metric", choices=("accuracy", "balanced_accuracy"), default="accuracy")
    parser.add_argument("--backbones", nargs="+", default=list(BACKBONES))
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES))
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
