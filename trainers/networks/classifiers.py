"""The classifier: a timm network and one of the heads."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import Any, cast

import torch
from timm.utils import reparameterize_model
from torch import nn

from archfront.trainers.errors import BuildError
from archfront.trainers.networks.backbone import RANDOM, create, run_once
from archfront.trainers.networks.hf.names import is_hub
from archfront.trainers.networks.stages import (
    stage_features,
    stages_of,
    truncate,
    truncated_features,
)
from archfront.trainers.networks.task_network import TaskNetwork
from archfront.trainers.spec import Architecture, Weights

TIMM_POOLS = ("avg", "max", "avgmax")
# Where the published networks stop adding features before the classifier.
HIDDEN_MAX = 512
# Heads of ours that take features of stages: what finds the stages, and what gives the features.
ON_STAGES = {"levels": (stages_of, stage_features), "truncated": (truncate, truncated_features)}
# Heads of ours that take the features of a network, pooled by it.
ON_FEATURES = ("mlp", *ON_STAGES)


class GeMPool(nn.Module):
    """Generalized-mean pooling of maps ``(N, C, H, W)`` to ``(N, C)``, its power learned.

    Source: Radenovic et al. 2018 (Fine-tuning CNN image retrieval with no human annotation),
    equation 3, with one power for all channels. 1 is the mean, infinity the maximum.
    """

    def __init__(self, power: float = 3.0, eps: float = 1e-6) -> None:
        super().__init__()
        self.power = nn.Parameter(torch.full((1,), power))
        self.eps = eps

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Return the generalized mean; values under ``eps`` count as ``eps``."""
        powers = features.float().clamp(min=self.eps).pow(self.power)
        return powers.mean(dim=(2, 3)).pow(1 / self.power)


class ToChannelsFirst(nn.Module):
    """Turn maps ``(N, H, W, C)`` to ``(N, C, H, W)``."""

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Return the turned view."""
        return features.permute(0, 3, 1, 2)


class Classifier(TaskNetwork):
    """Images ``(N, C, S, S)`` to logits ``(N, classes)``.

    Attributes:
        backbone: The timm network, with its own classifier unless ``head`` has one.
        head: A head of ours; the identity where timm's is used.
        stages: Stages of the backbone whose features the head takes, if it takes such.
    """

    def __init__(
        self,
        architecture: Architecture,
        backbone: nn.Module,
        head: nn.Module,
        stages: tuple[int, ...] = (),
    ) -> None:
        super().__init__(architecture)
        self.backbone = backbone
        self.head = head
        self.stages = stages

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return the logits."""
        if self.stages:
            _, features_of = ON_STAGES[self.architecture.head]
            features = features_of(self.backbone, images, self.stages)
        else:
            features = self.backbone(images)
        logits: torch.Tensor = self.head(features)
        return logits

    def freeze(self) -> None:
        """Leave only the classifying layers to be trained."""
        self.backbone.requires_grad_(False)
        if isinstance(self.head, nn.Identity):
            own = cast("Any", self.backbone).get_classifier()
            for layer in own if isinstance(own, tuple | list) else (own,):
                layer.requires_grad_(True)
        self.is_frozen = True
        self.train(self.training)

    def merge_blocks(self) -> None:
        """Merge the backbone's re-parameterizable blocks, in evaluation mode."""
        self.backbone = reparameterize_model(self.backbone, inplace=True)

    def backbone_module(self) -> nn.Module:
        """Return the timm network."""
        return self.backbone


def build_classifier(
    architecture: Architecture, weights: Weights = RANDOM, dropout: float = 0.0
) -> Classifier:
    """Return the network in training mode, proven by one image.

    Raises:
        BuildError: If backbone, head and input size do not make a network.
        WeightsError: If the first weights do not fit.
    """
    classes, size, channels = (
        architecture.classes,
        architecture.input_size,
        architecture.channels,
    )
    name, head_name = architecture.backbone, architecture.head
    if is_hub(name):
        return _hub_classifier(architecture, weights, dropout)
    backbone = create(
        name,
        channels=channels,
        input_size=size,
        weights=weights,
        **_timm_options(head_name, classes, dropout),
    )
    features = run_once(backbone, name, channels=channels, input_size=size)
    _check_features(features, architecture)
    head: nn.Module
    stages: tuple[int, ...] = ()
    match head_name:
        case "gem":
            head = _gem_head(backbone, features, classes, dropout)
        case "mlp":
            head = _mlp_head(features.shape[1], classes, dropout)
        case _ if head_name in ON_STAGES:
            find, _ = ON_STAGES[head_name]
            stages, width = find(backbone, name, channels=channels, input_size=size)
            head = nn.Sequential(nn.Dropout(dropout), nn.Linear(width, classes))
        case _:
            head = nn.Identity()
    return Classifier(architecture, backbone, head, stages)


def _hub_classifier(architecture: Architecture, weights: Weights, dropout: float) -> Classifier:
    from archfront.trainers.networks.hf.files import create_hub

    a = architecture
    if a.head != "timm":
        raise BuildError(
            f"{a.backbone} with head {a.head!r}: transformers' classifiers have one head, their "
            "own, which is called timm as that of the others. Choose head timm."
        )
    backbone = create_hub(
        a.backbone,
        channels=a.channels,
        input_size=a.input_size,
        classes=a.classes,
        weights=weights,
        dropout=dropout,
    )
    logits = run_once(backbone, a.backbone, channels=a.channels, input_size=a.input_size)
    _check_features(logits, a)
    return Classifier(a, backbone, nn.Identity())


@lru_cache(maxsize=4096)
def head_signature(backbone: str, head: str) -> str | None:
    """Return a text that two heads share when they make the same network.

    None where the backbone cannot carry the head. Built on the meta device, at the size that
    the model was made for.
    """
    if is_hub(backbone):
        return "own" if head == "timm" else None
    try:
        options = _timm_options(head, 10, 0.0)
        network = create(backbone, channels=3, input_size=None, device="meta", **options)
        if head == "gem":
            size = cast("Any", network).pretrained_cfg["input_size"][-1]
            features = run_once(network, backbone, channels=3, input_size=size, device="meta")
            return "gem" if getattr(features, "ndim", 0) == 4 else None
        if head in ON_STAGES:
            size = cast("Any", network).pretrained_cfg["input_size"][-1]
            find, _ = ON_STAGES[head]
            find(network, backbone, channels=3, input_size=size, device="meta")
    except BuildError:
        return None
    if head in ON_FEATURES:
        return head
    pools = [
        f"{path}.{name}={value}"
        for path, module in network.named_modules()
        for name in ("global_pool", "pool_type")
        if isinstance(value := getattr(module, name, None), str)
    ]
    return hashlib.sha256(repr((pools, repr(network))).encode()).hexdigest()


def _timm_options(head: str, classes: int, dropout: float) -> dict[str, Any]:
    # Dropout is named only where there is some: not every timm model takes it.
    dropping = {"drop_rate": dropout} if dropout > 0 else {}
    if head == "gem":
        return {"num_classes": 0, "global_pool": ""}
    if head in ON_FEATURES:
        return {"num_classes": 0}
    pooling = {"global_pool": head} if head in TIMM_POOLS else {}
    return {"num_classes": classes, **pooling, **dropping}


def _check_features(features: Any, architecture: Architecture) -> None:
    a = architecture
    where = f"{a.backbone} with head {a.head!r} at {a.input_size} px"
    if a.head == "gem" and getattr(features, "ndim", 0) != 4:
        raise BuildError(
            f"{where}: gem pools a map of rows and columns, and this backbone gives "
            f"{_shape(features)}. Choose another head."
        )
    if a.head in ON_FEATURES and getattr(features, "ndim", 0) != 2:
        raise BuildError(f"{where}: expected pooled features, got {_shape(features)}.")
    if a.head not in ("gem", *ON_FEATURES) and _shape(features) != (1, a.classes):
        raise BuildError(
            f"{where}: expected logits of shape {(1, a.classes)}, got {_shape(features)}."
        )


def _shape(features: Any) -> Any:
    return tuple(features.shape) if isinstance(features, torch.Tensor) else type(features).__name__


def _gem_head(
    backbone: nn.Module, features: torch.Tensor, classes: int, dropout: float
) -> nn.Module:
    turned = getattr(backbone, "output_fmt", None) == "NHWC"
    width = features.shape[3 if turned else 1]
    return nn.Sequential(
        ToChannelsFirst() if turned else nn.Identity(),
        GeMPool(),
        nn.Dropout(dropout),
        nn.Linear(width, classes),
    )


def _mlp_head(width: int, classes: int, dropout: float) -> nn.Module:
    hidden = min(width, HIDDEN_MAX)
    return nn.Sequential(
        nn.Linear(width, hidden), nn.ReLU(), nn.Dropout(dropout), nn.Linear(hidden, classes)
    )
