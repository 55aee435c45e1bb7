"""Classes and splits that cannot be learned or evaluated, each with its own message."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from archfront.trainers.data.divide import HasTarget, Targeted
from archfront.trainers.data.raw import Skipped
from archfront.trainers.data.targets import Objects, class_counts
from archfront.trainers.errors import DataError
from archfront.trainers.words import count_of, join_words

Parts = Mapping[str, Sequence[HasTarget]]
EMPTY = "empty class"  # the reason of a class without any image


def without_unlabeled_test(
    parts: Mapping[str, list[Targeted]],
) -> tuple[dict[str, list[Targeted]], list[Skipped]]:
    """Return the parts without a test split in which no image shows an object, and its note."""
    tested = parts.get("test")
    if not tested or not _shows_nothing(tested):
        return dict(parts), []
    n = count_of(len(tested), "image of test shows", "images of test show")
    detail = f"the {n} no object, so nothing can be scored on them and test is left out"
    note = Skipped("test", "test split without annotations", detail, is_note=True)
    return {part: samples for part, samples in parts.items() if part != "test"}, [note]


def check_names(class_names: Sequence[str], where: str) -> None:
    """Raise an error if two classes have one name, by which their counts and scores are told.

    Raises:
        DataError: With the first such name.
    """
    twice = [name for name, count in Counter(class_names).items() if count > 1]
    if twice:
        numbers = [str(label) for label, name in enumerate(class_names) if name == twice[0]]
        raise DataError(
            f"{where}: the classes {join_words(numbers)}, counted from 0, are all called "
            f"{twice[0]!r}. Give each class a name of its own."
        )


def check_shown(parts: Parts, where: str, left_out: str = "") -> None:
    """Raise an error if no image of a part shows an object.

    Args:
        parts: Readable samples of each part.
        where: What to call the data.
        left_out: The lines of the error on what was left out before, which may be the reason.

    Raises:
        DataError: With what is to be done for this part.
    """
    for part, samples in parts.items():
        if not samples or not _shows_nothing(samples):
            continue
        n = count_of(len(samples), "image")
        if part in ("all", "train"):
            lacking = "nothing can be learned. Check that the annotations are those of the images"
        else:
            lacking = (
                f"nothing can be scored on them. Give {part} annotations, or leave {part} out, "
                "and some of the other images take its place"
            )
        which = "" if part == "all" else f" of {part}"
        raise DataError(
            f"{where}: none of the {n}{which} shows an object, so {lacking}.{left_out}"
        )


def _shows_nothing(samples: Sequence[HasTarget]) -> bool:
    """Return whether images may show objects, and none does."""
    return all(isinstance(s.target, Objects) and not class_counts(s.target) for s in samples)


def class_problems(
    parts: Parts, class_names: Sequence[str], *, splits: Sequence[str]
) -> dict[int, Skipped]:
    """Return the problems of classes by label.

    Args:
        parts: Readable samples of each part.
        class_names: Names by label.
        splits: The splits that the first part will be divided into; just its name if none.
    """
    counts = {
        part: Counter(label for s in samples for label in class_counts(s.target))
        for part, samples in parts.items()
    }
    problems = {}
    for label, name in enumerate(class_names):
        members = {part: count[label] for part, count in counts.items()}
        problem = _empty(name, members) or _alone(name, members) or _small(name, members, splits)
        if problem is not None:
            problems[label] = problem
    return problems


def _empty(name: str, members: Mapping[str, int]) -> Skipped | None:
    if any(members.values()):
        return None
    return Skipped(name, EMPTY, f"class {name!r} has no readable image; add images or remove it")


def _alone(name: str, members: Mapping[str, int]) -> Skipped | None:
    """Return the problem of a class that is not in train, or in train but not in val."""
    if "train" not in members:
        return None
    having = [part for part, count in members.items() if count]
    if "train" not in having:
        where, missing = " and ".join(having), "train"
    elif "val" in members and "val" not in having:
        where, missing = "train", "val"
    else:
        return None
    why = "nothing could learn it" if missing == "train" else "nothing could evaluate it"
    n = sum(members.values())
    return Skipped(
        name,
        f"class only in {where}" if len(having) == 1 else f"class not in {missing}",
        f"class {name!r} has {count_of(n, 'image')} in {' and '.join(having)} but none in "
        f"{missing}, so {why}; add some to {missing} or remove the class",
    )


def _small(name: str, members: Mapping[str, int], splits: Sequence[str]) -> Skipped | None:
    n = next(iter(members.values()))
    if n >= len(splits):
        return None
    return Skipped(
        name,
        "class too small to split",
        f"class {name!r} has {count_of(n, 'image')}, too few to split into {', '.join(splits)}: "
        f"each needs one; add {len(splits) - n} or remove the class",
    )
