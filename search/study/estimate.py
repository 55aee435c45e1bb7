"""The estimate of a study before it runs: its size, its time, its disk space."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from archfront.search.config.schema import Config
from archfront.search.engine.threads import thread_budget
from archfront.search.errors import BuildError
from archfront.search.latency.database import LatencyTable
from archfront.search.latency.lookup import CostLookup
from archfront.search.prepare.gate import exceeded
from archfront.search.prepare.imported_device import for_device
from archfront.search.prepare.prepare import Prepared, prepare
from archfront.search.prepare.select_backbones import selection
from archfront.search.records.candidate import Candidate
from archfront.search.records.evaluation import Measurement
from archfront.search.space import size
from archfront.search.study.planning import (
    FORWARD_SHARE,
    is_planned,
    timed_architectures,
    timed_plan,
)
from archfront.search.study.planning import lines as plan_lines
from archfront.search.study.promotion import KEPT as WAITING
from archfront.trainers.words import count_of, duration

# Architectures looked up in the table of latencies; of a larger space, a sample.
LOOKED_UP = 2000
# Below this many trainings a front says little.
FEW = 8
# Front members whose weights are kept; seen in studies of 20 to 50 trials.
KEPT = 8


def lines(config: Config) -> Iterator[str]:
    """Yield the lines of the estimate, the slow parts last.

    Raises:
        ArchfrontError: If the study could not begin.
    """
    prepared, known = for_device(prepare(config), LatencyTable(Path(config.tracking.device_db)))
    space, splits = prepared.space, prepared.dataset.splits
    n_classes = len(prepared.dataset.class_names)
    images = ", ".join(f"{part.images:,} {name}" for name, part in splits.items())
    yield f"study     {config.study} (dry run: nothing is trained or recorded)"
    yield f"data      {count_of(n_classes, 'class', 'classes')}, {images}"
    selected = selection(config.space, Path(config.tracking.root))
    yield from size.lines(space.summary(), selected.left_out)
    yield from prepared.notes
    yield _limits(prepared, known)
    prepared = _planned(prepared)
    plan = prepared.settings.plan
    for name, line in zip(("plan", "", "", ""), plan_lines(plan, prepared), strict=False):
        yield f"{name:<9} {line}"
    seconds = _training_seconds(prepared)
    if not seconds:
        yield "training  unknown: none of the architectures that were tried could be built"
        return
    middle = seconds[len(seconds) // 2]
    yield (
        f"training  {duration(seconds[0])} to {duration(seconds[-1])} a candidate, "
        f"{duration(middle)} for the middle one ({count_of(plan.horizon, 'epoch')}; from "
        f"timed steps of {count_of(len(seconds), 'architecture')})"
    )
    yield _time(config, middle)
    yield _disk(prepared, middle)


def _limits(prepared: Prepared, known: CostLookup) -> str:
    """Return the line of how many architectures are known to be over the limits."""
    config, space = prepared.config, prepared.space
    numbers = np.arange(len(space.architectures))
    if len(numbers) > LOOKED_UP:
        numbers = np.random.default_rng(config.seed).choice(numbers, LOOKED_UP, replace=False)
    looked_up = (space.architectures[i] for i in numbers)
    answers = [known.lookup(each) for each in looked_up if each not in prepared.unavailable]
    measured = [answer for answer in answers if isinstance(answer, Measurement)]
    n_open = sum(answer is None for answer in answers)
    n_failed = len(answers) - len(measured) - n_open
    if not measured:
        return "limits    no architecture of this space has been measured on this device yet"
    over = sum(bool(exceeded(m, prepared.settings.limits)) for m in measured)
    fastest = min(m.latency.p50_ms for m in measured)
    of = count_of(len(measured), "measured architecture is", "measured architectures are")
    failed = f", {n_failed} known to fail" if n_failed else ""
    return (
        f"limits    {over} of {of} over a limit "
        f"({over / len(measured):.0%}; {n_open} not measured yet{failed}); the fastest "
        f"takes {fastest:.3g} ms"
    )


def _training_seconds(prepared: Prepared) -> list[float]:
    """Return the seconds of a training of a light, a middle and a heavy architecture, sorted.

    Those that cannot be built are left out.
    """
    space = prepared.space
    weight = {axes.backbone.name: axes.backbone.params_m for axes in space.axes}
    order = sorted(
        range(len(space.architectures)),
        key=lambda i: (
            weight[space.architectures[i].backbone] * space.architectures[i].input_size ** 2
        ),
    )
    middle = len(space.recipes) // 2  # of the grid of recipes
    # A twentieth from both ends: the very lightest and heaviest stand for nothing else.
    chosen = [order[round(q * (len(order) - 1))] for q in (0.05, 0.5, 0.95)]
    found = [
        _seconds_of(prepared, space.at(space.first_index(number) + middle)) for number in chosen
    ]
    return sorted(seconds for seconds in found if seconds is not None)


def _planned(prepared: Prepared) -> Prepared:
    """Return the study with the plan that it would begin with, from a few timed steps."""
    if not is_planned(prepared.config):
        return prepared
    for number in timed_architectures(prepared):
        image_s = _image_seconds(prepared, prepared.space.at(prepared.space.first_index(number)))
        if image_s is not None:
            return replace(prepared, plan=timed_plan(prepared, number, image_s))
    return prepared


def _seconds_of(prepared: Prepared, candidate: Candidate) -> float | None:
    """Return the seconds of one full training; None if the network cannot be built."""
    image_s, settings = _image_seconds(prepared, candidate), prepared.settings.train
    if image_s is None:
        return None
    splits = prepared.dataset.splits
    images = settings.share * splits["train"].images + FORWARD_SHARE * splits["val"].images
    return image_s * images * settings.until_epoch


def _image_seconds(prepared: Prepared, candidate: Candidate) -> float | None:
    """Return the seconds of an image in a few timed steps; None if it cannot be built."""
    from archfront.trainers.training.precision import precision_probe

    settings = replace(prepared.settings.train, precision="fp32")
    batch = candidate.recipe.batch_size
    try:
        with thread_budget(settings.threads):
            probe = precision_probe(
                candidate.architecture,
                settings,
                batch_size=batch,
                rounds=2,
                precisions=("fp32",),
            )
    except BuildError:
        return None
    return probe.fp32_ms / 1000 / batch


def _time(config: Config, middle_s: float) -> str:
    budget, workers = config.budget, config.engine.workers
    parts, fit = [], math.inf
    if budget.trials is not None:
        total = duration(budget.trials * middle_s / workers)
        parts.append(f"about {total} for {count_of(budget.trials, 'training')}")
    if budget.minutes is not None:
        fit = int(budget.minutes * 60 * workers / middle_s)
        parts.append(f"about {count_of(fit, 'training')} in {count_of(budget.minutes, 'minute')}")
    line = f"time      {'; '.join(parts)}; measuring comes on top, a second or two a candidate"
    if fit < FEW:
        line += (
            f"\n          fewer than {FEW} trainings make no front: give more minutes, fewer "
            "task.epochs, or smaller space.input_sizes and backbones"
        )
    return line


def _disk(prepared: Prepared, middle_s: float) -> str:
    config, space = prepared.config, prepared.space
    trainings = config.budget.trials
    if trainings is None:
        minutes = config.budget.minutes or 0
        trainings = int(minutes * 60 * config.engine.workers / middle_s)
    trainings = min(trainings, space.size)
    n_val = prepared.dataset.splits["val"].images
    predictions = trainings * n_val * (4 * space.classes + 8)
    params = float(np.median([axes.backbone.params_m for axes in space.axes]))
    weights = min(KEPT, trainings) * params * 4e6
    # Weights and two moments of each candidate that waits at a rung.
    waiting = min(WAITING, space.size) * params * 12e6 if len(prepared.settings.rungs) > 1 else 0.0
    whole = (predictions + weights + waiting) / 1e6 + 15
    line = (
        f"disk      about {whole:,.0f} MB: weights of the front ({weights / 1e6:,.0f}), "
        f"predictions ({predictions / 1e6:,.0f}), report and records (15)"
    )
    return line + (f", what waits at rungs ({waiting / 1e6:,.0f})" if waiting else "")
