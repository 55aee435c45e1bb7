"""Symmetries of the images: which flips an augmentation draws from."""

from __future__ import annotations

from archfront.search.config.option_types import AUTO
from archfront.search.config.schema import Config
from archfront.search.front.intervals import wilson
from archfront.search.prepare.rules.facts import Facts
from archfront.search.prepare.rules.rule import Effect
from archfront.trainers.dataset_summary import Symmetries, Told
from archfront.trainers.spec import Flips
from archfront.trainers.tasks import TASKS

# Share of the images that are told from their flipped copies. A flip is right for sure below it,
# and wrong for sure above it; by chance half are told.
MARGIN = 0.65
LEVEL = 0.95  # of the interval that has to lie on one side
# Fewer images can show that a flip is wrong, but not that it is right.
LEAST = 100


def symmetry(facts: Facts, config: Config) -> Effect | None:
    """Return the flips that leave the images as likely as they are.

    Nothing where it is not sure whether mirrored images are like the others.
    """
    seen, augment = facts.symmetries, config.space.recipe.augment
    if seen is None or not TASKS[config.task.name].is_image_level:
        return None
    if augment != AUTO and set(augment) == {"none"}:
        return None
    flips = flips_of(seen)
    if flips is None:
        return None
    shares = f"{seen.mirrored.right:.0%} of {seen.n_images:,} training images are told from their "
    others = (
        f"upside down {seen.upside_down.right:.0%}, transposed {seen.transposed.right:.0%}, by "
        f"chance 50%"
    )
    return Effect(
        f"{shares}mirrored copies{_of_class(seen)} ({others})", {"space.recipe.flips": (flips,)}
    )


def flips_of(seen: Symmetries) -> Flips | None:
    """Return the most flips that are right for sure; None where that of mirroring is not sure."""
    mirrored, upside_down, transposed = (
        holds(seen, told) for told in (seen.mirrored, seen.upside_down, seen.transposed)
    )
    if mirrored is None:
        return None
    if not mirrored:
        return "vertical" if upside_down else "none"
    if not upside_down:
        return "horizontal"
    return "all" if transposed else "both"


def holds(seen: Symmetries, told: Told) -> bool | None:
    """Return whether a flip is right for the images of every class; None where that is not sure.

    Of several classes one is told by chance sooner, so intervals are wider (Bonferroni).
    """
    low, high = wilson(told.right, seen.n_images, LEVEL)
    if low > MARGIN or _worst(seen, told) is not None:
        return False
    return True if high < MARGIN and seen.n_images >= LEAST else None


def _worst(seen: Symmetries, told: Told) -> str | None:
    """Return the class that is told best, where it is told for sure."""
    level = 1 - (1 - LEVEL) / max(len(told.of_class), 1)
    lows = {
        name: wilson(right, seen.n_of_class[name], level)[0]
        for name, right in told.of_class.items()
    }
    worst = max(lows, key=lows.__getitem__, default=None)
    return worst if worst is not None and lows[worst] > MARGIN else None


def _of_class(seen: Symmetries) -> str:
    """Return what is told of a class in which mirrored images are told."""
    worst = _worst(seen, seen.mirrored)
    return "" if worst is None else f", {seen.mirrored.of_class[worst]:.0%} of {worst}"
