"""Frozen backbones: their features are computed once, and the head trains on them.

Only where that gives what training through the backbone gives: without augmentation, and where
nothing before the head draws from chance. Both are checked on the network itself; whatever does
not pass is trained as any other.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from archfront.trainers.data import ImageSet, Preprocess
from archfront.trainers.data.batch_targets import BatchTargets
from archfront.trainers.data.image_set import Batch
from archfront.trainers.networks.classifiers import Classifier
from archfront.trainers.spec import Recipe, TrainSettings
from archfront.trainers.training.batches import EvalBatches
from archfront.trainers.training.module import channels_last

N_TRIED = 4  # images on which the network is tried
TRIED_SEEDS = (0, 1)


class FeatureSet:
    """The features of one split, which batches take as they take images."""

    def __init__(self, features: Tensor, targets: BatchTargets) -> None:
        self._features = features
        self._targets = targets

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self._features)

    def batches(self, order: Iterable[Tensor]) -> Iterator[Batch]:
        """Yield features ``(B, ...)`` and their targets for each batch of indices."""
        for indices in order:
            yield self._features[indices], self._targets.of(indices)


@dataclass(frozen=True)
class Cached:
    """The head that trains instead of the whole network, with its input.

    Attributes:
        head: The part of the network with everything that is trained.
        train: Its input for each image of the training split.
        val: Its input for each image of the validation split.
    """

    head: nn.Module
    train: FeatureSet
    val: FeatureSet


def cached_features(
    model: nn.Module,
    splits: dict[str, ImageSet],
    preprocess: Preprocess,
    recipe: Recipe,
    settings: TrainSettings,
    *,
    eval_batch: int,
    limit_bytes: float,
) -> Cached | None:
    """Return the head of a frozen network and its input; None where it has to train whole.

    Args:
        model: In training mode, frozen if ``recipe.freeze`` says so.
        splits: ``train`` and ``val``.
        preprocess: Of the images.
        recipe: How the head is trained.
        settings: Their precision is that of the training features.
        eval_batch: Images at a time in validation.
        limit_bytes: Most that the features may take.
    """
    head = _head(model) if recipe.freeze and recipe.augment == "none" else None
    if head is None or _draws_before(model, head):
        return None
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model.to(device)
    tap = _Tap(model, head, preprocess, device)
    images = splits["train"]
    example = torch.stack([images[i % len(images)] for i in range(N_TRIED)])
    if not tap.is_exact(example):
        return None
    n_images = sum(map(len, splits.values()))
    if n_images * tap.features(example)[0].nbytes > limit_bytes:
        return None
    half = settings.precision == "bf16"
    return Cached(
        head,
        tap.all_of(splits["train"], recipe.batch_size, half=half),
        tap.all_of(splits["val"], eval_batch, half=False, is_training=False),
    )


class _Tap:
    """Takes what goes into the head while images go through the network."""

    def __init__(
        self, model: nn.Module, head: nn.Module, preprocess: Preprocess, device: torch.device
    ) -> None:
        self._model, self._head = model, head
        self._preprocess, self._device = preprocess, device

    def is_exact(self, pixels: Tensor) -> bool:
        """Return whether the head alone gives the network's output, and chance changes nothing."""
        taken = []
        for seed in TRIED_SEEDS:
            with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
                torch.manual_seed(seed)
                taken.append(self.features(pixels))
        outputs, features = self._run(pixels, is_training=False)
        self._head.eval()
        with torch.no_grad():
            alone = self._head(features.to(self._device))
        self._model.train()
        return torch.equal(*taken) and torch.equal(outputs, alone)

    def features(self, pixels: Tensor, *, is_training: bool = True) -> Tensor:
        """Return the head's input for uint8 images, on the CPU."""
        return self._run(pixels, is_training=is_training)[1]

    def all_of(
        self, images: ImageSet, batch_size: int, *, half: bool, is_training: bool = True
    ) -> FeatureSet:
        """Return the features of a split, computed in its order."""
        with torch.autocast(self._device.type, torch.bfloat16, enabled=half):
            found = [
                self.features(pixels, is_training=is_training)
                for pixels, _ in EvalBatches(images, batch_size)
            ]
        return FeatureSet(torch.cat(found), images.targets)

    def _run(self, pixels: Tensor, *, is_training: bool) -> tuple[Tensor, Tensor]:
        taken: list[Tensor] = []

        def take(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            taken.append(inputs[0].detach().cpu())

        handle = self._head.register_forward_pre_hook(take)
        self._model.train(is_training)
        try:
            with torch.no_grad():
                images = self._preprocess.normalize(pixels.to(self._device))
                outputs = self._model(channels_last(images))
        finally:
            handle.remove()
            self._model.train()
        # Twice through the head, or not at all: it is none that stands for the network.
        return outputs, taken[0] if len(taken) == 1 else outputs.new_empty(len(pixels), 0).cpu()


def _head(model: nn.Module) -> nn.Module | None:
    """Return the one module that holds all that is trained; None if there is no such."""
    if not isinstance(model, Classifier):
        return None
    head: Any = model.head
    if isinstance(head, nn.Identity):
        head = cast("Any", model.backbone).get_classifier()
    if not isinstance(head, nn.Module):  # two classifiers that are averaged
        return None
    if head is not model.head and any(isinstance(m, _BatchNorm) for m in head.modules()):
        return None  # inside a frozen backbone it does not follow the batches, alone it would
    trained = {id(p) for p in model.parameters() if p.requires_grad}
    return head if trained == {id(p) for p in head.parameters() if p.requires_grad} else None


def _draws_before(model: nn.Module, head: nn.Module) -> bool:
    """Return whether dropout or stochastic depth is on somewhere but in the head."""
    inside = {id(module) for module in head.modules()}
    outside = [module for module in model.modules() if id(module) not in inside]
    return any(
        isinstance(share := getattr(module, name, 0.0), float) and share > 0
        for module in outside
        for name in ("drop_rate", "drop_prob", *(["p"] if _is_dropout(module) else []))
    )


def _is_dropout(module: nn.Module) -> bool:
    return isinstance(module, nn.modules.dropout._DropoutNd)
