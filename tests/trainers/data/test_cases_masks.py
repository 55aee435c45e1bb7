"""Masks as people have them (``tests/support/case_folder.py``)."""

from __future__ import annotations

import pytest

from tests.support.case_folder import Case, check, parameters


def of(*names: str) -> dict[str, int]:
    return dict.fromkeys(names, 0)


PALETTE = (("background", (0, 0, 0)), ("red", (128, 0, 0)), ("blue", (0, 128, 0)))
LOSSY = "compress"

MASKS = (
    Case("82-masks-jpeg", stops=(LOSSY,), lines=3),
    Case("82c-masks-jpeg-many", stops=(LOSSY,), lines=3),
    Case("83-masks-0-255", of("class 0", "class 255"), 12),
    Case("84-masks-palette-png", of("class 0", "class 1", "class 2"), 12),
    Case("84b-masks-rgba", of("background", "red", "blue"), 12, options={"palette": PALETTE}),
    Case("86-masks-exif", stops=("EXIF",), lines=7),
    Case(
        "87-masks-16-bit",
        stops=("1000", "2000"),
        lines=6,
    ),
    Case(
        "88-masks-huge",
        of("class 0", "class 1", "class 2"),
        12,
        stops=("has 1 problem", "zz.png"),
    ),
    Case(
        "90-masks-voc-layout",
        of("class 0", "class 1", "class 2"),
        12,
        parts={"train": 8, "val": 4},
    ),
    Case(
        "99-masks-labels-0-1-with-names",
        of("background", "thing"),
        12,
        options={"classes": ("background", "thing")},
    ),
    Case(
        "106-masks-0-128-255",
        of("class 0", "class 128", "class 255"),
        12,
        told=("255 has 86.5% of the pixels.*so it is a class",),
    ),
)


@pytest.mark.parametrize("case", parameters(MASKS))
def test_masks_are_read_as_they_are_meant(case: Case) -> None:
    check(case, "masks")
