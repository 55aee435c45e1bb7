"""Counts, times and lists in words."""

from __future__ import annotations

from pathlib import Path

import pytest

from archfront.trainers.words import (
    count_of,
    duration,
    join_words,
    reason_of,
    score_text,
    shortened,
)


@pytest.mark.parametrize(
    ("n", "words"),
    [(0, "0 images"), (1, "1 image"), (2, "2 images"), (1200, "1,200 images"), (1.0, "1 image")],
)
def test_one_is_singular(n: float, words: str) -> None:
    assert count_of(n, "image") == words


def test_a_verb_and_another_plural_are_given() -> None:
    assert count_of(1, "class is", "classes are") == "1 class is"
    assert count_of(3, "class is", "classes are") == "3 classes are"


@pytest.mark.parametrize(
    ("width", "words"),
    [(12, "resnet18@224"), (11, "resne…8@224"), (4, "re…4"), (1, "…"), (0, "")],
)
def test_a_long_text_loses_its_middle(width: int, words: str) -> None:
    assert shortened("resnet18@224", width) == words


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (0.123, "0.12 s"),
        (59.7, "1 min"),
        (125, "2 min 5 s"),
        (3600, "1 h"),
        (3725, "1 h 2 min"),
    ],
)
def test_a_duration_reads_in_its_two_largest_units(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_words_are_joined_as_people_do() -> None:
    assert [join_words(w) for w in ([], ["a"], ["a", "b"], ["a", "b", "c"])] == [
        "",
        "a",
        "a and b",
        "a, b and c",
    ]


def test_small_scores_keep_two_digits() -> None:
    texts = [score_text(score) for score in (1.0, 0.874, 0.1, 0.0516, 0.00921, 0.0)]
    assert texts == ["1.00", "0.87", "0.10", "0.052", "0.0092", "0"]


def test_the_reason_of_an_unread_file_does_not_name_it_again(tmp_path: Path) -> None:
    """It ended with [Errno 2] and the path, which the message had before it."""
    with pytest.raises(OSError, match="Errno 2") as caught:
        (tmp_path / "none.yaml").read_text()
    assert reason_of(caught.value) == "No such file or directory"
    assert reason_of(OSError("it is a named pipe, not a file")) == "it is a named pipe, not a file"
    assert reason_of(ValueError("no text")) == "no text"
