"""The data is told by its classes, what was left out, notes and warnings, long lists cut."""

from __future__ import annotations

import json

from archfront.search.prepare.data_lines import data_lines, data_record
from archfront.trainers.dataset_summary import (
    DatasetSummary,
    DataWarning,
    SkippedExample,
    SkippedSummary,
    SplitSummary,
)

DATASET = DatasetSummary(
    class_names=("cat", "a dog"),
    division="stratified into train, val with seed 0",
    splits={
        "train": SplitSummary(1200, {"cat": 1100, "a dog": 100}),
        "val": SplitSummary(20, {"cat": 11, "a dog": 9}),
    },
    skipped={
        "broken image": SkippedSummary(
            3, (SkippedExample("a.png", "a.png ends too soon"), SkippedExample("b.png", "empty"))
        ),
        "category without objects": SkippedSummary(
            1, (SkippedExample("animal", "'animal' is a parent"),), is_note=True
        ),
    },
    warnings=(DataWarning("class balance", "the class 'cat' has 90 % of the images"),),
)


def test_every_class_has_its_counts_by_split() -> None:
    assert data_lines("/photos", DATASET) == [
        "data      /photos: 2 classes, 1,200 train, 20 val",
        "split     stratified into train, val with seed 0",
        "classes   images  train  val",
        "          cat     1,100   11",
        "          a dog     100    9",
        "skipped   broken image, 3: a.png ends too soon; b.png: empty; ...",
        "note      category without objects: 'animal' is a parent",
        "warning   the class 'cat' has 90 % of the images",
    ]


def test_long_lists_are_cut_with_a_count() -> None:
    names = tuple(f"class {i} {'x' * 60}" for i in range(25))
    dataset = DatasetSummary(
        class_names=names,
        counted="objects",
        splits={"train": SplitSummary(25, dict.fromkeys(names, 1))},
        skipped={f"reason {i}": SkippedSummary(2) for i in range(15)},
    )
    lines = data_lines("d", dataset)
    assert lines[1] == f"classes   objects{' ' * 33}  train"
    assert lines[2] == f"          class 0 {'x' * 12}…{'x' * 19}      1"
    assert lines[22] == "          and 5 more classes"
    assert lines[23] == "skipped   reason 0, 2"
    assert lines[-1] == "skipped   6 for 3 more reasons"


def test_a_name_of_two_lines_takes_one_line() -> None:
    dataset = DatasetSummary(
        class_names=("a\nb",),
        splits={"train": SplitSummary(3, {"a\nb": 3})},
        skipped={"odd": SkippedSummary(1, (SkippedExample("c\td", "e\r\nf"),))},
    )
    assert data_lines("d", dataset)[2:] == [
        "          a b         3",
        "skipped   odd, 1: c d: e f",
    ]


def test_the_record_has_every_class_and_tells_notes_from_what_was_left_out() -> None:
    record = json.loads(json.dumps(data_record(DATASET)))
    assert record["classes"] == ["cat", "a dog"]
    assert record["splits"]["val"] == {"images": 20, "per_class": {"cat": 11, "a dog": 9}}
    assert record["skipped"] == [
        {
            "reason": "broken image",
            "count": 3,
            "examples": [
                {"name": "a.png", "detail": "a.png ends too soon"},
                {"name": "b.png", "detail": "empty"},
            ],
        }
    ]
    assert [note["reason"] for note in record["notes"]] == ["category without objects"]
    assert [warning["check"] for warning in record["warnings"]] == ["class balance"]
