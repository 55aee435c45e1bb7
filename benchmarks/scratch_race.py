"""archfront without weights against ``plain_scratch.py``, in the same minutes.

Both train from scratch on the same images and run at the same time, each with one thread on a core
of its own; which core is whose changes with the seed. Seconds count from the start of each
process. The loop trains one network at the images' own size and keeps its best epoch; archfront
searches its default space, in which only the weights are said, unless ``--sizes`` or ``--word``
say more.

Aims, for each run: at least 3 members, 8 candidates of which a metric is known, and a best metric
not below that of the loop's best epoch. The exit status is 1 if a run misses one.

20 minutes a dataset on two quiet cores, with 3 seeds:

    python benchmarks/scratch_race.py --data PIECES --metric balanced_accuracy
    python benchmarks/scratch_race.py --data FASHION_MNIST --train-images 4000 --sizes 28

The data folder holds ``train`` and ``val``, each with a folder of images per class. A run is added
to ``--out`` when it is done, and not done again by the same command.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from plain_scratch import METRICS
from race import (
    Row,
    add_common,
    add_shares,
    archfront,
    folder_of,
    listed,
    raced,
    script,
    shared,
)
from race_records import Aim, Course, ratio, read_course
from race_results import print_end, run_all, told

MEMBERS, SEEN, RATIO = 3, 8, 1.0
COLUMNS = (
    *("data", "minutes", "seed", "best", "low", "high", "loop_best", "loop_last", "ratio"),
    *("members", "n_seen", "n_full", "first_s", "loop_epochs"),
)


def words_of(options: argparse.Namespace, data: Path) -> list[str]:
    """Return archfront's words."""
    return [
        "data=folder",
        f"data.root={data}",
        f"task.metric={options.metric}",
        "space.weights=none",
        *([f"space.input_sizes={listed(options.sizes)}"] if options.sizes else []),
        *options.word,
    ]


def figures_of(course: Course, epochs: Sequence[Row], metric: str) -> Row:
    """Return the figures of a run; ``epochs`` are the loop's that ended in time."""
    own = course.figures()
    loop_best = max((row[metric] for row in epochs), default=None)
    return {
        **own,
        "loop_best": loop_best,
        "loop_last": epochs[-1][metric] if epochs else None,
        "loop_epochs": len(epochs),
        "ratio": ratio(own["best"], loop_best),
    }


def aims_of(figures: Row) -> list[Aim]:
    """Return the aims of a run."""
    return [
        Aim("members", figures["members"], MEMBERS, "at least"),
        Aim("candidates seen", figures["n_seen"], SEEN, "at least"),
        Aim("best metric over the loop's", figures["ratio"], RATIO, "at least"),
    ]


def run(options: argparse.Namespace, data: Path, settings: Row, folder: Path) -> Row:
    """Race once and return the run's row."""
    minutes, seed = settings["minutes"], settings["seed"]
    loop = ["--data", str(data), "--metric", options.metric, "--minutes", f"{minutes:g}"]
    loop += ["--seed", str(seed), "--backbone", options.backbone]
    loop += ["--size", str(options.loop_size)] if options.loop_size else []
    racers = [
        archfront(folder, words_of(options, data), minutes=minutes, seed=seed),
        script(folder, "plain_scratch.py", *loop),
    ]
    ended = raced(racers, minutes, turn=seed)
    started = ended["archfront"].started
    course = read_course(folder / "root", started=started, seconds=60 * minutes)
    epochs = [row for row in ended["script"].lines() if row["seconds"] <= 60 * minutes]
    figures = figures_of(course, epochs, options.metric)
    return {**told(settings, figures, aims_of(figures), course, ended), "loop": epochs}


def settings_of(options: argparse.Namespace, minutes: float, seed: int) -> Row:
    """Return what decides a run, without any path."""
    return {
        "data": options.data.name,
        "minutes": minutes,
        "seed": seed,
        "metric": options.metric,
        "train_images": options.train_images,
        "val_images": options.val_images,
        "sizes": options.sizes,
        "loop": [options.backbone, options.loop_size],
        "words": options.word,
    }


def main() -> int:
    options = options_of()
    folder = folder_of(options, "scratch-race")
    wanted = {"train": options.train_images, "val": options.val_images}
    name = f"{options.data.name}-{options.train_images}-{options.val_images}"
    data = shared(options.data, folder / name, wanted)
    runs = run_all(
        options.out,
        folder,
        [settings_of(options, m, seed) for m in options.minutes for seed in range(options.seeds)],
        lambda settings, place: run(options, data, settings, place),
    )
    return print_end(runs, COLUMNS, options.out)


def options_of(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_common(parser, "scratch_race.json", (6.0,))
    add_shares(parser)
    parser.add_argument("--metric", choices=METRICS, default=METRICS[0])
    parser.add_argument("--sizes", type=int, nargs="+", help="of archfront (default: its own)")
    parser.add_argument("--backbone", default="resnet10t", help="of the loop")
    parser.add_argument("--loop-size", type=int, help="of the loop (default: the images' own)")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
