"""The probe: a head solved on the features of its frozen backbone, in one pass over the images.

A head that is no linear layer or small network on such features is trained on the images instead,
by a few passes in which the backbone and its norms stay as they are.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import AdamW

from archfront.trainers.errors import DivergedError
from archfront.trainers.seeds import derive_seed
from archfront.trainers.spec import EpochRow, TrainSettings, Weights
from archfront.trainers.tasks import task_named
from archfront.trainers.tasks.protocol import SavedPredictions
from archfront.trainers.training.batches import EvalBatches, spread
from archfront.trainers.training.features import (
    N_TRIED,
    Extractor,
    Runner,
    extractor_for,
    features_of,
    identity_of_features,
    mixed,
    solvable_head,
)
from archfront.trainers.training.kept import Kept, Probe
from archfront.trainers.training.micro_batch import on_device
from archfront.trainers.training.module import (
    TrainingPlan,
    channels_last,
    parameter_groups,
    seed_dropout,
)
from archfront.trainers.training.schedule import lr_factor
from archfront.trainers.training.scoring import eval_batch
from archfront.trainers.training.solvers import (
    FOLDS,
    Linear,
    Problem,
    Scaling,
    folds_of,
    knn_score,
    logistic,
    ridge,
    strength_by_folds,
    tempered,
)
from archfront.trainers.training.training_data import TrainingData

logger = logging.getLogger(__name__)

FIT_IMAGES = 20_000  # that a head is fitted to, at most
FOLD_IMAGES = 5_000  # that its strength is chosen with
KNN_IMAGES = 4_000
# Images x features x classes above which ridge takes seconds and logistic regression minutes.
LOGISTIC_MAX = 4e8
BALANCED = ("balanced_accuracy", "macro_f1")  # metrics in which every class counts alike
HEAD_LR, HEAD_DECAY, HEAD_BATCH, HEAD_EPOCHS = 1e-3, 0.01, 64, 10
HEAD_STEPS_MIN, HEAD_STEPS_MAX = 600, 2000
IMAGE_EPOCHS = 2  # where the head is trained on images


def probed(model: nn.Module, plan: TrainingPlan, weights: Weights, seen: TrainingData) -> Probe:
    """Solve the head of a network, leave it there, and return what it gives.

    Args:
        model: In training mode, with its first weights; left in training mode.
        plan: Of its training.
        weights: Its first weights.
        seen: What it is trained on.

    Raises:
        DivergedError: If the features are not finite.
    """
    began = time.perf_counter()
    plan = replace(plan, task=task_named(plan.architecture.task))  # a teacher sees images only
    before = {name: value.clone() for name, value in model.state_dict().items()}
    model.to("cuda" if torch.cuda.is_available() else "cpu").eval()
    taken = _taken(model, plan, weights, seen)
    if taken is None:
        logger.warning(
            "%s with head %s: no head was found that can be solved on features, so it is trained "
            "on images while the backbone is frozen.",
            plan.architecture.backbone,
            plan.architecture.head,
        )
        loss, knn = _trained_on_images(model, plan, seen), None
        metrics, predictions = _evaluated(plan, model, _images(plan, seen, model))
    else:
        knn = _solve(taken, plan)
        with torch.no_grad():
            loss = _loss(taken.head, taken.features, taken.targets, plan)
        metrics, predictions = _evaluated(plan, taken.head, [taken.val])
    after = {name: value.cpu() for name, value in model.state_dict().items()}
    head = {name: v.clone() for name, v in after.items() if not torch.equal(v, before[name])}
    model.train()
    row = EpochRow(0, loss, 0.0, time.perf_counter() - began, metrics)
    return Probe(Kept(row, predictions), head, knn)


@dataclass(frozen=True, eq=False)
class _Taken:
    """A head, what it takes of the images, and what it should give.

    Attributes:
        head: Part of the network.
        features: Of the training images, ``(N, D)``.
        targets: Of them, as a batch has them.
        val: Features of the validation images.
    """

    head: nn.Module
    features: Tensor
    targets: Tensor
    val: Tensor


def _taken(
    model: nn.Module, plan: TrainingPlan, weights: Weights, seen: TrainingData
) -> _Taken | None:
    """Return the head of a network and its input; None where it cannot be told apart."""
    part = solvable_head(model) if plan.task.is_image_level else None
    if part is None:
        return None
    train, device = seen.splits["train"], next(model.parameters()).device
    few = torch.stack([train[i % len(train)] for i in range(N_TRIED)])
    extractor = extractor_for(model, part, channels_last(plan.normalize(few.to(device))))
    n_held = 0 if extractor is None else _n_held(extractor, seen)
    if extractor is None or n_held < plan.architecture.classes:
        return None
    labels = seen.labels(plan.task)
    labels = np.zeros(len(train), np.int64) if labels is None else labels
    order = spread(labels, np.random.default_rng(derive_seed(0)))
    chosen = torch.from_numpy(np.sort(order[:n_held]))
    rows = {"train": chosen, "val": torch.arange(len(seen.splits["val"]))}
    about = identity_of_features(model, weights, extractor.pooling)
    n_pixels = sum(map(len, rows.values())) * plan.architecture.input_size**2
    runner = Runner(extractor.network, n_pixels, plan.settings.threads)
    found = {}
    with extractor.ready():
        for split, indices in rows.items():
            parts = features_of(extractor, runner, seen, split, indices, about)
            found[split] = torch.from_numpy(mixed(parts, extractor.pooling)).to(device)
            if not bool(torch.isfinite(found[split]).all()):
                raise DivergedError(
                    f"The features of {plan.architecture.backbone} at "
                    f"{plan.architecture.input_size} px are not finite. Choose other weights."
                )
    targets = on_device(train.targets.of(chosen), device)
    head = model.get_submodule(part)
    return _Taken(head, found["train"], cast("Tensor", targets), found["val"])


def _n_held(extractor: Extractor, seen: TrainingData) -> int:
    """Return the training images whose features memory holds beside those of validation."""
    n_held = int(seen.features_bytes // extractor.image_bytes) - len(seen.splits["val"])
    return max(0, min(n_held, len(seen.splits["train"]), FIT_IMAGES))


def _solve(taken: _Taken, plan: TrainingPlan) -> float:
    """Leave the solution in the head, and return the score of the nearest neighbors."""
    scaling = Scaling.of(taken.features)
    problem = _problem(taken, scaling, plan)
    rng = np.random.default_rng(derive_seed(plan.settings.seed, 0, 0, 0, 1))
    n_images, n_classes = problem.targets.shape
    labels = np.zeros(n_images, np.int64)
    if problem.link == "softmax":
        labels = problem.targets.argmax(dim=1).cpu().numpy()
    order = torch.from_numpy(spread(labels, rng)).to(problem.features.device)
    few = problem.of(order[:KNN_IMAGES])
    knn = knn_score(few.features, few.targets, few.weights)
    if not isinstance(taken.head, nn.Linear):
        _train_small(taken, scaling, plan)
        return knn
    if min(n_images, FOLD_IMAGES) * problem.features.shape[1] * n_classes > LOGISTIC_MAX:
        solved = tempered(problem, ridge(problem))
    else:
        tried = order[:FOLD_IMAGES]
        folds = folds_of(labels[tried.cpu().numpy()], FOLDS, rng).to(tried.device)
        solved = logistic(problem, *strength_by_folds(problem.of(tried), folds))
    _put(taken.head, scaling.undone(_without_priors(solved, plan.settings)))
    return knn


def _problem(taken: _Taken, scaling: Scaling, plan: TrainingPlan) -> Problem:
    settings, features = plan.settings, scaling.scaled(taken.features)
    if plan.task.target != "label":
        return Problem(features, taken.targets, features.new_ones(len(features)), "sigmoid")
    targets = F.one_hot(taken.targets, plan.architecture.classes).float()
    of_class = torch.ones_like(targets[0])
    if settings.class_weights is not None:
        of_class = targets.new_tensor(settings.class_weights)
    elif settings.metric in BALANCED and settings.log_priors is None:
        of_class = 1 / targets.sum(dim=0).clamp(min=1)
    weights = of_class[taken.targets]
    return Problem(features, targets, weights / weights.mean(), "softmax")


def _without_priors(solved: Linear, settings: TrainSettings) -> Linear:
    """Return the head whose logits, shifted by the priors of the classes, are the solved ones.

    The solution of the shifted loss, since the bias has no penalty.
    """
    if settings.log_priors is None:
        return solved
    return Linear(solved.weight, solved.bias - solved.bias.new_tensor(settings.log_priors))


@torch.no_grad()
def _put(layer: nn.Linear, solved: Linear) -> None:
    layer.weight.copy_(solved.weight.T)
    layer.bias.copy_(solved.bias)


def _loss(head: nn.Module, features: Tensor, targets: Any, plan: TrainingPlan) -> float:
    losses = plan.task.training_step(head, (features, targets), plan.settings)
    return float(torch.stack(tuple(losses.values())).sum())


def _train_small(taken: _Taken, scaling: Scaling, plan: TrainingPlan) -> None:
    """Train a head of several layers on standardized features, then let it take them raw."""
    head, features = taken.head, scaling.scaled(taken.features)
    first = next(layer for layer in head.modules() if isinstance(layer, nn.Linear))

    def batch(indices: Tensor) -> tuple[Tensor, Any]:
        return features[indices], taken.targets[indices]

    n_steps = HEAD_EPOCHS * len(features) // HEAD_BATCH
    n_steps = min(max(n_steps, HEAD_STEPS_MIN), HEAD_STEPS_MAX)
    _steps(head, plan, len(features), batch, n_steps=n_steps, batch_size=HEAD_BATCH)
    _put(first, scaling.undone(Linear(first.weight.detach().T, first.bias.detach())))


def _trained_on_images(model: nn.Module, plan: TrainingPlan, seen: TrainingData) -> float:
    """Train all but the backbone, whose norms stay as they are, and return the last loss."""
    needed = {p: p.requires_grad for p in model.parameters()}
    was_frozen = cast("Any", model).is_frozen
    plan.task.freeze(model)
    train, device = seen.splits["train"], next(model.parameters()).device

    def batch(indices: Tensor) -> tuple[Tensor, Any]:
        ((pixels, targets),) = train.batches([indices])
        images = channels_last(plan.normalize(pixels.to(device)))
        return images, on_device(targets, device)

    size = plan.recipe.batch_size
    n_steps = IMAGE_EPOCHS * max(1, len(train) // size)
    try:
        return _steps(model, plan, len(train), batch, n_steps=n_steps, batch_size=size)
    finally:
        cast("Any", model).is_frozen = was_frozen
        for parameter, is_needed in needed.items():
            parameter.requires_grad_(is_needed)


def _steps(
    network: nn.Module,
    plan: TrainingPlan,
    n_images: int,
    batch: Callable[[Tensor], tuple[Tensor, Any]],
    *,
    n_steps: int,
    batch_size: int,
) -> float:
    """Train what needs gradients by AdamW, and return the last loss; then evaluation mode.

    Raises:
        DivergedError: If the loss is no finite number.
    """
    seed = plan.settings.seed
    network.train()
    optimizer = AdamW(parameter_groups(network, HEAD_DECAY), lr=HEAD_LR)
    n_batches = max(1, n_images // batch_size)
    value = 0.0
    for step in range(n_steps):
        epoch, index = divmod(step, n_batches)
        if index == 0:
            rng = np.random.default_rng(derive_seed(seed, epoch, 0, 0, 2))
            order = torch.from_numpy(rng.permutation(n_images))
        inputs, targets = batch(order[index * batch_size : (index + 1) * batch_size])
        seed_dropout(derive_seed(seed, step, 0, 0, 3), inputs.device)
        losses = plan.task.training_step(network, (inputs, targets), plan.settings)
        loss = torch.stack(tuple(losses.values())).sum()
        value = float(loss.detach())
        if not math.isfinite(value):
            raise DivergedError(f"The loss of the head is {value} in its step {step + 1}.")
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        factor = lr_factor("cosine", step, n_steps)
        for group in optimizer.param_groups:
            group["lr"] = HEAD_LR * factor
        optimizer.step()
    network.eval()
    return value


def _images(plan: TrainingPlan, seen: TrainingData, model: nn.Module) -> Iterator[Tensor]:
    """Yield the validation images as the network takes them."""
    device = next(model.parameters()).device
    for pixels, _ in EvalBatches(seen.splits["val"], eval_batch(plan.task)):
        yield channels_last(plan.normalize(pixels.to(device)))


def _evaluated(
    plan: TrainingPlan, network: nn.Module, inputs: Iterable[Tensor]
) -> tuple[dict[str, float], SavedPredictions]:
    """Return metrics and saved predictions of a head on features, or of a network on images."""
    evaluator = plan.new_evaluator()
    with torch.inference_mode():
        for batch in inputs:
            outputs = plan.task.predict(network, batch)
            evaluator.update({name: output.cpu() for name, output in outputs.items()})
    return evaluator.metrics(), evaluator.saved_predictions()
