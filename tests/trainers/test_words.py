"""Counts in words."""

from __future__ import annotations

import pytest

from archfront.trainers.words import count_of


@pytest.mark.parametrize(
    ("n", "words"),
    [(0, "0 images"), (1, "1 image"), (2, "2 images"), (1200, "1,200 images"), (1.0, "1 image")],
)
def test_one_is_singular(n: float, words: str) -> None:
    assert count_of(n, "image") == words


def test_a_verb_and_another_plural_are_given() -> None:
    assert count_of(1, "class is", "classes are") == "1 class is"
    assert count_of(3, "class is", "classes are") == "3 classes are"
