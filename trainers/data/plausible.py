"""What looks wrong with a dataset that can be read: named checks, each of them one sentence.

Nothing here stops a study: what cannot be used at all is an error of the readers or of
``checks.py``.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from archfront.trainers.data.targets import Mask, Objects
from archfront.trainers.data.verify import Sample
from archfront.trainers.dataset_summary import DataWarning, SplitSummary
from archfront.trainers.words import count_of, join_words

# Names of folders around classes, which become classes when data.root is a wrong folder.
FOLDERS = re.compile(
    "all|annotations|data|dataset|images|imgs?|jpegimages|labels|masks|test|testing|train|training"
    "|val|valid|validation"
)
SPLITS = re.compile("test|testing|train|training|val|valid|validation")
# Shares above which ignored pixels, and what is of one class, look wrong.
IGNORED_SHARE, ONE_CLASS_SHARE = 0.8, 0.95
# A box that covers so much of both sides of its image covers all of it.
WHOLE_SIDE, LEAST_PX = 0.99, 1.0
N_NAMED = 3


@dataclass(frozen=True)
class Facts:
    """What the checks look at.

    Attributes:
        class_names: Names by label.
        counted: What the numbers per class are of.
        samples: The images of each split.
        splits: Their numbers per class.
    """

    class_names: Sequence[str]
    counted: str
    samples: Mapping[str, Sequence[Sample]]
    splits: Mapping[str, SplitSummary]


Check = Callable[[Facts], str | None]
Sides = NDArray[np.float32]  # widths and heights of boxes, ``(K, 2)``


def warnings(facts: Facts) -> tuple[DataWarning, ...]:
    """Return what looks wrong, one sentence for each check that finds something."""
    found = ((name, check(facts)) for name, check in CHECKS.items())
    return tuple(DataWarning(name, text) for name, text in found if text is not None)


def _folder_names(facts: Facts) -> str | None:
    names = [name for name in facts.class_names if FOLDERS.fullmatch(name.strip().casefold())]
    if not names:
        return None
    return (
        f"{_named('class', names)} {'is' if len(names) == 1 else 'are'} called like a folder "
        "around classes or images; is data.root the right folder?"
    )


def _inner_datasets(facts: Facts) -> str | None:
    """Return which class folders hold splits that hold folders, as whole datasets do."""
    found: dict[str, str] = {}
    for sample in (each for samples in facts.samples.values() for each in samples):
        top, *inner = sample.name.split("/")
        if not isinstance(sample.target, int) or top != facts.class_names[sample.target]:
            continue
        if len(inner) > 2 and SPLITS.fullmatch(inner[0].casefold()):
            found.setdefault(top, "/".join([top, *inner[:2]]))
    if not found:
        return None
    return (
        f"splits with folders in them lie in {_named('class', list(found))}, as "
        f"{next(iter(found.values()))}; is that a dataset of its own, to be given as data.root?"
    )


def _similar_names(facts: Facts) -> str | None:
    groups: defaultdict[str, list[str]] = defaultdict(list)
    for name in facts.class_names:
        groups["".join(unicodedata.normalize("NFKC", name).casefold().split())].append(name)
    similar = [join_words([*map(_quoted, g)]) for g in groups.values() if len(g) > 1]
    if not similar:
        return None
    return (
        f"the classes {_some(similar, '; ')} differ only by case, blanks or Unicode form; if they "
        "are the same, give them one name"
    )


def _quoted(name: str) -> str:
    """Return a class name in quotes, with escapes where it is not in the composed form."""
    return repr(name) if unicodedata.is_normalized("NFKC", name) else ascii(name)


def _one_class(facts: Facts) -> str | None:
    counts: Counter[str] = Counter()
    for part in facts.splits.values():
        counts.update(part.per_class)
    total = sum(counts.values())
    if len(facts.class_names) < 2 or not total:
        return None
    name, most = counts.most_common(1)[0]
    if most < ONE_CLASS_SHARE * total:
        return None
    return (
        f"the class {name!r} has {most / total:.1%} of all {facts.counted}; a network that always "
        "says so would look good by metrics that do not weigh classes equally"
    )


def _missing_classes(facts: Facts) -> str | None:
    parts = []
    for split, part in facts.splits.items():
        lacking = [name for name in facts.class_names if not part.per_class.get(name)]
        if lacking and len(lacking) < len(facts.class_names):
            parts.append(f"{split} shows nothing of {_named('class', lacking)}")
    return None if not parts else "; ".join(parts)


def _copies(facts: Facts) -> str | None:
    first: dict[str, tuple[str, str]] = {}
    found: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    for split, samples in facts.samples.items():
        for sample in samples:
            other, name = first.setdefault(sample.digest, (split, sample.name))
            if other != split:
                found[split, other].append(f"{sample.name} is {name}")
    if not found:
        return None
    parts = [
        f"{count_of(len(pairs), 'image')} of {split} {'is' if len(pairs) == 1 else 'are'} byte "
        f"for byte in {other}, too ({_some(pairs, '; ')})"
        for (split, other), pairs in found.items()
    ]
    return f"{'; '.join(parts)}; what a network has learned by heart looks good there"


def _ignored_pixels(facts: Facts) -> str | None:
    pixels = counted = 0
    for samples in facts.samples.values():
        for sample in samples:
            if isinstance(sample.target, Mask):
                pixels += sample.width * sample.height
                counted += sum(sample.target.counts)
    if pixels - counted <= IGNORED_SHARE * pixels:
        return None
    return (
        f"{(pixels - counted) / pixels:.1%} of all pixels in the masks are ignored; are "
        "data.palette, data.classes and data.ignore_index right?"
    )


def _boxes_where(facts: Facts, is_odd: Callable[[Sample, Sides], Any]) -> str | None:
    """Return how many boxes are odd, with images that have some; None without any."""
    total, n_odd, where = 0, 0, []
    for samples in facts.samples.values():
        for sample in samples:
            if isinstance(sample.target, Objects) and len(sample.target):
                boxes = sample.target.boxes[~sample.target.crowd]
                n = int(np.count_nonzero(is_odd(sample, boxes[:, 2:] - boxes[:, :2])))
                total, n_odd = total + len(boxes), n_odd + n
                where += [sample.name] if n else []
    return f"{n_odd:,} of {total:,} boxes ({_some(where)})" if n_odd else None


def _tiny_boxes(facts: Facts) -> str | None:
    found = _boxes_where(facts, lambda _, sides: (sides < LEAST_PX).any(axis=1))
    if found is None:
        return None
    return f"narrower than a pixel: {found}; are they in pixels, and for images of this size?"


def _whole_boxes(facts: Facts) -> str | None:
    def is_whole(sample: Sample, sides: Sides) -> Any:
        return (sides >= np.array([sample.width, sample.height]) * WHOLE_SIDE).all(axis=1)

    found = _boxes_where(facts, is_whole)
    if found is None:
        return None
    return f"as large as the image: {found}; is that an object, or an image without one?"


# By the name under which records keep what was found.
CHECKS: Mapping[str, Check] = {
    "class called like a folder": _folder_names,
    "class folder with splits": _inner_datasets,
    "similar class names": _similar_names,
    "one class": _one_class,
    "class missing in a split": _missing_classes,
    "copies across splits": _copies,
    "ignored pixels": _ignored_pixels,
    "boxes under a pixel": _tiny_boxes,
    "boxes over the whole image": _whole_boxes,
}


def _named(what: str, names: Sequence[str]) -> str:
    """Return ``the class 'a'``, or ``4 classes ('a', 'b', 'c', ...)``."""
    if len(names) == 1:
        return f"the {what} {names[0]!r}"
    return f"{count_of(len(names), what, f'{what}es')} ({_some([*map(repr, names)])})"


def _some(words: Sequence[str], separator: str = ", ") -> str:
    shown = [*words[:N_NAMED], *(["..."] if len(words) > N_NAMED else [])]
    return separator.join(shown)
