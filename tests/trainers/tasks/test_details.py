"""What saved predictions say of each class, against other implementations."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics

from archfront.trainers.tasks import TASKS
from archfront.trainers.tasks.judges import details
from archfront.trainers.tasks.judges.average_precision import coco_metrics
from archfront.trainers.tasks.judges.details import class_details, image_losses, worst_images
from archfront.trainers.tasks.judges.overlap import class_iou
from archfront.trainers.tasks.judges.resampled_ap import resampled_ap
from tests.support.drawn_answers import CLASSES, evaluator
from tests.support.drawn_objects import NAMES

OBJECTS = ("detection", "instance")


def details_of(task: str, kind: str = "mixed"):
    saved = evaluator(task, kind, n=40, seed=2).saved_predictions()
    names = NAMES if task in OBJECTS else CLASSES
    return saved, class_details(TASKS[task].target, saved, names)


def test_labels_agree_with_sklearn() -> None:
    saved, found = details_of("classification")
    predicted = saved["probabilities"].argmax(axis=1)
    every = list(range(5))
    expected = sklearn_metrics.confusion_matrix(saved["labels"], predicted, labels=every)
    assert found.confusion == expected.tolist()
    columns = sklearn_metrics.precision_recall_fscore_support(
        saved["labels"], predicted, labels=every, zero_division=0
    )
    for name, column in zip(("precision", "recall", "f1"), columns, strict=False):
        assert found.metrics[name] == pytest.approx(list(column))


def test_label_sets_agree_with_sklearn() -> None:
    saved, found = details_of("multilabel")
    columns = sklearn_metrics.precision_recall_fscore_support(
        saved["labels"], saved["probabilities"] > 0.5, zero_division=0
    )
    for name, column in zip(("precision", "recall", "f1"), columns, strict=False):
        assert found.metrics[name] == pytest.approx(list(column))
    assert found.confusion == []


def test_a_label_set_of_one_class_has_its_details() -> None:
    saved = evaluator("multilabel", "mixed", n=40, seed=2).saved_predictions()
    one = {
        **saved,
        "probabilities": saved["probabilities"][:, :1],
        "labels": saved["labels"][:, :1],
    }
    found, whole = (class_details("labels", s, CLASSES[:n]) for s, n in ((one, 1), (saved, 5)))
    assert found.metrics == {name: values[:1] for name, values in whole.metrics.items()}


def test_masks_have_the_confusion_of_their_pixels() -> None:
    saved, found = details_of("semantic")
    total = saved["confusion"].sum(axis=0)
    assert found.confusion == total.tolist()
    known = [value for value in found.metrics["iou"] if value is not None]
    iou = class_iou(total)
    assert known == pytest.approx(iou[np.isfinite(iou)].tolist())


@pytest.mark.parametrize("task", OBJECTS)
def test_objects_have_a_curve_of_each_class_whose_mean_is_map50(task: str) -> None:
    saved, found = details_of(task)
    assert set(found.curves) == set(NAMES)
    values = [value for value in found.metrics["ap50"] if value is not None]
    assert np.mean(values) == pytest.approx(coco_metrics(saved, NAMES)["map50"])


@pytest.mark.parametrize("task", OBJECTS)
def test_objects_are_judged_by_few_images_at_a_time(
    task: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All images at once took memory and time by the square of their number."""
    saved = evaluator(task, "mixed", n=20, seed=2).saved_predictions()
    whole = resampled_ap("map50", saved)(np.eye(20))
    sides = []

    def judged(metric: str, part: dict[str, np.ndarray]):
        sides.append(len(part["images"]))
        return resampled_ap(metric, part)

    monkeypatch.setattr(details, "IMAGES_AT_ONCE", 3)
    monkeypatch.setattr("archfront.trainers.tasks.judges.resampled_ap.resampled_ap", judged)
    losses = image_losses(TASKS[task].target, saved)
    assert losses == pytest.approx(1 - np.nan_to_num(whole, nan=1.0))
    assert max(sides) == 3


@pytest.mark.parametrize("task", TASKS)
def test_right_answers_lose_less_than_drawn_ones(task: str) -> None:
    kind = TASKS[task].target
    perfect, chance = (
        image_losses(kind, evaluator(task, answers, n=20, seed=1).saved_predictions())
        for answers in ("perfect", "chance")
    )
    assert perfect.shape == (20,)
    assert perfect.mean() < chance.mean()


def test_the_worst_image_is_the_one_that_is_surely_wrong() -> None:
    saved = {
        "probabilities": np.array([[0.9, 0.1], [0.1, 0.9], [0.6, 0.4]], np.float32),
        "labels": np.array([0, 0, 0]),
    }
    assert image_losses("label", saved).argsort()[::-1].tolist() == [1, 2, 0]


def test_right_answers_are_no_mistakes_however_unsure() -> None:
    saved = {
        "probabilities": np.array([[0.9, 0.1], [0.4, 0.6], [0.51, 0.49]], np.float32),
        "labels": np.array([1, 0, 0]),
    }
    assert worst_images("label", saved, 12) == [0, 1]
    assert worst_images("label", saved, 1) == [0]


@pytest.mark.parametrize("task", TASKS)
def test_a_perfect_network_makes_no_mistakes(task: str) -> None:
    perfect, chance = (
        evaluator(task, answers, n=20, seed=1).saved_predictions()
        for answers in ("perfect", "chance")
    )
    assert worst_images(TASKS[task].target, perfect, 12) == []
    assert len(worst_images(TASKS[task].target, chance, 12)) == 12
