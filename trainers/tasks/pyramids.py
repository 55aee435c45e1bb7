"""Which backbones give the maps that a head over several scales needs, by rule."""

from __future__ import annotations

from collections.abc import Sequence

# timm modules whose first convolutions have no padding, so that their maps are smaller than the
# image over their stride; the smallest and the middle network of each module were tried.
UNPADDED = frozenset(
    ("inception_resnet_v2", "inception_v3", "inception_v4", "nasnet", "pnasnet", "xception")
)
# timm modules that take ``output_stride``, so that their last stage can be dilated; all of timm
# 1.0.31 that give a map of stride 32 were tried.
DILATING = frozenset(
    (
        *("byoanet", "byobnet", "convnext", "cspnet", "cspnext", "efficientnet", "hardcorenas"),
        *("inception_next", "mobilenetv3", "mobilevit", "nfnet", "regnet", "res2net", "resnest"),
        *("resnet", "resnetv2", "rexnet", "sknet", "xception_aligned"),
    )
)


def no_pyramid(family: str, strides: Sequence[int], needed: Sequence[int]) -> str | None:
    """Return why a backbone has no maps of the needed strides; None if it has them."""
    if any(stride not in strides for stride in needed):
        has = ", ".join(map(str, dict.fromkeys(strides))) or "none"
        asked = ", ".join(map(str, needed))
        return f"needs maps of strides {asked}, and the backbone's are {has}"
    if family in UNPADDED:
        return (
            f"needs maps of the image's size over their stride, and the first convolutions of "
            f"timm's {family} are not padded"
        )
    return None
