"""The segmenter: a backbone, a decoder and the convolution that tells the classes apart."""

from __future__ import annotations

from copy import deepcopy

import torch
from timm.utils import reparameterize_model
from torch import nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

from archfront.trainers.networks.backbone import run_once
from archfront.trainers.networks.segmenters.decoders import DECODERS, Decoder
from archfront.trainers.networks.segmenters.encoder import Encoder, build_encoder
from archfront.trainers.spec import Architecture, Weights


class Segmenter(nn.Module):
    """Images ``(N, C, S, S)`` to logits ``(N, classes, S, S)``.

    Attributes:
        architecture: What it was built from.
        encoder: The backbone, and what makes a map of stride 2 where it has none.
        decoder: One of smp's.
        is_frozen: Whether the backbone stays as it is.

    Args:
        architecture: What to build.
        encoder: Of its backbone.
        head: Of its head.
        dropout: Share of the decoder's maps that are blanked while training.
    """

    def __init__(
        self, architecture: Architecture, encoder: Encoder, head: Decoder, dropout: float
    ) -> None:
        super().__init__()
        self.architecture = architecture
        self.encoder = encoder
        a = architecture
        self.decoder = head.build(list(encoder.channels), a.width, a.depth)
        self.dropout = nn.Dropout2d(dropout)
        self.classify = nn.Conv2d(
            head.channels(a.width), a.classes, head.kernel, padding=head.kernel // 2
        )
        self.is_frozen = False
        self._is_full = head.stride == 1

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return the logits."""
        found = self.decoder(self.encoder(images))
        logits: torch.Tensor = self.classify(self.dropout(found))
        if self._is_full:
            return logits
        side = self.architecture.input_size
        return F.interpolate(logits, size=(side, side), mode="bilinear", align_corners=False)

    def train(self, mode: bool = True) -> Segmenter:
        """Set the mode; the norms of a frozen backbone stay in evaluation."""
        super().train(mode)
        if self.is_frozen:
            for module in self.encoder.pyramid.modules():
                if isinstance(module, _BatchNorm):
                    module.eval()
        return self

    def freeze(self) -> None:
        """Leave the backbone as it is from now on."""
        self.encoder.pyramid.requires_grad_(False)
        self.is_frozen = True
        self.train(self.training)


class DeployedSegmenter(nn.Module):
    """Normalized images to a tuple with their logits ``(N, classes, S, S)``."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        if isinstance(model, Segmenter) and model.architecture.fused:
            # A copy in evaluation mode: some blocks cannot be merged while they train.
            model = deepcopy(model).eval()
            pyramid = model.encoder.pyramid
            pyramid.network = reparameterize_model(pyramid.network, inplace=True)
        self.model = model
        self.eval()

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor]:
        """Return the outputs in the order of the task's ``output_names``."""
        return (self.model(images),)


def build_segmenter(
    architecture: Architecture, weights: Weights, dropout: float = 0.0
) -> Segmenter:
    """Return the network in training mode, proven by one image.

    Raises:
        BuildError: If backbone, head and input size do not make a network.
        WeightsError: If the first weights do not fit.
    """
    a = architecture
    head = DECODERS[a.head]
    encoder = build_encoder(a, weights, head.reads(a.width, a.depth))
    model = Segmenter(a, encoder, head, dropout)
    where = f"{a.backbone} with head {a.head!r}"
    run_once(model, where, channels=a.channels, input_size=a.input_size)
    return model
