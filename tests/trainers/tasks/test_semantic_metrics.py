"""Metrics and losses of masks, against independent implementations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from segmentation_models_pytorch.losses import DiceLoss
from sklearn.metrics import confusion_matrix
from torch.nn import functional as F
from torchmetrics.classification import MulticlassAccuracy, MulticlassJaccardIndex
from torchmetrics.segmentation import DiceScore

from archfront.search.front.intervals import kept_interval
from archfront.trainers.data.preprocess import Preprocess
from archfront.trainers.data.targets import IGNORED, Mask
from archfront.trainers.data.verify import Sample
from archfront.trainers.networks.segmenters.losses import LOSSES, losses_of
from archfront.trainers.spec import TrainSettings
from archfront.trainers.tasks import TASKS
from archfront.trainers.tasks.judges.masks import MaskEvaluator, labels_at
from archfront.trainers.tasks.judges.overlap import margins

TASK = TASKS["semantic"]
NAMES = ("sky", "road", "car")
SETTINGS = TrainSettings("miou", 1, 1, 0, 0.0, "one_cycle", "fp32", 1, loss="ce_dice")
HALVES = (0.5, 0.5, 0.5)
SQUARE = Preprocess(32, 3, HALVES, HALVES, resize="pad")


def sample(mask: NDArray[np.uint8]) -> Sample:
    height, width = mask.shape
    pixels = np.zeros((height, width, 3), np.uint8)
    return Sample(pixels, Mask(mask), "one", width, height, is_grey=False, digest="")


def drawn_masks(
    n: int, *, classes: Sequence[int] = (0, 1, 2, IGNORED), seed: int = 0
) -> list[NDArray[np.uint8]]:
    rng = np.random.default_rng(seed)
    sizes = rng.integers(9, 60, (n, 2))
    return [rng.choice(np.array(classes, np.uint8), size=tuple(size)) for size in sizes]


def evaluated(masks: list[NDArray[np.uint8]], logits: torch.Tensor) -> MaskEvaluator:
    evaluator = MaskEvaluator([sample(mask) for mask in masks], NAMES, SQUARE)
    for part in torch.split(logits, 2):
        evaluator.update({"logits": part})
    return evaluator


def predictions(
    masks: list[NDArray[np.uint8]], logits: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return true and predicted classes of all known pixels, by torch's own interpolation."""
    true, predicted = [], []
    for mask, one in zip(masks, logits, strict=True):
        height, width = mask.shape
        scale = 32 / max(height, width)
        inside = one[None, :, : max(1, round(height * scale)), : max(1, round(width * scale))]
        full = F.interpolate(inside, size=mask.shape, mode="bilinear", align_corners=False)
        known = torch.from_numpy(mask != IGNORED)
        true.append(torch.from_numpy(mask)[known].long())
        predicted.append(full[0].argmax(dim=0)[known])
    return torch.cat(true), torch.cat(predicted)


CASES = {
    "all classes": drawn_masks(5),
    "a class that is only predicted": drawn_masks(4, classes=(0, 1)),
    "one image": drawn_masks(1),
    "one true class": drawn_masks(2, classes=(2,)),
    "mostly ignored": drawn_masks(3, classes=(IGNORED,) * 9 + (0, 1)),
}


@pytest.mark.parametrize("case", CASES)
def test_metrics_are_those_of_independent_implementations(case: str) -> None:
    masks = CASES[case]
    logits = torch.randn(len(masks), 3, 32, 32, generator=torch.Generator().manual_seed(1))
    if case == "one true class":
        logits[:, 0] = -9  # a class that is neither true nor predicted
    evaluator = evaluated(masks, logits)
    true, predicted = predictions(masks, logits)
    found = evaluator.metrics()
    counts = confusion_matrix(true, predicted, labels=range(3))
    assert np.array_equal(evaluator.saved_predictions()["confusion"].sum(axis=0), counts)
    oracles = {
        "miou": MulticlassJaccardIndex(3)(predicted, true),
        "pixel_accuracy": MulticlassAccuracy(3, average="micro")(predicted, true),
    }
    for name, value in oracles.items():
        assert found[name] == pytest.approx(float(value), abs=1e-6), name
    occurs = np.union1d(true, predicted)
    recalls = [float((predicted[true == c] == c).float().mean()) for c in true.unique()]
    assert found["class_accuracy"] == pytest.approx(np.mean(recalls), abs=1e-6)
    dice = DiceScore(3, average="none", input_format="index", aggregation_level="global")
    by_class = dice(predicted[None], true[None])
    assert found["dice"] == pytest.approx(float(by_class[occurs].mean()), abs=1e-6)
    assert {name for name in found if "/" in name} == {f"iou/{NAMES[c]}" for c in occurs}
    shares = [found[f"iou/{NAMES[c]}"] for c in occurs]
    assert found["miou"] == pytest.approx(np.mean(shares), abs=1e-9)


def test_right_predictions_score_one_and_padding_does_not_count() -> None:
    mask = np.zeros((16, 32), np.uint8)
    mask[:, 16:] = 1
    logits = torch.full((1, 3, 32, 32), -5.0)
    logits[0, 0, :16, :16] = logits[0, 1, :16, 16:] = 5
    logits[0, 2, 16:] = 9  # beside the image
    evaluator = evaluated([mask], logits)
    found = evaluator.metrics()
    assert found["miou"] == found["pixel_accuracy"] == 1
    assert "iou/car" not in found
    assert np.array_equal(evaluator.saved_predictions()["maps"][0, :16], mask)
    assert (evaluator.saved_predictions()["maps"][0, 16:] == IGNORED).all()


def test_a_large_image_is_evaluated_in_bands_as_at_once() -> None:
    logits = torch.randn(3, 20, 31, generator=torch.Generator().manual_seed(0))
    full = F.interpolate(logits[None], size=(97, 150), mode="bilinear", align_corners=False)
    for chunk in (3 * 150 * 7, 10**9, 1):
        bands = list(labels_at(logits, 150, 97, chunk=chunk))
        rows = np.concatenate([np.arange(97)[band] for band, _ in bands])
        assert np.array_equal(rows, np.arange(97))
        labels = np.concatenate([predicted for _, predicted in bands])
        assert (labels == full[0].argmax(dim=0).numpy()).mean() > 0.999


@pytest.mark.parametrize("metric", TASK.metrics)
def test_a_resampled_metric_is_that_of_the_images_taken_so_often(metric: str) -> None:
    masks = drawn_masks(4, seed=3)
    logits = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(2))
    kept = evaluated(masks, logits).saved_predictions()
    value_of = TASK.resampled(metric, kept)
    weights = np.array([[1, 1, 1, 1], [3, 0, 1, 0], [0, 4, 0, 0]])
    assert value_of is not None
    for row, value in zip(weights, value_of(weights), strict=True):
        taken = np.repeat(np.arange(4), row)
        expected = evaluated([masks[i] for i in taken], logits[taken]).metrics()[metric]
        assert value == pytest.approx(expected, abs=1e-9)


def test_an_interval_comes_from_what_a_evaluator_keeps(tmp_path: Path) -> None:
    masks = drawn_masks(6, seed=5)
    logits = torch.randn(6, 3, 32, 32, generator=torch.Generator().manual_seed(4))
    evaluator = evaluated(masks, logits)
    np.savez_compressed(tmp_path / "kept.npz", **evaluator.saved_predictions())
    low, high = kept_interval(
        TASK,
        "miou",
        tmp_path / "kept.npz",
        value=evaluator.metrics()["miou"],
        rng=np.random.default_rng(0),
        n_resamples=200,
    )
    assert 0 < low < evaluator.metrics()["miou"] < high < 1


@pytest.mark.parametrize("metric", TASK.metrics)
def test_chance_is_the_score_of_the_commonest_class(metric: str) -> None:
    mask = np.repeat(np.array([0, 1, 2], np.uint8), (60, 30, 10)).reshape(10, 10)
    logits = torch.zeros(1, 3, 32, 32)
    logits[:, 0] = 1
    expected = evaluated([mask], logits).metrics()[metric]
    assert TASK.chance(metric, [60, 30, 10]) == pytest.approx(expected)


def test_masks_that_are_not_known_give_no_error_but_no_number() -> None:
    mask = np.full((8, 8), IGNORED, np.uint8)
    found = evaluated([mask], torch.zeros(1, 3, 32, 32)).metrics()
    assert np.isnan(found["miou"])
    assert {name for name in found if "/" in name} == set()


def logits_and_masks(classes: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(7)
    logits = torch.randn(2, classes, 8, 8, generator=generator)
    return logits, torch.randint(classes, (2, 8, 8), generator=generator).to(torch.uint8)


@pytest.mark.parametrize("weights", [None, (0.5, 1.0, 3.0)])
@pytest.mark.parametrize("loss", LOSSES)
def test_ignored_pixels_have_no_part_in_a_loss(
    loss: str, weights: tuple[float, ...] | None
) -> None:
    settings = replace(SETTINGS, loss=loss, class_weights=weights)
    logits, masks = logits_and_masks()
    masks[:, :3] = IGNORED
    other = logits.clone()
    other[:, :, :3] = 50 * torch.randn(2, 3, 3, 8)
    cut = losses_of(logits[:, :, 3:], masks[:, 3:], settings)
    for images in (logits, other):
        found = losses_of(images.requires_grad_(), masks, settings)
        assert found.keys() == cut.keys()
        for name, value in found.items():
            assert value.item() == pytest.approx(cut[name].item(), abs=1e-6)
        sum(found.values()).backward()
        assert images.grad is not None
        assert not images.grad[:, :, :3].any()
        assert images.grad[:, :, 3:].any()


@pytest.mark.parametrize("loss", LOSSES)
def test_a_batch_without_a_known_pixel_has_loss_zero(loss: str) -> None:
    logits, masks = logits_and_masks()
    found = losses_of(logits, torch.full_like(masks, IGNORED), replace(SETTINGS, loss=loss))
    assert all(float(value) == 0 for value in found.values())


@pytest.mark.parametrize("weights", [None, (0.5, 1.0, 3.0)])
def test_cross_entropy_is_that_of_torch(weights: tuple[float, ...] | None) -> None:
    settings = replace(SETTINGS, loss="", class_weights=weights, label_smoothing=0.1)
    logits, masks = logits_and_masks()
    masks[0, 0] = IGNORED
    expected = F.cross_entropy(
        logits,
        masks.long(),
        weight=None if weights is None else torch.tensor(weights),
        ignore_index=IGNORED,
        label_smoothing=0.1,
    )
    assert float(losses_of(logits, masks, settings)["cross_entropy"]) == pytest.approx(
        float(expected)
    )


def test_focal_is_that_of_its_formula() -> None:
    logits, masks = logits_and_masks()
    masks[1, 2:5] = IGNORED
    settings = replace(SETTINGS, loss="focal", class_weights=(0.5, 1.0, 3.0))
    true = masks[masks != IGNORED].long()
    shares = logits.softmax(dim=1).permute(0, 2, 3, 1)[masks != IGNORED]
    p = shares[torch.arange(len(true)), true]
    by_pixel = torch.tensor(settings.class_weights)[true]
    expected = (by_pixel * (1 - p) ** 2 * -p.log()).sum() / by_pixel.sum()
    found = losses_of(logits, masks, settings)["focal"]
    assert found.item() == pytest.approx(expected.item())


@pytest.mark.parametrize("shown", [(0, 1, 2), (0, 2), (1,)])
@pytest.mark.parametrize("weights", [None, (0.5, 1.0, 3.0)])
def test_dice_is_that_of_smp(weights: tuple[float, ...] | None, shown: tuple[int, ...]) -> None:
    logits, masks = logits_and_masks()
    masks = torch.tensor(shown, dtype=torch.uint8)[masks.long() % len(shown)]
    masks[1, 2:5] = IGNORED
    values = None if weights is None else list(weights)
    oracle = DiceLoss("multiclass", ignore_index=IGNORED, class_weights=values)
    settings = replace(SETTINGS, loss="dice", class_weights=weights)
    gradients = []
    for loss in (oracle, lambda z, y: losses_of(z, y, settings)["dice"]):
        z = logits.clone().requires_grad_()
        value = loss(z, masks.long())
        value.backward()
        gradients.append(z.grad)
        assert value.item() == pytest.approx(oracle(logits, masks.long()).item(), abs=1e-6)
    torch.testing.assert_close(*gradients)


def test_decoding_gives_the_largest_logit() -> None:
    logits = np.zeros((1, 3, 2, 2), np.float32)
    logits[0, 2, 0, 1] = 1
    labels = TASK.decode({"logits": logits})
    assert labels.dtype == np.uint8
    assert labels.tolist() == [[[0, 2], [0, 0]]]


def test_margins_are_diagonal_rows_and_columns() -> None:
    hits, true, predicted = margins(np.array([[1, 2], [3, 4]]))
    assert (hits.tolist(), true.tolist(), predicted.tolist()) == ([1, 4], [3, 7], [4, 6])


def test_masks_are_learned_from_files_of_indices(tmp_path: Path) -> None:
    mask = drawn_masks(1)[0]
    Image.fromarray(mask).save(tmp_path / "mask.png")
    from_file = replace(sample(mask), target=Mask(tmp_path / "mask.png"))
    logits = torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    evaluator = MaskEvaluator([from_file], NAMES, SQUARE)
    evaluator.update({"logits": logits})
    assert evaluator.metrics() == evaluated([mask], logits).metrics()
