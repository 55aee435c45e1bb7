"""Masks as people have them (``tests/support/case_folder.py``)."""

from __future__ import annotations

import pytest

from tests.support.case_folder import Case, check, parameters


def of(*names: str) -> dict[str, int]:
    return dict.fromkeys(names, 0)


PALETTE = (("background", (0, 0, 0)), ("red", (128, 0, 0)), ("blue", (0, 128, 0)))
LOSSY = "compress"

MASKS = (
    Case("82-masks-jpeg", stops=(LOSSY,), lines=3, wrong="every value is a class"),
    Case("82c-masks-jpeg-many", stops=(LOSSY,), lines=3, wrong="every value is a class"),
    Case("83-masks-0-255", of("class 0", "class 255"), 12),
    Case("84-masks-palette-png", of("class 0", "class 1", "class 2"), 12),
    Case("84b-masks-rgba", of("background", "red", "blue"), 12, options={"palette": PALETTE}),
    Case("86-masks-exif", stops=("EXIF",), lines=6, wrong="EXIF is not named"),
    Case(
        "87-masks-16-bit",
        stops=("1000", "2000"),
        lines=6,
        wrong="one cause has ten lines",
    ),
    Case(
        "88-masks-huge",
        of("class 0", "class 1", "class 2"),
        12,
        stops=("has 1 problem", "zz.png"),
        wrong="ends in a traceback",
    ),
    Case("90-masks-voc-layout", stops=("no folders of images and masks",), lines=1),
    Case(
        "99-masks-labels-0-1-with-names",
        of("background", "thing"),
        12,
        options={"classes": ("background", "thing")},
    ),
    Case(
        "106-masks-0-128-255",
        of("class 0", "class 128"),
        12,
        told=("255.*ignored",),
        wrong="255 is left out in silence",
    ),
)


@pytest.mark.parametrize("case", parameters(MASKS))
def test_masks_are_read_as_they_are_meant(case: Case) -> None:
    check(case, "masks")
