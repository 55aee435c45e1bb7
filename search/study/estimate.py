"""The estimate of a study before it runs: its size, its time, its disk space."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np

from archfront.search.config.schema import Config
from archfront.search.config.settings import expected_workers, latency_table, with_metric
from archfront.search.engine.threads import thread_budget
from archfront.search.errors import BuildError
from archfront.search.jobs.step_times import StepsRequest, steps
from archfront.search.latency.lookup import CostLookup
from archfront.search.prepare.build_space import export_notes
from archfront.search.prepare.data_lines import data_lines, data_record
from archfront.search.prepare.gate import exceeded
from archfront.search.prepare.imported_device import for_device
from archfront.search.prepare.prepare import Prepared, prepare
from archfront.search.prepare.select_backbones import selection
from archfront.search.records.candidate import Candidate
from archfront.search.records.evaluation import Measurement
from archfront.search.space import size
from archfront.search.study.planning import (
    epoch_images,
    first_timed,
    is_planned,
    timed_plan,
)
from archfront.search.study.planning import lines as plan_lines
from archfront.search.study.promotion import KEPT as WAITING
from archfront.trainers.words import count_of, duration, join_words

# Architectures looked up in the table of latencies; of a larger space, a sample.
LOOKED_UP = 2000
# Below this many trainings a front says little.
FEW = 8
# Front members whose weights are kept; seen in studies of 20 to 50 trials.
KEPT = 8


# Called with what is done, how many of it are done, and how many there are.
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class KnownLimits:
    """What the table of latencies knows of a space's architectures.

    Attributes:
        measured: Architectures with a measurement.
        over: Those of them that are over a limit.
        unmeasured: Architectures without one.
        failing: Architectures that are known to fail.
        fastest_ms: Latency of the fastest one; None where none is measured.
    """

    measured: int
    over: int
    unmeasured: int
    failing: int
    fastest_ms: float | None

    def __str__(self) -> str:
        """Return a line for people."""
        if self.fastest_ms is None:
            return "no architecture of this space has been measured on this device yet"
        of = count_of(self.measured, "measured architecture is", "measured architectures are")
        failed = f", {self.failing} known to fail" if self.failing else ""
        return (
            f"{self.over} of {of} over a limit ({self.over / self.measured:.0%}; "
            f"{self.unmeasured} not measured yet{failed}); the fastest takes "
            f"{self.fastest_ms:.3g} ms"
        )


class Estimate:
    """The estimate of a study; each part is made when it is first asked for.

    Nothing is kept of it: decoded images stay in memory, and no latency is measured.

    Args:
        config: The study.
        progress: Called while images are read and steps are timed.

    Raises:
        ArchfrontError: Of each part, if the study could not begin.
    """

    def __init__(self, config: Config, progress: Progress | None = None) -> None:
        self._config = config
        self._progress: Progress = progress or (lambda *_: None)

    @cached_property
    def _begun(self) -> tuple[Prepared, CostLookup]:
        config = replace(self._config, engine=replace(self._config.engine, shared_mb=0))
        prepared = prepare(config, partial(self._progress, "reading images"))
        table = latency_table(config)
        asked = with_metric(self._config, prepared.objectives[0].name)
        return for_device(replace(prepared, config=asked), table)

    @cached_property
    def _left_out(self) -> dict[str, int]:
        """Return the number of backbones left out before the space was built, by reason."""
        return selection(self._config.space, Path(self._config.tracking.root)).left_out

    @cached_property
    def _limits(self) -> KnownLimits:
        return _known_limits(*self._begun)

    @cached_property
    def _planned(self) -> Prepared:
        return _planned(self._begun[0], self._progress)

    @cached_property
    def _training_s(self) -> list[float]:
        return _training_seconds(self._planned, self._progress)

    def lines(self) -> Iterator[str]:
        """Yield the lines of the estimate, the slow parts last."""
        prepared, _ = self._begun
        yield f"study     {self._config.study} (dry run: nothing is trained or recorded)"
        yield from data_lines(self._config.data.title, prepared.dataset)
        yield from size.lines(prepared.space.summary(), self._left_out)
        yield from prepared.notes
        yield from export_notes(self._config.space, prepared.space.task, prepared.space.channels)
        yield f"limits    {self._limits}"
        yield f"measures  {_measured(prepared)}"
        texts = plan_lines(self._planned.settings.plan, self._planned)
        for name, line in zip(("plan", "", "", ""), texts, strict=False):
            yield f"{name:<9} {line}"
        seconds = self._training_s
        if not seconds:
            yield "training  unknown: none of the architectures that were tried could be built"
            return
        middle = seconds[len(seconds) // 2]
        yield (
            f"training  {duration(seconds[0])} to {duration(seconds[-1])} a candidate, "
            f"{duration(middle)} for the middle one ({_epochs_text(self._planned)}; from "
            f"timed steps of {count_of(len(seconds), 'architecture')})"
        )
        yield _time(self._config, middle)
        yield _disk(prepared, middle)

    def record(self) -> dict[str, Any]:
        """Return the same as plain content for programs."""
        prepared, _ = self._begun
        plan, summary, seconds = self._planned.settings.plan, prepared.space.summary(), None
        if self._training_s:
            names = ("least", "middle", "most")
            middle = self._training_s[len(self._training_s) // 2]
            values = (self._training_s[0], middle, self._training_s[-1])
            seconds = dict(zip(names, values, strict=True))
        return {
            "study": self._config.study,
            **data_record(prepared.dataset),
            "space": {
                **asdict(summary),
                "left_out": {**self._left_out, **summary.left_out},
                "chosen": dict(prepared.chosen),
                "notes": list(prepared.notes),
                "rules": [asdict(rule) for rule in prepared.rules],
            },
            "known": asdict(self._limits),
            "measures": list(prepared.settings.needed),
            "plan": {**asdict(plan), "notes": plan_lines(plan, self._planned)},
            "training_s": seconds,
        }


def _measured(prepared: Prepared) -> str:
    """Return the line of what the study measures before it trains a candidate."""
    hardware = prepared.config.hardware
    if prepared.device is not None:
        return f"nothing: the latencies of {prepared.device.words} were imported"
    return (
        f"{join_words(prepared.settings.needed)} of each candidate before its training, on this "
        f"device through {hardware.runtime} {hardware.precision}, a second or two each"
    )


def _known_limits(prepared: Prepared, known: CostLookup) -> KnownLimits:
    """Return how many architectures are known to be over the limits, at most of a sample."""
    config, space = prepared.config, prepared.space
    numbers = np.arange(len(space.architectures))
    if len(numbers) > LOOKED_UP:
        numbers = np.random.default_rng(config.seed).choice(numbers, LOOKED_UP, replace=False)
    looked_up = (space.architectures[i] for i in numbers)
    answers = [known.lookup(each) for each in looked_up if each not in prepared.unavailable]
    measured = [answer for answer in answers if isinstance(answer, Measurement)]
    n_open = sum(answer is None for answer in answers)
    return KnownLimits(
        measured=len(measured),
        over=sum(bool(exceeded(m, prepared.settings.limits)) for m in measured),
        unmeasured=n_open,
        failing=len(answers) - len(measured) - n_open,
        fastest_ms=min((m.latency.p50_ms for m in measured), default=None),
    )


def _training_seconds(prepared: Prepared, progress: Progress) -> list[float]:
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
    found = []
    for done, number in enumerate(chosen):
        progress("timing training steps", done, len(chosen))
        found.append(_seconds_of(prepared, space.at(space.first_index(number) + middle)))
    return sorted(seconds for seconds in found if seconds is not None)


def _planned(prepared: Prepared, progress: Progress) -> Prepared:
    """Return the study with the plan that it would begin with, from a few timed steps."""
    if not is_planned(prepared.config):
        return prepared
    progress("timing training steps, to plan the epochs", 0, 1)
    found = first_timed(prepared, partial(_image_seconds, prepared))
    return replace(prepared, plan=timed_plan(prepared, found)) if found else prepared


def _seconds_of(prepared: Prepared, candidate: Candidate) -> float | None:
    """Return the seconds of one full training; None if the network cannot be built."""
    image_s = _image_seconds(prepared, candidate)
    if image_s is None:
        return None
    number = prepared.space.architecture_number(candidate.architecture)
    work = float(prepared.space.step_s[number])
    return image_s * epoch_images(prepared) * prepared.settings.plan.rungs_of(work)[-1]


def _epochs_text(prepared: Prepared) -> str:
    """Return the epochs of full trainings, of the fewest and the most."""
    full = prepared.settings.plan.epochs_of(prepared.space.step_s)[:, -1]
    least, most = int(full.min()), int(full.max())
    return count_of(most, "epoch") if least == most else f"{least} to {most} epochs"


def _image_seconds(prepared: Prepared, candidate: Candidate) -> float | None:
    """Return the seconds of an image in a few timed steps; None if it cannot be built."""
    settings = replace(prepared.settings.train, precision="fp32")
    try:
        with thread_budget(settings.threads):
            return steps(StepsRequest(candidate, settings, compares_precisions=False)).image_s
    except BuildError:
        return None


def _time(config: Config, middle_s: float) -> str:
    budget, workers = config.budget, expected_workers(config)
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
            f"\n          fewer than {FEW} full trainings: expect few members, some of them "
            "trained in part; for more give more minutes, fewer task.epochs, or smaller "
            "space.input_sizes and backbones"
        )
    return line


def _disk(prepared: Prepared, middle_s: float) -> str:
    config, space = prepared.config, prepared.space
    trainings = config.budget.trials
    if trainings is None:
        minutes = config.budget.minutes or 0
        trainings = int(minutes * 60 * expected_workers(config) / middle_s)
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
