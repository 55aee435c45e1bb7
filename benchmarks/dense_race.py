"""archfront against one sensible candidate on boxes or masks, in the same minutes.

The candidate of ``one_candidate.py`` is set by hand and trained alone, with a schedule that ends
with the minutes; neither its imports nor the two epochs by which its number of epochs is found
count. archfront's minutes have everything in them. Both run at the same time, each with one thread
on a core of its own, on the same images and pretrained weights, with the same metric of the
validation images.

Aims, for each run: at least 3 members, and a best metric of at least 0.98 of the candidate's. The
exit status is 1 if a run misses one. With ``--scratch`` each run is followed by the same without
weights, for which there are no aims: how much transfer gives to either is told.

Half an hour for three seeds on two quiet cores, twice that with ``--scratch``:

    python benchmarks/dense_race.py --kind boxes --data BCCD --weights WEIGHTS --scratch
    python benchmarks/dense_race.py --kind masks --data NUCLEI --weights WEIGHTS \
        --word 'data.classes=[background, interior, border]'

``--word data=coco`` reads another format. A run is added to ``--out`` when it is done, and not
done again by the same command.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from race import (
    Row,
    absolute,
    add_common,
    archfront,
    folder_of,
    listed,
    raced,
    script,
)
from race_records import Aim, Course, ratio, read_course
from race_results import print_end, run_all, told

# Format, task, space and metric of a kind.
KINDS = {
    "boxes": ("data=voc", "task=detection", "space=detection", "task.metric=map50"),
    "masks": ("data=masks", "task=semantic", "space=semantic", "task.metric=miou"),
}
BACKBONES = ("tf_efficientnet_lite0", "tf_efficientnet_lite1", "tf_efficientnet_lite2")
MEMBERS, RATIO = 3, 0.98
COLUMNS = (
    *("data", "minutes", "seed", "weights", "best", "low", "high", "alone", "ratio"),
    *("members", "n_seen", "n_full", "first_s"),
)


def words_of(options: argparse.Namespace, weights: str) -> list[str]:
    """Return the words that archfront and the candidate share, without the space."""
    return [
        *KINDS[options.kind],
        f"data.root={options.data}",
        "data.on_error=skip",
        f"space.weights={weights}",
        *options.word,
    ]


def alone_words(
    options: argparse.Namespace, folder: Path, settings: Row, weights: str
) -> list[str]:
    """Return the words of the candidate's process."""
    shared = words_of(options, weights)
    own = [f"seed={settings['seed']}", "engine.threads=1", f"tracking.root={folder / 'alone'}"]
    own += [f"tracking.device_db={folder / 'alone' / 'latency.db'}"]
    backbone = [f"backbone={options.backbone}"] if options.backbone else []
    return [str(folder / "alone"), f"{settings['minutes']:g}", *shared, *own, *backbone]


def metric_of(options: argparse.Namespace) -> str:
    """Return the metric of both."""
    given = [w for w in words_of(options, "none") if w.startswith("task.metric=")]
    return given[-1].partition("=")[2]


def figures_of(course: Course, alone: float | None) -> Row:
    """Return the figures of a run."""
    own = course.figures()
    return {**own, "alone": alone, "ratio": ratio(own["best"], alone)}


def aims_of(figures: Row) -> list[Aim]:
    """Return the aims of a run with pretrained weights."""
    return [
        Aim("members", figures["members"], MEMBERS, "at least"),
        Aim("best metric over that of the candidate alone", figures["ratio"], RATIO, "at least"),
    ]


def run(options: argparse.Namespace, settings: Row, folder: Path) -> Row:
    """Race once and return the run's row."""
    weights = str(options.weights) if settings["weights"] == "folder" else "none"
    minutes, seed = settings["minutes"], settings["seed"]
    backbones = [f"space.backbones={listed(options.backbones)}"]
    racers = [
        archfront(folder, [*backbones, *words_of(options, weights)], minutes=minutes, seed=seed),
        script(folder, "one_candidate.py", *alone_words(options, folder, settings, weights)),
    ]
    ended = raced(racers, minutes, turn=seed)
    course = read_course(folder / "root", started=ended["archfront"].started, seconds=60 * minutes)
    alone = (ended["script"].lines() or [None])[-1]
    figures = figures_of(course, None if alone is None else alone["metrics"][metric_of(options)])
    aims = aims_of(figures) if weights != "none" else []
    return {**told(settings, figures, aims, course, ended), "alone": alone}


def transfer_gains(runs: Sequence[Row]) -> list[str]:
    """Return by how much transfer beats scratch, in words, where a run was done with both."""
    lines = []
    for one in runs:
        settings = one["settings"]
        scratch = {**settings, "weights": "none"}
        found = [other for other in runs if other["settings"] == scratch]
        if settings["weights"] == "none" or not found:
            continue
        for name, side in (("best", "archfront"), ("alone", "the candidate alone")):
            values = [run["figures"][name] for run in (one, found[0])]
            if None not in values:
                told_of = f"{settings['data']}, seed {settings['seed']}: {side}"
                gain = f"transfer {values[0]:.3f}, scratch {values[1]:.3f}"
                lines.append(f"{told_of} {gain}, gain {values[0] - values[1]:+.3f}")
    return lines


def settings_of(options: argparse.Namespace, minutes: float, seed: int, weights: str) -> Row:
    """Return what decides a run, without any path."""
    return {
        "data": options.data.name,
        "kind": options.kind,
        "minutes": minutes,
        "seed": seed,
        "weights": weights,
        "backbones": options.backbones,
        "alone": options.backbone,
        "words": options.word,
    }


def main() -> int:
    options = options_of()
    folder = folder_of(options, "dense-race")
    sources = ("folder", "none") if options.scratch else ("folder",)
    wanted = [
        settings_of(options, minutes, seed, weights)
        for minutes in options.minutes
        for seed in range(options.seeds)
        for weights in sources
    ]
    runs = run_all(options.out, folder, wanted, lambda one, place: run(options, one, place))
    for line in transfer_gains(runs):
        print(line)
    return print_end(runs, COLUMNS, options.out)


def options_of(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_common(parser, "dense_race.json", (8.0,))
    parser.add_argument("--kind", choices=KINDS, required=True)
    parser.add_argument("--weights", type=absolute, required=True, help="folder of timm's files")
    parser.add_argument("--backbones", nargs="+", default=list(BACKBONES))
    parser.add_argument("--backbone", help="of the candidate alone (default: its own)")
    parser.add_argument("--scratch", action="store_true", help="the same without weights, too")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
