"""Transformers' image classifiers behind the contract of a timm network."""

from __future__ import annotations

from contextlib import nullcontext
from copy import deepcopy
from typing import Any, cast

import torch
from torch import nn
from torch.nn import functional as F

from archfront.trainers.errors import BuildError
from archfront.trainers.networks.hf.names import content_of, transformers_version
from archfront.trainers.networks.undrawn import Undrawn

# Side of the input where a configuration names none.
USUAL_SIZE = 224
USUAL_CHANNELS = 3
USUAL_CLASSES = 1000


class HubNetwork(nn.Module):
    """Images ``(N, C, S, S)`` to logits ``(N, classes)``.

    Attributes:
        network: As transformers made it.
    """

    def __init__(self, network: nn.Module, classifiers: tuple[str, ...]) -> None:
        super().__init__()
        self.network = network
        self._classifiers = classifiers

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return the logits."""
        logits: torch.Tensor = self.network(pixel_values=images).logits
        return logits

    def get_classifier(self) -> tuple[nn.Module, ...]:
        """Return the layers that know the classes."""
        return tuple(self.network.get_submodule(name) for name in self._classifiers)


class DroppingLinear(nn.Linear):
    """A linear layer with dropout before it, and no name of its state changed."""

    share: float = 0.0

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Return the products of what is left of the features."""
        return super().forward(F.dropout(features, self.share, self.training))


def config_for(
    name: str,
    *,
    channels: int | None = None,
    input_size: int | None = None,
    classes: int = USUAL_CLASSES,
) -> Any:
    """Return transformers' configuration; what is None stays as it was published.

    Raises:
        BuildError: If transformers does not know its kind, or it takes no such image.
        ConfigError: If there is no configuration, or transformers is not installed.
    """
    version = transformers_version()
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    content = content_of(name)
    kind = content.pop("model_type")
    if kind not in CONFIG_MAPPING:
        raise BuildError(f"{name}: transformers {version} knows no model_type {kind!r}.")
    config = CONFIG_MAPPING[kind].from_dict(content)  # which writes out what it has of labels
    config.num_labels = classes
    config.dtype = "float32"
    if channels is not None and channels != getattr(config, "num_channels", USUAL_CHANNELS):
        if not hasattr(config, "num_channels"):
            raise BuildError(f"{name} takes images of {USUAL_CHANNELS} channels only.")
        config.num_channels = channels
    if input_size is not None and hasattr(config, "image_size"):
        config.image_size = input_size
    return config


def own_size(config: Any) -> int:
    """Return the side of the images that a network was made for."""
    size = getattr(config, "image_size", USUAL_SIZE)
    return int(max(size) if isinstance(size, list | tuple) else size)


def built(name: str, config: Any, device: str) -> nn.Module:
    """Return the network that transformers builds from a configuration.

    Raises:
        BuildError: If it does not.
    """
    from transformers import AutoModelForImageClassification

    try:
        with torch.device(device), Undrawn() if device == "meta" else nullcontext():
            network: nn.Module = AutoModelForImageClassification.from_config(config)
    except Exception as error:  # every model file refuses in its own way
        if isinstance(error, MemoryError) or "you tried to allocate" in str(error):
            raise
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise BuildError(
            f"{name} cannot be built as an image classifier of transformers: {reason.rstrip('.')}."
        ) from error
    return network


def classifiers_of(name: str, config: Any, network: nn.Module) -> tuple[str, ...]:
    """Return the paths of the layers whose shape depends on the number of classes.

    Args:
        name: Such as ``hf:microsoft/resnet-50``.
        config: Configuration of the network.
        network: As transformers builds it from the configuration.
    """
    wider = deepcopy(config)
    wider.num_labels += 1
    other = dict(built(name, wider, "meta").named_parameters())
    changed = [
        key.rpartition(".")[0]
        for key, value in network.named_parameters()
        if value.shape != other[key].shape
    ]
    return tuple(dict.fromkeys(changed))


def _drop(network: HubNetwork, name: str, share: float) -> None:
    """Put dropout before the classifying layers."""
    for layer in network.get_classifier():
        if not isinstance(layer, nn.Linear):
            raise BuildError(f"{name} has no linear classifier to put dropout before.")
        layer.__class__ = DroppingLinear
        cast("DroppingLinear", layer).share = share
