"""Losses of logits against masks, in which ignored pixels have no part."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from archfront.trainers.data.targets import IGNORED
from archfront.trainers.spec import TrainSettings

FOCUS = 2.0  # Lin et al. 2017 (Focal loss), section 4: the best of their table 1b

Loss = Callable[[Tensor, Tensor, TrainSettings], Tensor]


def losses_of(logits: Tensor, masks: Tensor, settings: TrainSettings) -> dict[str, Tensor]:
    """Return the named losses of a batch.

    Args:
        logits: ``(N, classes, H, W)``.
        masks: Classes ``(N, H, W)``, ``IGNORED`` where a pixel does not count.
        settings: Its loss, class weights and label smoothing are used.
    """
    parts = LOSSES[settings.loss or "cross_entropy"]
    return {name: loss(logits.float(), masks.long(), settings) for name, loss in parts.items()}


def cross_entropy(logits: Tensor, masks: Tensor, settings: TrainSettings) -> Tensor:
    """Return the mean over the pixels that count, each by its class's weight; 0 without any."""
    weights = _weights(logits, settings)
    total = F.cross_entropy(
        logits,
        masks,
        weight=weights,
        ignore_index=IGNORED,
        label_smoothing=settings.label_smoothing,
        reduction="sum",
    )
    return total / _counted(masks, weights).sum().clamp(min=_LEAST)


def focal(logits: Tensor, masks: Tensor, settings: TrainSettings) -> Tensor:
    """Return the same mean of ``(1 - p)^2`` times the cross-entropy.

    p is the softmax probability of the true class; label smoothing does not apply. smp's
    multiclass loss is another one: a sigmoid for each class.

    Source: Lin et al. 2017 (Focal loss for dense object detection), equation 4.
    """
    weights = _weights(logits, settings)
    plain = F.cross_entropy(logits, masks, ignore_index=IGNORED, reduction="none")
    counted = _counted(masks, weights)
    focused = (1 - torch.exp(-plain)).pow(FOCUS) * plain * counted
    return focused.sum() / counted.sum().clamp(min=_LEAST)


def dice(logits: Tensor, masks: Tensor, settings: TrainSettings) -> Tensor:
    """Return the mean over the classes of ``1 - dice``, over all pixels of the batch that count.

    Classes that the batch does not show add 0.

    Source: Milletari et al. 2016 (V-Net), section 3, without its squares, as in smp.
    """
    known = masks != IGNORED
    true = masks.where(known, 0)
    shares = logits.softmax(dim=1) * known[:, None]
    # Sums by class: a one-hot mask, as smp has it, is as large as the logits twice over.
    sums = logits.new_zeros(2, logits.shape[1])
    of_true = torch.stack([shares.gather(1, true[:, None])[:, 0], known.float()])
    hits, n_true = sums.index_add(1, true.flatten(), of_true.flatten(1))
    overlap = 2 * hits / (n_true + shares.sum(dim=(0, 2, 3))).clamp(min=_LEAST)
    losses: Tensor = (1 - overlap) * (n_true > 0)
    weights = _weights(logits, settings)
    return losses.mean() if weights is None else (losses * weights).sum() / weights.sum()


def _weights(logits: Tensor, settings: TrainSettings) -> Tensor | None:
    weights = settings.class_weights
    return None if weights is None else logits.new_tensor(weights)


def _counted(masks: Tensor, weights: Tensor | None) -> Tensor:
    """Return the weight of each pixel, ``(N, H, W)``."""
    known = masks != IGNORED
    if weights is None:
        return known.float()
    return weights[masks.where(known, 0)] * known


_LEAST = 1e-6  # so that a batch without any pixel that counts gives 0, not 0 / 0

LOSSES: Mapping[str, Mapping[str, Loss]] = {
    "cross_entropy": {"cross_entropy": cross_entropy},
    "dice": {"dice": dice},
    "focal": {"focal": focal},
    "ce_dice": {"cross_entropy": cross_entropy, "dice": dice},
}
