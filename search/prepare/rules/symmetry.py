"""Symmetries of the images: which flips an augmentation draws from."""

from __future__ import annotations

from collections.abc import Sequence

from archfront.search.config.option_types import AUTO
from archfront.search.config.schema import Config
from archfront.search.front.intervals import wilson
from archfront.search.prepare.rules.facts import Facts
from archfront.search.prepare.rules.rule import Effect
from archfront.trainers.dataset_summary import Symmetries, Told
from archfront.trainers.spec import Flips
from archfront.trainers.tasks import TASKS
from archfront.trainers.words import join_words

# Share of the images that are told from their flipped copies. A flip is right for sure below it,
# and wrong for sure above it; by chance half are told.
MARGIN = 0.65
LEVEL = 0.95  # of the interval that has to lie on one side
# Fewer images can show that a flip is wrong, but not that it is right.
LEAST = 100


def symmetry(facts: Facts, config: Config) -> Effect | None:
    """Return the flips that leave images, and the objects in them, as likely as they are.

    Nothing where it is not sure whether mirrored ones are like the others.
    """
    seen, augment = _views(facts, config), config.space.recipe.augment
    if not seen or (augment != AUTO and set(augment) == {"none"}):
        return None
    flips = flips_of(*seen.values())
    if flips is None:
        return None
    measured = join_words([_words(one, what) for what, one in seen.items()])
    return Effect(f"{measured} (by chance 50%)", {"space.recipe.flips": (flips,)})


def _views(facts: Facts, config: Config) -> dict[str, Symmetries | None]:
    """Return what was told of images and, where the task is about them, of objects."""
    if facts.symmetries is None:
        return {}
    found: dict[str, Symmetries | None] = {"training images": facts.symmetries}
    has_objects = TASKS[config.task.name].target in ("boxes", "outlines")
    return {**found, "objects": facts.object_symmetries} if has_objects else found


def _words(seen: Symmetries | None, what: str) -> str:
    if seen is None:
        return f"the {what} are too few or too small to be compared"
    return (
        f"{seen.mirrored.right:.0%} of {seen.n_images:,} {what} are told from their mirrored "
        f"copies{_of_class(seen)}, {seen.upside_down.right:.0%} upside down and "
        f"{seen.transposed.right:.0%} transposed"
    )


def flips_of(images: Symmetries | None, *objects: Symmetries | None) -> Flips | None:
    """Return the most flips that are right for sure; None where that of mirroring is not sure.

    A flip is right that is so of the images and of the objects in them, and wrong that is so of
    one of both. Of mirroring the objects decide where it is right for them: what is seen of whole
    images is then a lamp, or the place of a camera, and a detector looks at each object by itself.
    """
    views = (images, *objects)
    mirrored, upside_down, transposed = (
        _all_hold([None if seen is None else holds(seen, getattr(seen, flip)) for seen in views])
        for flip in ("mirrored", "upside_down", "transposed")
    )
    if any(seen is not None and holds(seen, seen.mirrored) for seen in objects):
        mirrored = True
    if mirrored is None:
        return None
    if not mirrored:
        return "vertical" if upside_down else "none"
    if not upside_down:
        return "horizontal"
    return "all" if transposed else "both"


def _all_hold(answers: Sequence[bool | None]) -> bool | None:
    return False if False in answers else None if None in answers else True


def holds(seen: Symmetries, told: Told) -> bool | None:
    """Return whether a flip is right for the images of every class; None where that is not sure.

    Of several classes one is told by chance sooner, so intervals are wider (Bonferroni). Images in
    which the classes are not told show too little to say that flips are not told either.
    """
    low, high = wilson(told.right, seen.n_images, LEVEL)
    if low > MARGIN or _worst(seen, told) is not None:
        return False
    return True if high < MARGIN and seen.n_images >= LEAST and _sees(seen) else None


def _sees(seen: Symmetries) -> bool:
    """Return whether the classifier tells classes, as far as there are several."""
    if seen.class_right is None:
        return True
    return wilson(seen.class_right, seen.n_images, LEVEL)[0] > seen.class_chance


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
