"""Each rule, or any option, on against off: the same data, minutes and seeds, by hypervolume.

Both studies run at the same time, each with one thread on a core of its own; which core is whose
changes with the seed. Where a rule is raced, all other rules are off in both. ``--data`` has the
property of a rule (``unequal`` classes of 50:1, ``small_objects`` of 3 to 5 px, ``crowded`` images
of 150 objects, a ``few`` images, ``few_validated`` ones) or not (``digits``). The hypervolume is
that of all trained networks, by a metric in which classes count alike and by latency on a
logarithmic scale, from 0 to 1: the reference point is a metric of 0 and the largest latency of
both studies, and latency counts from the smallest one of both. Latencies are those of one clock
when both have ended. It is told whether the rule applied.

Aim, for the data that has the property: a mean gain above 0. The exit status is 1 where the mean
gain is 0 or less; on data without the property there is no aim, nor for ``folds``, which
takes time and changes no network. ``--data own`` is any data, which ``--word`` names; there
``--option`` may be raced in place of a rule, by its words for on and off.

12 minutes for 3 seeds on two quiet cores:

    python benchmarks/profile_rules.py --rule balance --data unequal --seeds 3 --minutes 4 \
        --out rules.json
    python benchmarks/profile_rules.py --rule balance --data own --metric balanced_accuracy \
        --word data=folder --word data.root=PHOTOS --out rules.json
    python benchmarks/profile_rules.py --option task.init=auto task.init=random --data own \
        --metric accuracy --word data=folder --word data.root=PHOTOS --out options.json

``--word`` is one more for both. A run is added to ``--out`` when it is done, and not done again by
the same command.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from race import RESULTS, Ended, Row, archfront, folder_of, raced
from race_clock import Latencies
from race_records import STUDY
from race_results import run_all, table
from rule_data import KINDS

from archfront.search.errors import ArchfrontError
from archfront.search.front.pareto import hypervolume
from archfront.search.prepare.rules.rule_table import RULES
from archfront.search.records.evaluation import Trained
from archfront.search.records.paths import StudyPaths
from archfront.search.records.store import reading
from archfront.search.results.results import Results
from archfront.trainers.spec import Architecture

NAMES = tuple(rule.name for rule in RULES)
# The data that has the property of a rule.
PROPERTY = {
    "balance": "unequal",
    "object_size": "small_objects",
    "crowding": "crowded",
    "few_images": "few",
    "symmetry": "few",
    "folds": "few_validated",
}
# Rules that change what is said of the networks, and not which ones there are.
JUDGES = ("folds",)
# Exit status of a study with a full front, a provisional and an empty one.
RAN = (0, 3, 4)
# Beyond the largest latency, so that the slowest network counts.
BEYOND = 1.1
COLUMNS = (
    *("rule", "data", "minutes", "seed", "applied", "on", "off", "gain"),
    *("on_best", "off_best", "on_trained", "off_trained", "on_size"),
)


@dataclass(frozen=True)
class Found:
    """What a study found within its minutes.

    Attributes:
        networks: What was trained.
        metrics: The metric of each training.
        applied: Whether the rule had something to say.
        reason: Why the study ended, in words.
    """

    networks: tuple[Architecture, ...]
    metrics: tuple[float, ...]
    applied: bool
    reason: str

    @property
    def sizes(self) -> list[int]:
        """Return the input sizes of what was trained."""
        return sorted({network.input_size for network in self.networks})

    def points(self, latencies_ms: Mapping[Architecture, float]) -> np.ndarray:
        """Return metric and latency in ms of every training, ``(n, 2)``."""
        of_each = [latencies_ms[network] for network in self.networks]
        return np.column_stack([np.array(self.metrics, float), np.array(of_each, float)])


def raced_of(options: argparse.Namespace) -> str:
    """Return what is raced: the name of a rule, or the words of an option."""
    rule: str | None = options.rule
    return rule or " over ".join(options.option)


def words_of(options: argparse.Namespace, side: str, root: Path | None) -> list[str]:
    """Return archfront's words for the side ``on`` or ``off``."""
    kind = KINDS[options.data]
    switch = "auto" if side == "on" else "off"
    rules = [f"space.rules.{n}={switch if n == options.rule else 'off'}" for n in NAMES]
    if options.option is not None:
        rules = [options.option[side == "off"]]
    where = [] if root is None else [f"data.root={root}"]
    weights = ["space.weights=none"] if kind.words else []
    return [*kind.words, *weights, *where, *rules, *options.word]


def found_in(root: Path, ended: Ended, *, metric: str, rule: str, seconds: float) -> Found:
    """Return what the study in a root folder found in time.

    Args:
        root: Of the study.
        ended: How its process ended.
        metric: By which networks are compared.
        rule: Of which it is told whether it applied.
        seconds: What the study was given, from the start of its process.
    """
    places = StudyPaths(root, STUDY)
    try:
        results = Results.read(reading(places, None), places)
        header = results.begun()
    except ArchfrontError as error:
        return Found((), (), False, str(error))
    networks, metrics = [], []
    for one in results.evaluations:
        if not isinstance(one.outcome, Trained):
            continue
        if one.started + one.seconds - ended.started <= seconds:
            networks.append(one.candidate.architecture)
            metrics.append(one.outcome.metrics[metric])
    applied = any(one.name == rule for one in header.space.rules)
    return Found(tuple(networks), tuple(metrics), applied, results.reason)


def volumes(sides: Sequence[np.ndarray]) -> list[float]:
    """Return the hypervolume of each study, from 0 to 1, by one reference point for all.

    Args:
        sides: Metric and latency of each study's networks, ``(n, 2)``.
    """
    every = np.concatenate(sides)
    if len(every) == 0:
        return [0.0 for _ in sides]
    fastest, slowest = every[:, 1].min(), BEYOND * every[:, 1].max()
    scale = np.log(slowest / fastest)
    found = []
    for points in sides:
        losses = np.column_stack([1 - points[:, 0], np.log(points[:, 1] / fastest) / scale])
        found.append(hypervolume(losses, (1.0, 1.0)) if len(points) else 0.0)
    return found


def run(options: argparse.Namespace, settings: Row, folder: Path, latencies: Latencies) -> Row:
    """Run both studies once and return the run's row."""
    kind, minutes, seed = KINDS[options.data], settings["minutes"], settings["seed"]
    root = None
    if kind.draw is not None:
        root = folder / "data"
        kind.draw(root)
    racers = [
        replace(
            archfront(folder / side, words_of(options, side, root), minutes=minutes, seed=seed),
            name=side,
        )
        for side in ("on", "off")
    ]
    ended = raced(racers, minutes, turn=seed)
    check_ended(ended)
    found = {
        side: found_in(
            folder / side / "root",
            one,
            metric=options.metric or kind.metric,
            rule=options.rule,
            seconds=60 * minutes,
        )
        for side, one in ended.items()
    }
    latencies.measure([*found["on"].networks, *found["off"].networks])
    points = {side: one.points(latencies.found_ms) for side, one in found.items()}
    on, off = volumes([points["on"], points["off"]])
    figures: Row = {"applied": found["on"].applied, "on": on, "off": off, "gain": on - off}
    for side, one in found.items():
        figures[f"{side}_best"] = max(one.metrics, default=None)
        figures[f"{side}_trained"] = len(one.metrics)
        figures[f"{side}_size"] = ",".join(map(str, one.sizes))
    print(f"  on {on:.4f}, off {off:.4f}", flush=True)
    ends = {side: {**one.as_row(), "reason": found[side].reason} for side, one in ended.items()}
    rows = {side: every.tolist() for side, every in points.items()}
    return {"settings": settings, "figures": figures, "ended": ends, "points": rows}


def check_ended(ended: Mapping[str, Ended]) -> None:
    """Exit with what a study said that did not run, so that no run of it is written."""
    for side, one in ended.items():
        if one.status not in RAN:
            errors = one.log.with_name(one.log.name + ".err").read_text(encoding="utf-8")
            sys.exit(f"The study with the rule {side} ended with {one.status}: {errors[-1000:]}")


def print_gain(runs: Sequence[Row], options: argparse.Namespace) -> int:
    """Print the table and the mean gain; return 1 where the aim is missed, for the exit status."""
    print("\n" + table(runs, COLUMNS))
    own = [
        one["figures"]["gain"]
        for one in runs
        if (one["settings"]["rule"], one["settings"]["data"]) == (raced_of(options), options.data)
    ]
    spread = np.std(own, ddof=1) / np.sqrt(len(own)) if len(own) > 1 else float("nan")
    print(f"mean gain {np.mean(own):+.4f} (standard error {spread:.4f}, {len(own)} seeds)")
    has_aim = PROPERTY.get(options.rule) == options.data and options.rule not in JUDGES
    return int(has_aim and np.mean(own) <= 0)


def main() -> int:
    options = options_of()
    folder = folder_of(options, "profile-rules")
    wanted = [
        {
            "rule": raced_of(options),
            "data": options.data,
            "minutes": options.minutes,
            "seed": seed,
            "words": options.word,
        }
        for seed in range(options.seeds)
    ]
    latencies = Latencies(folder)
    runs = run_all(
        options.out, folder, wanted, lambda one, place: run(options, one, place, latencies)
    )
    return print_gain(runs, options)


def options_of(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--rule", choices=NAMES)
    what.add_argument("--option", nargs=2, metavar=("ON", "OFF"), help="words of an option")
    parser.add_argument("--data", choices=KINDS, required=True, help="what is drawn")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--minutes", type=float, default=4.0)
    parser.add_argument("--word", action="append", default=[], help="one more for archfront run")
    parser.add_argument("--metric", help="by which networks are compared, of --data own")
    parser.add_argument("--folder", type=lambda text: Path(text).absolute(), help="for files")
    parser.add_argument("--out", type=Path, default=RESULTS / "profile_rules.json")
    asked = parser.parse_args(arguments)
    if (asked.data == "own") != (asked.metric is not None):
        parser.error("--metric belongs to --data own, which needs it")
    if asked.option is not None and asked.data != "own":
        parser.error("--option needs --data own")
    return asked


if __name__ == "__main__":
    sys.exit(main())
