"""The plan of a study, made once: what its minutes can buy, from a few timed training steps.

Epochs of a full training, or the share of the images that an epoch sees, are chosen such that
several full trainings of a lighter network fit in the minutes beside the trainings below the top.
Very short full trainings would only spoil what a head solved on frozen features gives, so below a
number of images fewer full trainings are planned instead of shorter ones.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from statistics import median
from typing import TypeVar

import numpy as np

from archfront.search.config.schema import Config
from archfront.search.config.settings import FACTOR, expected_workers, plan_of
from archfront.search.engine.jobs import Broken, Engine, Job
from archfront.search.engine.second_try import found_result
from archfront.search.jobs.step_times import OwnSteps, StepsRequest, StepTimes
from archfront.search.prepare.prepare import Prepared
from archfront.search.records.candidate import Candidate
from archfront.search.records.events import Event, Noticed
from archfront.search.records.plan import Plan
from archfront.search.study.aims import AIMS, LEAST_EPOCHS, Aim
from archfront.search.study.training_times import TrainingTimes
from archfront.trainers.spec import Precision
from archfront.trainers.words import count_of, duration

# Architectures tried before the plan is made without a measurement.
TRIES = 3
# Pixels of the images whose steps are timed, at most: of small images a whole batch, since calls
# and not pixels are what few of them cost. Images at least.
TIMED_PIXELS, TIMED_IMAGES = 2 * 224**2, 8
# A validation image costs a forward pass, about a third of a training step's work.
FORWARD_SHARE = 1 / 3
# The share of the minutes that trainings get; starting, measuring, scoring and drawing have the
# rest.
TRAINING_SHARE = 0.85
# The share of the training time that one full training takes at most.
LONGEST_SHARE = 0.4
# Where epochs are cut into shares, an epoch trains on at least this many images for each that it
# costs to validate.
TRAINED_PER_VALIDATED = 4
# Candidates that are spread over the front at least.
STARTUP_LEAST = 3


Times = TypeVar("Times")


@dataclass(frozen=True)
class TimedEpochs:
    """The epochs of a study, by timed training steps.

    Attributes:
        epochs: Epochs of a full training.
        share: Share of the training images that an epoch sees.
        epoch_s: Seconds of an epoch of the timed architecture.
    """

    epochs: int
    share: float
    epoch_s: float


def epochs_for(
    seconds: float, aim: Aim, *, image_s: float, n_train: int, n_val: int
) -> TimedEpochs:
    """Return the epochs of a full training that an aim's number of them fit into the seconds.

    Args:
        seconds: Seconds of the study.
        aim: What is planned.
        image_s: Seconds of a training step for each image.
        n_train: Images to train on.
        n_val: Images to validate on after each epoch.
    """
    training = seconds * TRAINING_SHARE
    images = training * aim.share / aim.n_full / image_s
    if images < aim.least_images:  # fewer full trainings, but not shorter ones
        longest = max(LONGEST_SHARE, aim.share / aim.n_full)
        images = min(float(aim.least_images), training * longest / image_s)
    val_images = n_val * FORWARD_SHARE
    epochs = images / (n_train + val_images)
    if epochs >= aim.least_epochs:
        whole = min(int(epochs), aim.most_epochs)
        return TimedEpochs(whole, 1.0, image_s * (n_train + val_images))
    longest = max(images / LEAST_EPOCHS - val_images, images / LEAST_EPOCHS / 2)
    wanted = max(images / aim.least_epochs - val_images, TRAINED_PER_VALIDATED * val_images)
    of_epoch = max(1.0, min(longest, wanted))
    share = min(1.0, of_epoch / n_train)
    whole = max(LEAST_EPOCHS, int(images / (share * n_train + val_images)))
    return TimedEpochs(whole, share, image_s * (share * n_train + val_images))


def plan_study(
    prepared: Prepared,
    engine: Engine,
    emit: Callable[[Event], None],
    used: Callable[[], float] = lambda: 0.0,
) -> tuple[Plan, Precision]:
    """Return the plan of a study that starts, and the precision of its trainings.

    Training steps are timed only where one of them is to be found.

    Args:
        prepared: The study.
        engine: Where steps are timed.
        emit: Takes the event that a plan had to be made without a measurement.
        used: Returns the seconds of the budget that are used, as by reading the data.
    """
    config, asked = prepared.config, prepared.settings.precision
    if not is_planned(config) and asked != "auto":
        return plan_of(config), asked
    found = _timed(prepared, engine)
    if isinstance(found, str):
        emit(Noticed(f"no training step could be timed, so epochs are not planned: {found}"))
        return plan_of(config), "fp32" if asked == "auto" else asked
    precision = next(iter(found.values())).precision if asked == "auto" else asked
    if not is_planned(config):
        return plan_of(config), precision
    image_s = {number: times.image_s for number, times in found.items()}
    return timed_plan(prepared, image_s, engine.n_slots, used()), precision


def is_planned(config: Config) -> bool:
    """Return whether the epochs of a study follow from its minutes and from timed steps."""
    budget = config.budget
    return config.task.epochs == "auto" and budget.minutes is not None and not budget.rungs


def timed_plan(
    prepared: Prepared,
    image_s: Mapping[int, float],
    n_slots: int | None = None,
    used_s: float = 0.0,
) -> Plan:
    """Return the plan of a study by the seconds of an image in training steps.

    Args:
        prepared: The study.
        image_s: Seconds of a training step for each image, by the architecture that was timed.
        n_slots: Trainings at a time; those to be expected here when None.
        used_s: Seconds of the budget that are used, of which half at most counts.
    """
    n_slots = n_slots or expected_workers(prepared.config)
    config, splits = prepared.config, prepared.dataset.seen.splits
    assert config.budget.minutes is not None
    seconds = config.budget.minutes * 60
    seconds -= min(used_s, seconds / 2)
    aim, work = AIMS[_aim(prepared)], prepared.space.step_s
    batches = {n: timed_candidate(prepared, n).recipe.batch_size for n in image_s}
    unit_s = median(
        seconds / prepared.space.step_s_of(batches[n])[n] for n, seconds in image_s.items()
    )
    for quantile in np.quantile(work, aim.quantiles):
        timed = epochs_for(
            seconds * n_slots,
            aim,
            image_s=unit_s * quantile,
            n_train=splits["train"].images,
            n_val=splits["val"].images,
        )
        seen = timed.epochs * timed.share * splits["train"].images
        if seen >= aim.least_images or timed.epochs == aim.most_epochs:
            break
    epoch_s = float(timed.epoch_s / quantile)
    if aim.is_equal:
        most = round(aim.most_epochs / timed.share)
        heaviest = float(quantile) * timed.epochs / most
        return plan_of(config, most, share=timed.share, epoch_s=epoch_s, work=heaviest)
    is_short = seen / FACTOR < aim.least_images
    return plan_of(config, timed.epochs, is_short=is_short, share=timed.share, epoch_s=epoch_s)


def first_timed(
    prepared: Prepared, timed: Callable[[Candidate], Times | None]
) -> dict[int, Times]:
    """Return what timing gave by architecture: of each quantile's, the first that can be built.

    Args:
        prepared: The study.
        timed: Returns what timing a candidate gives; None if it cannot be built.
    """
    found: dict[int, Times] = {}
    for tries in _timed_architectures(prepared):
        for number in tries:
            given = timed(timed_candidate(prepared, number))
            if given is not None:
                found[number] = given
                break
    return found


def _timed_architectures(prepared: Prepared) -> list[list[int]]:
    """Return the architectures one of which is timed, the first one first, for each quantile."""
    numbers = np.array(
        [n for n, a in enumerate(prepared.space.architectures) if a not in prepared.unavailable]
    )
    work = prepared.space.step_s[numbers]
    order = numbers[np.argsort(work, kind="stable")]
    lightest = np.searchsorted(np.sort(work), np.quantile(work, AIMS[_aim(prepared)].timed))
    return [order[first : first + TRIES].tolist() for first in lightest]


def timed_candidate(prepared: Prepared, number: int) -> Candidate:
    """Return the candidate of an architecture whose steps are timed, with as large a batch."""
    space = prepared.space
    largest = int(np.argmax([recipe.batch_size for recipe in space.recipes]))
    return _as_timed(space.at(space.first_index(number) + largest))


def _as_timed(candidate: Candidate) -> Candidate:
    """Return a candidate with the batches of its timed steps."""
    recipe, side = candidate.recipe, candidate.architecture.input_size
    size = min(recipe.batch_size, max(TIMED_IMAGES, TIMED_PIXELS // side**2))
    return replace(candidate, recipe=replace(recipe, batch_size=size))


def epoch_images(prepared: Prepared) -> float:
    """Return the images of an epoch of a study's trainings, with what its validation costs."""
    splits = prepared.dataset.seen.splits
    seen = prepared.settings.plan.share * splits["train"].images
    return seen + FORWARD_SHARE * splits["val"].images


def own_steps(prepared: Prepared, candidate: Candidate) -> OwnSteps | None:
    """Return what the epochs of a new candidate follow from; None where all have as many."""
    plan = prepared.settings.plan
    if plan.work is None or plan.epoch_s is None:
        return None
    return OwnSteps(plan, plan.epoch_s / epoch_images(prepared), _as_timed(candidate))


def _timed(prepared: Prepared, engine: Engine) -> dict[int, StepTimes] | str:
    """Return the times of the architectures that were timed; why none was, if none was."""
    asked = prepared.settings.precision
    reasons = ["the space has no architecture"]

    def timed(candidate: Candidate) -> StepTimes | None:
        request = StepsRequest(
            candidate,
            prepared.settings.train,
            compares_precisions=asked == "auto",
        )
        result = found_result(engine, Job("steps", request))
        if isinstance(result, Broken):
            reasons.append(result.message)
            return None
        times: StepTimes = result.value
        return times

    return first_timed(prepared, timed) or reasons[-1]


def n_startup(asked: int, prepared: Prepared) -> int:
    """Return how many first proposals are spread over the front, of so many that are asked for.

    Where the minutes hold few lowest rungs beside the full trainings, as many as there are: else
    all that is seen would be of the front's cheap end.
    """
    plan = prepared.settings.plan
    if not is_planned(prepared.config) or plan.has_probe:
        return asked
    aim = AIMS[_aim(prepared)]
    n_seen = aim.n_full * (1 / aim.share - 1) * plan.horizon / plan.rungs[0]
    return min(asked, max(STARTUP_LEAST, int(n_seen)))


def lines(plan: Plan, prepared: Prepared) -> list[str]:
    """Return what a plan means, a line for each kind of training."""
    n_train = prepared.dataset.seen.splits["train"].images
    seen_as, found = "images" if prepared.dataset.tiles is None else "tiles", []
    every = plan.epochs_of(prepared.space.step_s)
    for epochs, least, most in zip(plan.rungs, every.min(axis=0), every.max(axis=0), strict=True):
        if epochs == 0:
            found.append("probe: a head solved on features of the frozen backbone, each network")
            continue
        kind = "full training" if epochs == plan.horizon else "training"
        of, images = count_of(epochs, "epoch"), f"{round(epochs * plan.share * n_train):,}"
        if least < most:
            of = f"{least} to {count_of(int(most), 'epoch')}"
            images = f"{round(least * plan.share * n_train):,} to "
            images += f"{round(most * plan.share * n_train):,}"
        of += "" if plan.share == 1 else f" of {plan.share:.2g} of the {seen_as}"
        equal = ", which take equally long" if least < most else ""
        found.append(f"{kind}: {of} ({images} {seen_as}){equal}")
    lowest = TrainingTimes((), plan).of_new(prepared.space.step_s, 1)
    minutes = prepared.config.budget.minutes
    if lowest is not None and minutes is not None:
        first, usual = np.quantile(lowest, (0.05, 0.5))
        rest = minutes * 60 * TRAINING_SHARE * (1 - AIMS[_aim(prepared)].share)
        found.append(
            f"first member after about {duration(float(first))} of training; the lowest rung of "
            f"about {count_of(max(1, int(rest / usual)), 'candidate')} beside the full trainings"
        )
    return found


def _aim(prepared: Prepared) -> tuple[bool, bool]:
    """Return the key of a study's aim."""
    return prepared.task.is_image_level, prepared.config.space.weights != "none"
