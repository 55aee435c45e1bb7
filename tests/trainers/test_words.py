"""Counts in words."""

from __future__ import annotations

import pytest

from archfront.trainers.words import count_of, shortened


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
