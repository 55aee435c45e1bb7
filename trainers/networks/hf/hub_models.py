"""Configurations of well-known image classifiers, so that they can be built without a network.

They are the arguments by which the ``config.json`` of each repository differs from the default
of its class in transformers 5, as far as they change the network. Parameters were compared with
timm's networks of the same design.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class HubModel:
    """One repository of the hub.

    Attributes:
        model_type: Key of transformers' configuration classes.
        arguments: Of that class.
        licence: Of the weights, as its model card gives it.
    """

    model_type: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    licence: str = "apache-2.0"


def _resnet(depths: list[int], *, is_basic: bool = False) -> HubModel:
    widths = [64, 128, 256, 512]
    return HubModel(
        "resnet",
        {
            "depths": depths,
            "hidden_sizes": widths if is_basic else [4 * width for width in widths],
            "layer_type": "basic" if is_basic else "bottleneck",
        },
    )


def _vit(width: int, depth: int, heads: int) -> HubModel:
    return HubModel(
        "vit",
        {
            "hidden_size": width,
            "num_hidden_layers": depth,
            "num_attention_heads": heads,
            "intermediate_size": 4 * width,
        },
    )


def _convnext(depth: int, width: int) -> HubModel:
    widths = [width * 2**stage for stage in range(4)]
    return HubModel("convnext", {"depths": [3, 3, depth, 3], "hidden_sizes": widths})


def _swin(width: int, depth: int, heads: int) -> HubModel:
    counts = [heads * 2**stage for stage in range(4)]
    return HubModel("swin", {"embed_dim": width, "depths": [2, 2, depth, 2], "num_heads": counts})


def _mobilenet_v2(multiplier: float, size: int) -> HubModel:
    arguments = {"depth_multiplier": multiplier, "image_size": size}
    return HubModel("mobilenet_v2", arguments, "other")


def _mobilevit(widths: list[int], neck: list[int], **more: Any) -> HubModel:
    arguments = {"hidden_sizes": widths, "neck_hidden_sizes": neck, **more}
    return HubModel("mobilevit", arguments, "other")


HUB_MODELS: Mapping[str, HubModel] = {
    "apple/mobilevit-small": _mobilevit([144, 192, 240], [16, 32, 64, 96, 128, 160, 640]),
    "apple/mobilevit-x-small": _mobilevit([96, 120, 144], [16, 32, 48, 64, 80, 96, 384]),
    "apple/mobilevit-xx-small": _mobilevit(
        [64, 80, 96], [16, 16, 24, 48, 64, 80, 320], hidden_dropout_prob=0.05, expand_ratio=2.0
    ),
    "facebook/convnext-base-224": _convnext(27, 128),
    "facebook/convnext-small-224": _convnext(27, 96),
    "facebook/convnext-tiny-224": _convnext(9, 96),
    "facebook/deit-base-patch16-224": _vit(768, 12, 12),
    "facebook/deit-small-patch16-224": _vit(384, 12, 6),
    "facebook/deit-tiny-patch16-224": _vit(192, 12, 3),
    "google/mobilenet_v2_0.35_96": _mobilenet_v2(0.35, 96),
    "google/mobilenet_v2_0.75_160": _mobilenet_v2(0.75, 160),
    "google/mobilenet_v2_1.0_224": _mobilenet_v2(1.0, 224),
    "google/mobilenet_v2_1.4_224": _mobilenet_v2(1.4, 224),
    "google/vit-base-patch16-224": _vit(768, 12, 12),
    "google/vit-large-patch16-224": _vit(1024, 24, 16),
    "microsoft/resnet-101": _resnet([3, 4, 23, 3]),
    "microsoft/resnet-152": _resnet([3, 8, 36, 3]),
    "microsoft/resnet-18": _resnet([2, 2, 2, 2], is_basic=True),
    "microsoft/resnet-26": _resnet([2, 2, 2, 2]),
    "microsoft/resnet-34": _resnet([3, 4, 6, 3], is_basic=True),
    "microsoft/resnet-50": _resnet([3, 4, 6, 3]),
    "microsoft/swin-base-patch4-window7-224": _swin(128, 18, 4),
    "microsoft/swin-small-patch4-window7-224": _swin(96, 18, 3),
    "microsoft/swin-tiny-patch4-window7-224": _swin(96, 6, 3),
}
