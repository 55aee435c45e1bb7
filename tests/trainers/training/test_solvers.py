"""Solved heads against scikit-learn, explicit leaving out, and brute force."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression, Ridge
from torch import Tensor
from torch.nn import functional as F

from archfront.trainers.training.solvers import (
    Link,
    Problem,
    Scaling,
    folds_of,
    knn_score,
    logistic,
    ridge,
    strength_by_folds,
    tempered,
)


def problem(
    n: int,
    d: int,
    k: int,
    link: Link = "softmax",
    *,
    is_weighted: bool = False,
    noise: float = 1.0,
) -> Problem:
    """Return features around a center per class, in float64."""
    rng = np.random.default_rng(n + d + k)
    labels = np.arange(n) % k
    x = rng.normal(size=(k, d))[labels] + noise * rng.normal(size=(n, d))
    targets = F.one_hot(torch.from_numpy(labels), k).double()
    if link == "sigmoid":
        targets = torch.maximum(targets, torch.from_numpy(rng.random((n, k)) < 0.2).double())
    weights = torch.from_numpy(rng.random(n) + 0.5 if is_weighted else np.ones(n))
    features = torch.from_numpy(x)
    return Problem(Scaling.of(features).scaled(features), targets, weights / weights.mean(), link)


@pytest.mark.parametrize("strength", [0.01, 1.0])
@pytest.mark.parametrize("is_weighted", [False, True])
def test_logistic_regression_is_that_of_scikit_learn(strength: float, is_weighted: bool) -> None:
    of = problem(90, 7, 3, is_weighted=is_weighted)
    found = logistic(of, strength, tolerance=1e-7)
    expected = LogisticRegression(C=strength, tol=1e-10, max_iter=5000)
    labels = of.targets.argmax(dim=1).numpy()
    expected.fit(of.features.numpy(), labels, sample_weight=of.weights.numpy())
    np.testing.assert_allclose(found.weight.T.numpy(), expected.coef_, atol=1e-4)
    bias = found.bias.numpy() - found.bias.numpy().mean()
    np.testing.assert_allclose(bias, expected.intercept_ - expected.intercept_.mean(), atol=1e-4)


def test_logistic_regression_of_several_labels_is_one_of_each_class() -> None:
    of = problem(80, 5, 3, "sigmoid")
    found = logistic(of, 0.5, tolerance=1e-7)
    for k in range(3):
        expected = LogisticRegression(C=0.5, tol=1e-10, max_iter=5000)
        expected.fit(of.features.numpy(), of.targets[:, k].numpy())
        np.testing.assert_allclose(found.weight[:, k].numpy(), expected.coef_[0], atol=1e-4)
        np.testing.assert_allclose(found.bias[k].item(), expected.intercept_[0], atol=1e-4)


def test_the_gradient_at_a_solution_is_nearly_zero_in_single_precision() -> None:
    of = problem(200, 20, 4)
    single = Problem(of.features.float(), of.targets.float(), of.weights.float(), "softmax")
    found = logistic(single, 0.1)
    weight, bias = found.weight.requires_grad_(), found.bias.requires_grad_()
    loss = single.loss(single.features @ weight + bias) + weight.square().sum() / (2 * 0.1 * 200)
    gradients = torch.autograd.grad(loss, [weight, bias])
    assert max(float(g.abs().max()) for g in gradients) < 1e-3


@pytest.mark.parametrize(("n", "d"), [(40, 6), (15, 30)])
@pytest.mark.parametrize("is_weighted", [False, True])
def test_ridge_leaves_images_out_as_by_hand(n: int, d: int, is_weighted: bool) -> None:
    of = problem(n, d, 3, is_weighted=is_weighted)
    found = ridge(of, [0.3])
    alpha = 0.3 * float(of.weights.sum())
    x, y, w = (part.numpy() for part in (of.features, of.targets, of.weights))
    whole = Ridge(alpha=alpha).fit(x, y, sample_weight=w)
    np.testing.assert_allclose(found.head.logits(of.features).numpy(), whole.predict(x), atol=1e-8)
    for i in range(n):
        rest = np.arange(n) != i
        expected = Ridge(alpha=alpha).fit(x[rest], y[rest], sample_weight=w[rest])
        np.testing.assert_allclose(found.left_out[i], expected.predict(x[i : i + 1])[0], atol=1e-8)


def test_ridge_chooses_the_penalty_that_leaves_out_best() -> None:
    of = problem(60, 40, 3, noise=3.0)
    penalties = (1e-3, 0.1, 1.0, 10.0, 1e3)
    errors = [float((ridge(of, [p]).left_out - of.targets).square().sum()) for p in penalties]
    assert ridge(of, penalties).penalty == penalties[int(np.argmin(errors))]
    assert 0 < int(np.argmin(errors)) < 4


def test_the_stretch_of_ridge_makes_it_more_likely() -> None:
    of = problem(120, 10, 4)
    found = ridge(of)
    plain, stretched = found.head, tempered(of, found)
    assert torch.equal(
        plain.logits(of.features).argmax(1), stretched.logits(of.features).argmax(1)
    )
    before, after = (float(of.loss(h.logits(of.features))) for h in (plain, stretched))
    assert after < 0.8 * before


def test_the_strength_is_the_best_on_folds_left_out() -> None:
    of = problem(90, 40, 3, noise=4.0)
    folds = folds_of(of.targets.argmax(1).numpy(), 3, np.random.default_rng(0))
    strengths = (1e-4, 1e-3, 1e-2, 0.1, 1.0, 10.0)

    def loss(strength: float) -> float:
        parts = [(of.of(folds != f), of.of(folds == f)) for f in range(3)]
        heads = [logistic(fit, strength) for fit, _ in parts]
        losses = [
            out.loss(h.logits(out.features)) for (_, out), h in zip(parts, heads, strict=True)
        ]
        return float(torch.stack(losses).mean())

    losses = [loss(strength) for strength in strengths]
    chosen, start = strength_by_folds(of, folds, strengths)
    assert chosen == strengths[int(np.argmin(losses))]
    assert 0 < int(np.argmin(losses)) < 5
    at_start = of.loss(start.logits(of.features))
    assert at_start < of.loss(torch.zeros_like(of.targets))


def test_one_image_has_no_fold_to_leave_out() -> None:
    """A class of labels with a single image was a division by zero."""
    of = Problem(torch.zeros(1, 5), torch.ones(1, 1), torch.ones(1), "sigmoid")
    folds = folds_of(np.zeros(1, np.int64), 3, np.random.default_rng(0))
    chosen, start = strength_by_folds(of, folds, (1e-4, 1.0))
    assert chosen == 1e-4
    assert not start.weight.any()
    solved = logistic(of, chosen, start)
    assert bool(torch.isfinite(solved.bias).all())
    assert float(solved.logits(of.features)) > 0


def test_folds_have_every_class_alike() -> None:
    labels = np.repeat([0, 1, 2], [30, 9, 4])
    folds = folds_of(labels, 3, np.random.default_rng(0)).numpy()
    for label, least in ((0, 10), (1, 3), (2, 1)):
        counts = np.bincount(folds[labels == label], minlength=3)
        assert counts.min() >= least
        assert counts.max() <= counts.min() + 1


def test_a_head_on_scaled_features_is_given_back_for_raw_ones() -> None:
    rng = np.random.default_rng(0)
    raw = torch.from_numpy(rng.normal(size=(50, 5)) * [1, 9, 0.2, 1e-4, 0] + [5, -30, 0, 1, 2])
    scaling = Scaling.of(raw)
    scaled = scaling.scaled(raw)
    torch.testing.assert_close(scaled[:, :3].std(dim=0, correction=0), torch.ones(3).double())
    # What hardly varies is not stretched to the others' size, and nothing is divided by zero.
    assert scaled[:, 3].abs().max() < 0.3
    assert not scaled[:, 4].any()
    assert not Scaling.of(raw[:1]).scaled(raw[:1]).any()
    of = Problem(
        scaled, F.one_hot(torch.arange(50) % 2).double(), torch.ones(50).double(), "softmax"
    )
    head = logistic(of, 1.0)
    torch.testing.assert_close(scaling.undone(head).logits(raw), head.logits(scaled))


def votes_by_hand(x: Tensor, y: Tensor, i: int) -> Any:
    cosines = F.normalize(x, dim=1) @ F.normalize(x[i : i + 1], dim=1).T
    others = sorted((c.item(), j) for j, c in enumerate(cosines) if j != i)[::-1][:5]
    shares = np.exp(np.array([c for c, _ in others]) / 0.07)
    return (shares[:, None] / shares.sum() * y[[j for _, j in others]].numpy()).sum(axis=0)


@pytest.mark.parametrize("link", ["softmax", "sigmoid"])
def test_neighbors_vote_as_by_hand(link: Link) -> None:
    of = problem(40, 6, 3, link, is_weighted=True)
    scores = []
    for i in range(40):
        votes, truth = votes_by_hand(of.features, of.targets, i), of.targets[i].numpy()
        either = np.maximum(votes, truth).sum()
        scores.append(np.minimum(votes, truth).sum() / either if either else 1.0)
    expected = np.average(scores, weights=of.weights.numpy())
    assert knn_score(of.features, of.targets, of.weights) == pytest.approx(expected)


def test_neighbors_in_chunks_are_those_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    of = problem(50, 6, 3)
    whole = knn_score(of.features, of.targets, of.weights)
    monkeypatch.setattr("archfront.trainers.training.solvers.KNN_CHUNK", 7)
    assert knn_score(of.features, of.targets, of.weights) == pytest.approx(whole)


@pytest.mark.parametrize("link", ["softmax", "sigmoid"])
def test_the_slope_of_the_loss_is_its_derivative(link: Link) -> None:
    of = problem(30, 5, 3, link, is_weighted=True)
    logits = torch.randn(30, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    [expected] = torch.autograd.grad(of.loss(logits.requires_grad_()), [logits])
    torch.testing.assert_close(of.slope(logits.detach()), expected)
