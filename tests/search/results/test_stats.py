"""What a report says of a dataset: what its numbers count, and its objects."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from archfront.search.records.header import SECTIONS, StudyHeader
from archfront.search.report.document import render
from archfront.search.results.stats import class_rows, dataset_facts
from archfront.trainers.data import load
from archfront.trainers.data.objects import Found, gathered
from archfront.trainers.data.summary import summarize
from archfront.trainers.data.targets import class_counts
from archfront.trainers.data.verify import Sample
from archfront.trainers.dataset_summary import (
    DatasetSummary,
    ObjectSummary,
    SideShare,
    SplitSummary,
    Spread,
)
from tests.support.drawn_datasets import NAMES, SHAPES, drawn
from tests.support.recorded_study import record
from tests.support.study_headers import study_header


def summary_of(target: str) -> DatasetSummary:
    return load(drawn(target)).summary()


@pytest.mark.parametrize(
    ("target", "what"), [("label", "images"), ("mask", "pixels"), ("boxes", "objects")]
)
def test_the_numbers_per_class_say_what_they_count(target: str, what: str) -> None:
    summary = summary_of(target)
    assert summary.counted == what
    total = {"images": 24, "pixels": 24 * 32 * 32}.get(what) or sum(
        sum(class_counts(s.target).values())
        for samples in load(drawn(target)).splits.values()
        for s in samples.samples
    )
    assert sum(row[2] for row in class_rows(summary)) == total
    page = render(record(dataset=summary))
    assert f"<summary>{what.capitalize()} per class</summary>" in page


def test_a_summary_of_before_counts_images() -> None:
    sections: dict[str, dict[str, int]] = {name: {} for name in SECTIONS}
    content = study_header({**sections, "task": {"epochs": 3}}).as_dict()
    for newer in ("version", "rungs"):
        del content[newer]
    del content["dataset"]["counted"]
    assert StudyHeader.from_dict(content).dataset.counted == "images"


def test_objects_are_told_with_their_number_and_size() -> None:
    dataset = DatasetSummary(
        class_names=("a", "b"),
        splits={
            "train": SplitSummary(3, {"a": 1000, "b": 234}),
            "val": SplitSummary(2, {"a": 5, "b": 6}),
        },
        objects=ObjectSummary(Spread(0, 2.5, 30), SideShare(0.0312, 0.055, 0.113)),
    )
    assert dataset_facts(dataset) == {
        "images": "3 train and 2 val",
        "classes": "2",
        "objects": "1,234 train and 11 val",
        "objects per image": "0 to 30, median 2.5",
        "object size": "median 5.5% of the image's longer side; 8 in 10 from 3.1% to 11.3%",
    }


def test_data_without_objects_tells_of_none() -> None:
    facts = dataset_facts(summary_of("label"))
    assert not [name for name in facts if "object" in name]


def test_the_facts_of_drawn_shapes_are_those_they_were_drawn_with() -> None:
    summary = summary_of("boxes")
    assert summary.objects is not None
    assert summary.objects.per_image.min == SHAPES.objects_min
    assert summary.objects.per_image.max == SHAPES.objects_max
    share = summary.objects.side_share
    assert 0.1 < share.p10 < share.median < share.p90 < SHAPES.share_max
    assert [row[0] for row in class_rows(summary)] == list(NAMES)


def test_crowds_are_not_counted() -> None:
    found = [
        Found((0, 0, 10, 10), 0, "", is_crowd=False),
        Found((0, 0, 100, 100), 0, "", is_crowd=True),
    ]
    target = gathered(found, has_outlines=False)
    pixels = np.zeros((100, 100, 1), np.uint8)
    sample = Sample(pixels, target, "a", 100, 100, is_grey=True, digest="0")
    summary = summarize({"train": [sample, replace(sample, name="b")]}, ["a"], [])
    assert summary.splits["train"].per_class == {"a": 2}
    assert summary.objects is not None
    assert summary.objects.per_image == Spread(1, 1, 1)
    assert summary.objects.side_share.median == pytest.approx(0.1)
