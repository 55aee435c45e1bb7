"""A profile of eight made-up images of two classes."""

from __future__ import annotations

from archfront.search.profile.dataset_profile import (
    VERSION,
    Balance,
    DatasetProfile,
    ImageProfile,
    SplitProfile,
)
from archfront.search.profile.distribution import Distribution


def constant(value: float, n: int = 8) -> Distribution:
    """Return the distribution of one value, n times."""
    one = float(value)
    return Distribution(n, *[one] * 10, edges=(one, one + 1), counts=(n,))


def small_profile() -> DatasetProfile:
    """Return the profile of six training images and two of validation, of 40 x 30 px."""
    return DatasetProfile(
        version=VERSION,
        task="classification",
        data="flowers",
        fingerprint="0123456789abcdef",
        class_names=("rose", "tulip"),
        counted="images",
        division="as the data gives it",
        splits={
            "train": SplitProfile(6, 0, {"rose": 4, "tulip": 2}, {"rose": 4, "tulip": 2}),
            "val": SplitProfile(2, 0, {"rose": 1, "tulip": 1}, {"rose": 1, "tulip": 1}),
        },
        balance=Balance(5 / 3, "tulip", "rose", 0.954, {"rose": 4.0, "tulip": 2.0}),
        images=ImageProfile(
            width=constant(40),
            height=constant(30),
            longer_side=constant(40),
            aspect=constant(4 / 3),
            grey_share=0.0,
            channels=3,
            bit_depths={"8": 8},
            formats={"PNG": 8},
            mean=(0.5, 0.4, 0.3),
            std=(0.2, 0.2, 0.2),
            entropy=constant(6),
            edge_density=constant(0.1),
            bits_per_pixel=constant(9),
        ),
    )
