"""The network of a task: a backbone that can be frozen and merged, and how it is deployed."""

from __future__ import annotations

from copy import deepcopy
from typing import Self

import torch
from timm.utils import reparameterize_model
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from archfront.trainers.networks.backbone import Pyramid
from archfront.trainers.spec import Architecture


class TaskNetwork(nn.Module):
    """A network on a backbone: the one ``Pyramid`` among its modules, unless a subclass differs.

    Attributes:
        architecture: What it was built from.
        is_frozen: Whether the backbone stays as it is.
        has_frozen_norms: Whether the statistics of the backbone's norms do.
    """

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.architecture = architecture
        self.is_frozen = False
        self.has_frozen_norms = False

    def train(self, mode: bool = True) -> Self:
        """Set the mode; frozen norms stay in evaluation."""
        super().train(mode)
        if self.is_frozen or self.has_frozen_norms:
            for module in self.backbone_module().modules():
                if isinstance(module, _BatchNorm):
                    module.eval()
        return self

    def freeze(self) -> None:
        """Leave the backbone as it is from now on."""
        self.backbone_module().requires_grad_(False)
        self.is_frozen = True
        self.train(self.training)

    def freeze_norms(self) -> None:
        """Keep the statistics of the backbone's norms from now on; scales and shifts train.

        Those of neck and head have no first weights whose statistics they could keep.
        """
        self.has_frozen_norms = True
        self.train(self.training)

    def merge_blocks(self) -> None:
        """Merge the backbone's re-parameterizable blocks, in evaluation mode."""
        pyramid = self._pyramid()
        pyramid.network = reparameterize_model(pyramid.network, inplace=True)

    def backbone_module(self) -> nn.Module:
        """Return the module that ``freeze`` freezes."""
        return self._pyramid()

    def _pyramid(self) -> Pyramid:
        return next(module for module in self.modules() if isinstance(module, Pyramid))


class Deployed(nn.Module):
    """Normalized images to a tuple of the task's outputs, in evaluation mode.

    Args:
        model: The network; a copy of it is merged where its architecture is fused.
        link: Applied to the network's output, as a softmax; None for nothing.
    """

    def __init__(self, model: nn.Module, link: nn.Module | None = None) -> None:
        super().__init__()
        if isinstance(model, TaskNetwork) and model.architecture.fused:
            # Some blocks cannot be merged while they train.
            model = deepcopy(model).eval()
            model.merge_blocks()
        self.link = link
        self.model = model
        self.eval()

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Return the outputs in the order of the task's ``output_names``."""
        outputs = self.model(images)
        if self.link is not None:
            outputs = self.link(outputs)
        return outputs if isinstance(outputs, tuple) else (outputs,)
