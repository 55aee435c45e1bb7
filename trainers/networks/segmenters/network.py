"""The segmenter: a backbone, a decoder and the convolution that tells the classes apart."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from archfront.trainers.networks.backbone import run_once
from archfront.trainers.networks.segmenters.decoders import DECODERS, Decoder
from archfront.trainers.networks.segmenters.encoder import Encoder, build_encoder
from archfront.trainers.networks.task_network import TaskNetwork
from archfront.trainers.spec import Architecture, Weights


class Segmenter(TaskNetwork):
    """Images ``(N, C, S, S)`` to logits ``(N, classes, S, S)``.

    Attributes:
        encoder: The backbone, and what makes a map of stride 2 where it has none.
        decoder: One of smp's.

    Args:
        architecture: What to build.
        encoder: Of its backbone.
        head: Of its head.
        dropout: Share of the decoder's maps that are blanked while training.
    """

    def __init__(
        self, architecture: Architecture, encoder: Encoder, head: Decoder, dropout: float
    ) -> None:
        super().__init__(architecture)
        self.encoder = encoder
        a = architecture
        self.decoder = head.build(list(encoder.channels), a.width, a.depth)
        self.dropout = nn.Dropout2d(dropout)
        self.classify = nn.Conv2d(
            head.channels(a.width), a.classes, head.kernel, padding=head.kernel // 2
        )
        self._is_full = head.stride == 1

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return the logits."""
        found = self.decoder(self.encoder(images))
        logits: torch.Tensor = self.classify(self.dropout(found))
        if self._is_full:
            return logits
        side = self.architecture.input_size
        return F.interpolate(logits, size=(side, side), mode="bilinear", align_corners=False)


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
