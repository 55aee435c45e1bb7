"""A detector of any head, as tasks train, freeze and export it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import torch
from torch import nn

from archfront.trainers.networks.backbone import run_once
from archfront.trainers.networks.task_network import TaskNetwork
from archfront.trainers.spec import Architecture, Weights

Builder = Callable[[Architecture, Weights, float], nn.Module]


class Detector(TaskNetwork):
    """A network of one head: ``losses`` while it is trained, outputs otherwise.

    Attributes:
        network: What the head's builder gave.
    """

    def __init__(self, architecture: Architecture, network: nn.Module) -> None:
        super().__init__(architecture)
        self.network = network

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Return the outputs of the task, in their order."""
        outputs: tuple[torch.Tensor, ...] = self.network(images)
        return outputs

    def losses(
        self, images: torch.Tensor, targets: Sequence[Mapping[str, torch.Tensor]]
    ) -> dict[str, torch.Tensor]:
        """Return the named losses of normalized images and of what they show."""
        losses: dict[str, torch.Tensor] = cast("Any", self.network).losses(images, targets)
        return losses


def build_detector(architecture: Architecture, weights: Weights, dropout: float) -> Detector:
    """Return the network in training mode, proven by one image.

    Raises:
        BuildError: If backbone, neck, head and input size do not make a network.
        WeightsError: If the first weights do not fit.
    """
    a = architecture
    model = Detector(a, BUILDERS[a.head](a, weights, dropout))
    where = f"{a.backbone} with head {a.head!r}"
    run_once(model, where, channels=a.channels, input_size=a.input_size)
    return model


def _yolo(architecture: Architecture, weights: Weights, dropout: float) -> nn.Module:
    from archfront.trainers.networks.detectors.yolo import build_yolo

    return build_yolo(architecture, weights, dropout)


def _fcos(architecture: Architecture, weights: Weights, dropout: float) -> nn.Module:
    from archfront.trainers.networks.detectors.torchvision_one_stage import build_fcos

    return build_fcos(architecture, weights, dropout)


def _retinanet(architecture: Architecture, weights: Weights, dropout: float) -> nn.Module:
    from archfront.trainers.networks.detectors.torchvision_one_stage import build_retinanet

    return build_retinanet(architecture, weights, dropout)


def _faster_rcnn(architecture: Architecture, weights: Weights, dropout: float) -> nn.Module:
    from archfront.trainers.networks.detectors.torchvision_two_stage import build_faster_rcnn

    return build_faster_rcnn(architecture, weights, dropout)


def _mask_rcnn(architecture: Architecture, weights: Weights, dropout: float) -> nn.Module:
    from archfront.trainers.networks.detectors.torchvision_two_stage import build_mask_rcnn

    return build_mask_rcnn(architecture, weights, dropout)


BUILDERS: dict[str, Builder] = {
    "yolo": _yolo,
    "fcos": _fcos,
    "retinanet": _retinanet,
    "faster_rcnn": _faster_rcnn,
    "yolo_mask": _yolo,
    "mask_rcnn": _mask_rcnn,
}
