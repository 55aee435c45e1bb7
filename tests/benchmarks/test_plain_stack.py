"""What the comparison with the plain stack makes of what both did."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from plain_judge import Stack, first_time, reference_of, time_ratio, trajectory
from plain_stack import copied
from stack_runs import plain_stack

from archfront.search.records.candidate import Candidate
from archfront.search.records.objectives import Reference, objectives_for
from tests.support.small_study import small_space

SPACE = small_space()
OBJECTIVES = objectives_for("accuracy")
REFERENCE = Reference({"accuracy": 0.1, "latency_ms": 8.0})


def chosen(choice: dict[str, Any]) -> Candidate:
    return SPACE.at(choice["index"])


def row(index: int, accuracy: float, latency_ms: float, s: float) -> dict[str, Any]:
    return {"choice": {"index": index}, "accuracy": accuracy, "latency_ms": latency_ms, "s": s}


def test_the_plain_front_follows_its_own_values_and_ends_with_its_time() -> None:
    rows = [row(0, 0.5, 2.0, 10), row(2, 0.6, 1.0, 20), row(4, 0.7, 3.0, 30), row(6, 0.9, 0.1, 41)]
    stack = plain_stack(rows, chosen, seconds=40)
    ids = [SPACE.at(index).id for index in (0, 2, 4)]
    assert stack == Stack("plain", ((10, (ids[0],)), (20, (ids[1],)), (30, (ids[1], ids[2]))), 3)


def test_a_candidate_tried_twice_is_one_member() -> None:
    rows = [row(0, 0.5, 2.0, 10), row(0, 0.5, 2.0, 20)]
    assert plain_stack(rows, chosen, seconds=40).points[-1] == (20, (SPACE.at(0).id,))


def test_a_trajectory_counts_judged_values_by_accuracy_times_halvings() -> None:
    judged = {"a": (0.5, 4.0), "b": (0.7, 2.0), "c": (0.9, 16.0)}
    stack = Stack("plain", ((5, ("a",)), (6, ("a",)), (9, ("a", "b")), (12, ("c",))), 4)
    rows = trajectory(stack, judged, OBJECTIVES, REFERENCE)
    assert [r["s"] for r in rows] == [5, 9, 12]
    # 8 to 4 ms is one halving, to 2 ms two; what is slower than the reference counts nothing.
    assert [r["hypervolume"] for r in rows] == pytest.approx([0.4 * 1, 0.6 * 2, 0.0])


def test_the_first_time_is_that_of_the_first_front_as_good() -> None:
    rows = [{"s": 5.0, "hypervolume": 0.2}, {"s": 9.0, "hypervolume": 0.4}]
    assert first_time(rows, 0.3) == 9.0
    assert first_time(rows, 0.2) == 5.0
    assert first_time(rows, 0.5) is None


def test_splits_are_made_of_different_images(tmp_path: Path) -> None:
    for split, n_images in (("train", 6), ("val", 3)):
        for name in "ab":
            folder = tmp_path / "given" / split / name
            folder.mkdir(parents=True)
            for number in range(n_images):
                (folder / f"{split}{number}.png").write_bytes(b"")
    target = copied(tmp_path / "given", tmp_path, {"train": 8, "val": 4, "test": 6})
    found = {
        part: sorted(f"{p.parent.name}/{p.name}" for p in (target / part).rglob("*.png"))
        for part in ("train", "val", "test")
    }
    assert [len(names) for names in found.values()] == [8, 4, 6]
    assert not set(found["train"]) & set(found["val"])
    assert all("/val" in name for name in found["test"])


def test_more_images_than_there_are_is_said(tmp_path: Path) -> None:
    (tmp_path / "train" / "a").mkdir(parents=True)
    (tmp_path / "val" / "a").mkdir(parents=True)
    with pytest.raises(SystemExit, match="train/a has 0 images and 5 are needed"):
        copied(tmp_path, tmp_path / "out", {"train": 4, "val": 1, "test": 0})


def test_the_slowest_that_was_judged_counts() -> None:
    reference = reference_of({"a": (0.9, 2.0), "b": (0.8, 4.0)}, classes=10)
    assert reference.values == {"accuracy": 0.1, "latency_ms": pytest.approx(4.4)}


def test_a_ratio_is_of_the_seconds_that_both_had() -> None:
    rows = {"archfront": [{"s": 10.0, "hypervolume": 0.5}, {"s": 30.0, "hypervolume": 2.0}]}
    assert time_ratio(rows, 1.0, 120.0) == 0.25
    assert time_ratio(rows, 3.0, 120.0) is None
