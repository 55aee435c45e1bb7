"""Linear heads on features, solved instead of trained, and what their neighbors say of them.

Everything here is a function of a ``Problem``; the features are standardized once by ``Scaling``.
Which of them does what was measured: benchmarks/LOG.md, "Frozen features, solved heads and
fine-tuning".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

Link = Literal["softmax", "sigmoid"]
# Inverse strengths of the penalty, as scikit-learn's C, from strong to weak.
STRENGTHS = tuple(10.0**power for power in range(-4, 2))
PENALTIES = tuple(10.0 ** (half / 2) for half in range(-6, 11))  # of ridge, per image
TEMPERATURES = tuple(2.0 ** (half / 2) for half in range(-2, 17))
FOLDS = 3
STD_MIN = 0.01  # of the median deviation
MAX_STEPS = 100  # of L-BFGS
# benchmarks/LOG.md, "Probes and fine-tuning by the trainer".
TOLERANCE, FOLD_TOLERANCE = 1e-4, 1e-3  # of its gradient; between strengths a rough head will do
NEIGHBORS, NEIGHBOR_SCALE = 5, 0.07
KNN_CHUNK = 1024  # images whose cosines with all others are held at a time


@dataclass(frozen=True, eq=False)
class Linear:
    """A solved head: ``features @ weight + bias``, with ``weight (D, K)`` and ``bias (K,)``."""

    weight: Tensor
    bias: Tensor

    def logits(self, features: Tensor) -> Tensor:
        """Return ``(N, K)`` of features ``(N, D)``."""
        return torch.addmm(self.bias, features, self.weight)


@dataclass(frozen=True, eq=False)
class Scaling:
    """Mean and deviation of each feature, ``(D,)``.

    A feature that hardly varies is not stretched to the size of the others, since what is seen of
    it is rounding.
    """

    mean: Tensor
    std: Tensor

    @classmethod
    def of(cls, features: Tensor) -> Self:
        """Return the scaling that standardizes features ``(N, D)``."""
        std, mean = torch.std_mean(features, dim=0, correction=0)
        varied = std[std > 0]
        usual = float(varied.median()) if len(varied) else 1.0
        return cls(mean, std.clamp(min=STD_MIN * usual))

    def scaled(self, features: Tensor) -> Tensor:
        """Return standardized features."""
        return (features - self.mean) / self.std

    def undone(self, head: Linear) -> Linear:
        """Return the head that does on features what the given one does on scaled ones."""
        weight = head.weight / self.std[:, None]
        return Linear(weight, head.bias - self.mean @ weight)


@dataclass(frozen=True, eq=False)
class Problem:
    """What a head is solved for.

    Attributes:
        features: Standardized, ``(N, D)``.
        targets: ``(N, K)`` from 0 to 1.
        weights: Of the images, ``(N,)``, 1 on average.
        link: ``softmax`` for one class an image, ``sigmoid`` for any number.
    """

    features: Tensor
    targets: Tensor
    weights: Tensor
    link: Link

    def of(self, rows: Tensor) -> Problem:
        """Return the problem of some images."""
        return Problem(self.features[rows], self.targets[rows], self.weights[rows], self.link)

    def loss(self, logits: Tensor) -> Tensor:
        """Return the mean negative log-likelihood of the targets, weighed by image."""
        if self.link == "softmax":
            each = -(self.targets * logits.log_softmax(dim=1)).sum(dim=1)
        else:
            each = F.binary_cross_entropy_with_logits(logits, self.targets, reduction="none").sum(
                dim=1
            )
        return (each * self.weights).sum() / self.weights.sum()

    def slope(self, logits: Tensor) -> Tensor:
        """Return the derivative of the loss by the logits, ``(N, K)``."""
        if self.link == "softmax":
            given = logits.softmax(dim=1) * self.targets.sum(dim=1, keepdim=True)
        else:
            given = logits.sigmoid()
        return (given - self.targets) * (self.weights / self.weights.sum())[:, None]


def logistic(
    problem: Problem,
    strength: float,
    start: Linear | None = None,
    *,
    tolerance: float = TOLERANCE,
) -> Linear:
    """Return the head of a penalized logistic regression, by L-BFGS.

    Args:
        problem: What is asked for.
        strength: The inverse of the penalty, as scikit-learn's C; the bias has none.
        start: Where the search begins; zeros when None.
        tolerance: Largest gradient at which it ends.
    """
    x = problem.features
    start = start or Linear(*_zeros(problem))
    solved = torch.cat([start.weight, start.bias[None]])  # one tensor, its last row the bias
    gradient = solved.grad = torch.empty_like(solved)
    penalty = 1 / (2 * strength * float(problem.weights.sum()))
    optimizer = torch.optim.LBFGS(
        [solved],
        max_iter=MAX_STEPS,
        tolerance_grad=tolerance,
        tolerance_change=tolerance / 100,
        line_search_fn="strong_wolfe",
    )

    def closure() -> Tensor:
        weight, logits = solved[:-1], torch.addmm(solved[-1], x, solved[:-1])
        slope = problem.slope(logits)
        torch.mm(x.T, slope, out=gradient[:-1]).add_(weight, alpha=2 * penalty)
        torch.sum(slope, dim=0, out=gradient[-1])
        return problem.loss(logits) + penalty * weight.square().sum()

    with torch.no_grad():
        optimizer.step(closure)  # type: ignore[no-untyped-call]
    return Linear(solved[:-1], solved[-1])


def strength_by_folds(
    problem: Problem, folds: Tensor, strengths: Sequence[float] = STRENGTHS
) -> tuple[float, Linear]:
    """Return the strength of the least loss on folds left out, and a head near its solution.

    From the strongest penalty on, each solution beginning at the last one; the first rise ends it.
    Of a single fold nothing is left to learn from: the strongest penalty is given, with zeros.

    Args:
        problem: What is asked for.
        folds: Of each image, ``(N,)`` from 0. Copies of an image have to share one.
        strengths: From the strongest penalty to the weakest.
    """
    n_folds = int(folds.max()) + 1
    if n_folds == 1:
        return strengths[0], Linear(*_zeros(problem))
    parts = [(problem.of(folds != one), problem.of(folds == one)) for one in range(n_folds)]
    heads: list[Linear | None] = [None] * n_folds
    best, chosen = float("inf"), (strengths[0], Linear(*_zeros(problem)))
    for strength in strengths:
        found = [
            logistic(fit, strength, s, tolerance=FOLD_TOLERANCE)
            for (fit, _), s in zip(parts, heads, strict=True)
        ]
        left_out = [
            part.loss(h.logits(part.features)) for (_, part), h in zip(parts, found, strict=True)
        ]
        loss = float(torch.stack(left_out).mean())
        if not loss < best:
            break
        best, heads = loss, [*found]
        mean = [
            torch.stack(each).mean(dim=0)
            for each in zip(*((h.weight, h.bias) for h in found), strict=True)
        ]
        chosen = strength, Linear(*mean)
    return chosen


def _zeros(problem: Problem) -> tuple[Tensor, Tensor]:
    x, n_classes = problem.features, problem.targets.shape[1]
    return x.new_zeros(x.shape[1], n_classes), x.new_zeros(n_classes)


@dataclass(frozen=True, eq=False)
class Ridge:
    """Result of a ridge regression on the targets.

    Attributes:
        head: Of the penalty whose left-out predictions have the least squared error.
        penalty: That penalty, per image.
        left_out: Its prediction for each image, made without the image, ``(N, K)``.
    """

    head: Linear
    penalty: float
    left_out: Tensor


def ridge(problem: Problem, penalties: Sequence[float] = PENALTIES) -> Ridge:
    """Return a ridge regression with its penalty chosen by leaving one image out, in closed form.

    Source: Golub, Heath and Wahba 1979 (Generalized cross-validation), equation 1.1, with an
    intercept that has no penalty, and on the side of the smaller Gram matrix.
    """
    weights, total = problem.weights[:, None], problem.weights.sum()
    x_mean = (weights * problem.features).sum(dim=0) / total
    y_mean = (weights * problem.targets).sum(dim=0) / total
    root = weights.sqrt()
    a, y = root * (problem.features - x_mean), root * (problem.targets - y_mean)
    is_tall = a.shape[0] >= a.shape[1]
    values, vectors = torch.linalg.eigh(a.T @ a if is_tall else a @ a.T)
    values = values.clamp(min=0)
    # Rows of ``z`` are the images on the principal axes.
    z = a @ vectors if is_tall else vectors * values.sqrt()
    axes = vectors if is_tall else a.T @ (vectors / values.sqrt().clamp(min=1e-6))
    along, squares = z.T @ y, z.square()
    best, least = None, float("inf")
    for penalty in penalties:
        shrunk = 1 / (values + penalty * total)
        leverage = squares @ shrunk + problem.weights / total
        errors = (y - z @ (shrunk[:, None] * along)) / (1 - leverage).clamp(min=1e-6)[:, None]
        error = float(errors.square().sum())
        if error < least:
            least, best = error, (penalty, shrunk, errors)
    if best is None:
        raise ValueError(f"No penalty of {penalties} gives finite errors.")
    penalty, shrunk, errors = best
    weight = axes @ (shrunk[:, None] * along)
    head = Linear(weight, y_mean - x_mean @ weight)
    return Ridge(head, penalty, problem.targets - errors / root)


def tempered(problem: Problem, found: Ridge) -> Linear:
    """Return the head of a ridge regression with its scores stretched to logits.

    By the factor that makes its left-out predictions most likely.
    """
    losses = {t: float(problem.loss((found.left_out - 0.5) * t)) for t in TEMPERATURES}
    t = min(losses, key=losses.__getitem__)
    return Linear(found.head.weight * t, (found.head.bias - 0.5) * t)


def knn_score(features: Tensor, targets: Tensor, weights: Tensor) -> float:
    """Return how well the nearest other images tell the targets of each image.

    They vote with their cosine. The score is the overlap of vote and truth over their union: with
    one class an image, the share of right votes where all neighbors agree.

    Args:
        features: ``(N, D)`` with at least two images.
        targets: ``(N, K)`` from 0 to 1.
        weights: Of the images, ``(N,)``.
    """
    unit = F.normalize(features, dim=1)
    k = min(NEIGHBORS, len(unit) - 1)
    scores = []
    for start in range(0, len(unit), KNN_CHUNK):
        near = unit[start : start + KNN_CHUNK] @ unit.T
        rows = torch.arange(len(near))
        near[rows, rows + start] = -torch.inf
        cosines, found = near.topk(k, dim=1)
        shares = (cosines / NEIGHBOR_SCALE).softmax(dim=1)
        votes = (shares[:, :, None] * targets[found]).sum(dim=1)
        truth = targets[start : start + KNN_CHUNK]
        both, either = (f(votes, truth).sum(dim=1) for f in (torch.minimum, torch.maximum))
        scores.append(torch.where(either > 0, both / either.clamp(min=1e-12), 1.0))
    return float((torch.cat(scores) * weights).sum() / weights.sum())


def folds_of(labels: NDArray[np.int64], n_folds: int, rng: np.random.Generator) -> Tensor:
    """Return the fold of each image ``(N,)``, each class spread evenly over the folds."""
    order = rng.permutation(len(labels))
    order = order[np.argsort(labels[order], kind="stable")]
    folds = np.empty(len(labels), np.int64)
    folds[order] = np.arange(len(labels)) % n_folds
    return torch.from_numpy(folds)
