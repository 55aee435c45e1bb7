"""Small inputs drawn elsewhere, and what is right of each: read, told, or refused with one error.

The environment variable ARCHFRONT_CASES names a folder with one folder per case and ``EXPECTED/``,
which says in words what is right of each. Objects in its pictures are red and blue rectangles.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from archfront.trainers.data import READERS, Dataset, load
from archfront.trainers.data.images import read_pixels
from archfront.trainers.data.targets import IGNORED, Labels, Mask, Objects, TargetKind
from archfront.trainers.data.verify import Sample
from archfront.trainers.errors import DataError
from tests.support.drawn_images import REF

VARIABLE = "ARCHFRONT_CASES"
LINES_MAX = 12  # of an error, with all of its causes
TOLERANCE_PX = 3  # jpeg blurs the edges of what is drawn


@dataclass(frozen=True)
class Case:
    """One input, and what is right of it.

    Attributes:
        name: Its file in ``EXPECTED``, without the ending.
        classes: Images, objects or (masks) nothing but names, by class; None where no data is
            left, so that only the error is looked at.
        images: In all splits together; None where ``classes`` has a number for each image.
        parts: Images by the splits that the data itself has; None to leave that unseen.
        stops: What the error says that stops by default, as regular expressions.
        lines: What the error may have.
        told: What is told of the data that is used, as regular expressions.
        untold: What is not told.
        red: Name of the class that is drawn in red.
        n_odd: Objects that need not fit what is drawn.
        target: What is read; None for the first kind of target of the format.
        root: Folder of the data below that of the case.
        options: Other options of the data.
        is_slow: Whether it takes seconds.
        wrong: Why archfront does something else.
    """

    name: str
    classes: Mapping[str, int] | None = None
    images: int | None = None
    parts: Mapping[str, int] | None = None
    stops: tuple[str, ...] = ()
    lines: int = LINES_MAX
    told: tuple[str, ...] = ()
    untold: tuple[str, ...] = ()
    red: str = "red"
    n_odd: int = 0
    target: TargetKind | None = None
    root: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    is_slow: bool = False
    wrong: str = ""


def case_root() -> Path:
    """Return the folder of the cases; the test is skipped where there is none."""
    named = os.environ.get(VARIABLE)
    if not named:
        pytest.skip(f"{VARIABLE} names no folder of cases")
    return Path(named)


def parameters(cases: Iterable[Case]) -> list[Any]:
    """Return the parameters of a test over cases; those that are wrong have to fail."""
    found = []
    for case in cases:
        marks = [pytest.mark.xfail(strict=True, reason=case.wrong)] if case.wrong else []
        marks += [pytest.mark.slow] if case.is_slow else []
        found.append(pytest.param(case, id=case.name, marks=marks))
    return found


def check(case: Case, reader: str) -> None:
    """Compare what archfront makes of a case with what is right."""
    base = case_root()
    assert (base / "EXPECTED" / f"{case.name}.txt").is_file(), "the folder has no such case"
    ref = replace(
        REF,
        reader=reader,
        root=str(base / (case.root or case.name)),
        target=case.target or READERS[reader].gives[0],
        train=0.7,
        val=0.15,
        test=0.15,
        memory_mb=1000,
        **case.options,
    )
    if case.stops:
        with pytest.raises(DataError) as caught:
            load(ref)
        message = str(caught.value)
        for pattern in case.stops:
            assert_has(message, pattern)
        assert len(message.splitlines()) <= case.lines, message
        ref = replace(ref, on_error="skip")
    if case.classes is None:
        assert case.stops, "a case without classes is refused"
        return
    dataset = load(ref)
    if case.parts is not None:
        read = READERS[reader].read(ref).parts
        assert {part: len(samples) for part, samples in read.items()} == case.parts
    check_content(dataset, case)
    warned = [warning.text for warning in dataset.summary().warnings]
    told = "\n".join([*(f"{item.name}: {item.detail}" for item in dataset.skipped), *warned])
    for pattern in case.told:
        assert_has(told, pattern)
    assert not [text for text in case.untold if text in told], told


def assert_has(text: str, pattern: str) -> None:

    assert re.search(pattern, text, re.DOTALL), f"{pattern!r} is not in:\n{text}"


def check_content(dataset: Dataset, case: Case) -> None:
    """Compare classes, numbers, and what each image shows, with what is right."""
    assert case.classes is not None
    samples = [sample for split in dataset.splits.values() for sample in split.samples]
    names = dataset.class_names
    assert sorted(names) == sorted(case.classes)
    counts: Counter[str] = Counter()
    n_odd = 0
    for sample in samples:
        match sample.target:
            case Objects(labels=labels):
                counts.update(names[label] for label in labels)
                n_odd += n_misplaced(sample, names, case.red)
            case Mask():
                counts.update(dict.fromkeys(names, 0))
                check_mask(sample)
            case Labels(present):
                counts.update(names[label] for label in present)
            case int():
                counts[names[sample.target]] += 1
                check_folder(sample, names[sample.target], names)
    assert counts == case.classes
    assert n_odd == case.n_odd, "boxes do not lie on what is drawn"
    n_images = sum(case.classes.values()) if case.images is None else case.images
    assert len(samples) == n_images


def check_folder(sample: Sample, name: str, names: Iterable[str]) -> None:
    """Compare the class of an image with the folder that it lies in, where that names one."""
    folders = unicodedata.normalize("NFC", sample.name).split("/")[:-1]
    having = [folder for folder in folders if folder in set(names)]
    assert having in ([], [name]), sample.name


def n_misplaced(sample: Sample, names: tuple[str, ...], red: str) -> int:
    """Return how many boxes of an image do not lie around what is drawn in the class's color."""
    assert isinstance(sample.target, Objects)
    pixels = read_pixels(sample.source).astype(int)
    number = 0
    for box, label in zip(sample.target.boxes, sample.target.labels, strict=True):
        drawn = drawn_box(pixels, is_red=names[label] == red)
        number += drawn is None or bool(np.abs(box - drawn).max() > TOLERANCE_PX)
    return number


def drawn_box(pixels: NDArray[np.int64], *, is_red: bool) -> NDArray[np.int64] | None:
    """Return x1, y1, x2, y2 around the pixels of a color; None where there are none."""
    rows, columns = np.nonzero(is_drawn(pixels, is_red=is_red))
    if not len(rows):
        return None
    return np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])


def is_drawn(pixels: NDArray[np.int64], *, is_red: bool) -> NDArray[np.bool_]:
    if pixels.shape[2] == 1:
        return np.zeros(pixels.shape[:2], np.bool_)
    difference = pixels[..., 0] - pixels[..., 2]
    return np.asarray((difference if is_red else -difference) > 90)


def check_mask(sample: Sample) -> None:
    """Compare the pixels of objects in a mask with what is drawn in red or blue."""
    assert isinstance(sample.target, Mask)
    indices = sample.target.indices()
    pixels = read_pixels(sample.source).astype(int)
    drawn = is_drawn(pixels, is_red=True) | is_drawn(pixels, is_red=False)
    known = indices != IGNORED
    inside = indices != np.bincount(indices[known]).argmax()  # most of it is the background
    assert (inside == drawn)[known].mean() > 0.97, sample.name
