from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest

from archfront.trainers.tasks.judges.average_precision import (
    SCORE_MIN,
    best_f1_score,
    coco_metrics,
)
from archfront.trainers.tasks.judges.paste import encoded, pasted
from archfront.trainers.tasks.judges.resampled_ap import resampled_ap
from tests.support.small_findings import SIDE, by_pycocotools, findings, repeated

METRICS = ("map", "map50", "map75")
CASES: dict[str, dict[str, Any]] = {
    "some": {},
    "one class": {"classes": 1},
    "classes that are not there": {"classes": 40, "n_true": 2},
    "nothing is there": {"n_true": 0},
    "nothing is found": {"n_found": 0},
    "nothing at all": {"n_true": 0, "n_found": 0},
    "crowds": {"crowd": 0.3},
    "crowds only": {"crowd": 1.0},
    "more than 100 are found": {"classes": 1, "n_found": 400, "n_images": 2, "n_true": 60},
    "one image": {"n_images": 1},
}


def known(figures: dict[str, float]) -> dict[str, float]:
    """Return pycocotools' figures as ours: -1 left out, but for those that are maximized."""
    found = {name: value for name, value in figures.items() if value > -1}
    return dict.fromkeys(METRICS, 0.0) | found


@cache
def with_masks(case: str, seed: int) -> tuple[dict[str, Any], dict[str, float]]:
    """Return findings with masks, and our metrics of them."""
    kept = findings(seed, has_masks=True, **CASES[case])
    return kept, coco_metrics(kept, [str(k) for k in range(CASES[case].get("classes", 3))])


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("case", CASES)
class TestAgainstPycocotools:
    def test_boxes_have_its_average_precision(self, case: str, seed: int) -> None:
        kept, classes = findings(seed, **CASES[case]), CASES[case].get("classes", 3)
        expected = known(by_pycocotools(kept, classes))
        found = coco_metrics(kept, [str(k) for k in range(classes)])
        assert found == pytest.approx(expected, abs=1e-6)

    @pytest.mark.slow
    def test_masks_have_its_average_precision(self, case: str, seed: int) -> None:
        kept, found = with_masks(case, seed)
        classes = CASES[case].get("classes", 3)
        expected = known(by_pycocotools(kept, classes, "segm"))
        expected["box_map50"] = known(by_pycocotools(kept, classes))["map50"]
        assert found == pytest.approx(expected, abs=1e-6)

    @pytest.mark.slow
    @pytest.mark.parametrize("metric", [*METRICS, "box_map50"])
    def test_images_that_count_once_give_the_metric(
        self, case: str, seed: int, metric: str
    ) -> None:
        kept, expected = with_masks(case, seed)
        [value] = resampled_ap(metric, kept)(np.ones((1, len(kept["images"]))))
        assert value == pytest.approx(expected[metric], abs=1e-6)


@pytest.mark.parametrize("case", ["some", "crowds", "one class", "more than 100 are found"])
def test_an_image_that_counts_more_is_one_that_is_there_more_often(case: str) -> None:
    kept = findings(7, **CASES[case])
    names = [str(k) for k in range(CASES[case].get("classes", 3))]
    n = len(kept["images"])
    weights = np.random.default_rng(0).multinomial(n, np.full(n, 1 / n), size=20)
    expected = [coco_metrics(repeated(kept, row), names) for row in weights]
    for metric in METRICS:
        values = resampled_ap(metric, kept)(weights)
        wanted = np.array([metrics[metric] for metrics in expected])
        assert values == pytest.approx(wanted, abs=1e-6), metric
        assert np.ptp(values) > 0.01, metric


def test_a_resample_of_empty_images_has_no_value() -> None:
    kept = findings(0, n_images=3)
    is_mine = kept["true_images"] == 1
    for name in ("boxes", "labels", "crowd", "images", "areas"):
        kept[f"true_{name}"] = kept[f"true_{name}"][is_mine]
    values = resampled_ap("map50", kept)(np.array([[1, 0, 2], [1, 1, 1]]))
    assert np.isnan(values[0])
    assert 0 < values[1] <= 1


@pytest.mark.parametrize("seed", range(5))
def test_an_encoded_part_is_what_coco_makes_of_the_whole(seed: int) -> None:
    from pycocotools import mask as coco

    rng = np.random.default_rng(seed)
    left, top = rng.integers(0, 6, 2)
    part = rng.random((9, 14 - top)) < 0.7  # to the lower edge: runs go on in the next column
    part[2:4] = True
    whole = np.zeros((14, 20), np.uint8, order="F")
    whole[top:, left : left + 9] = part.T
    assert encoded(part, left=left, top=top, size=(20, 14)) == coco.encode(whole)


@pytest.mark.parametrize("filled", [False, True])
def test_an_image_of_one_value_is_encoded(*, filled: bool) -> None:
    from pycocotools import mask as coco

    whole = np.full((5, 7), filled, np.uint8, order="F")
    part = np.full((7, 5), filled)
    assert encoded(part, left=0, top=0, size=(7, 5)) == coco.encode(whole)


def test_a_pasted_mask_is_the_shape_that_was_drawn() -> None:
    """A disc of an input half as large as the image comes back at the image's size."""
    from faster_coco_eval.core import mask as coco

    rows, columns = np.mgrid[:SIDE, :SIDE] + 0.5
    disc = (columns - 90) ** 2 + (rows - 60) ** 2 <= 40**2
    # Its share of each cell of 8 x 8 pixels of the image, 4 x 4 of the input.
    mask = disc.reshape(SIDE // 8, 8, SIDE // 8, 8).mean(axis=(1, 3)).astype(np.float32)
    box = np.array([50, 20, 130, 100], np.float32)
    rle = pasted(mask, box, size=(SIDE, SIDE), scale=(0.5, 0.5), side=SIDE // 2)
    found = coco.decode(rle).astype(bool)
    assert (found & disc).sum() / (found | disc).sum() > 0.97
    assert not found[:, 130:].any()
    assert not found[100:].any()


def test_a_box_without_an_area_has_an_empty_mask() -> None:
    from pycocotools import mask as coco

    box = np.array([50, 20, 50, 20], np.float32)
    rle = pasted(np.ones((4, 4), np.float32), box, size=(60, 40), scale=(1.0, 1.0), side=60)
    assert coco.area(rle) == 0


def one_image(true: int, found: list[tuple[float, int | None]], label: int = 0) -> dict[str, Any]:
    """Return objects of one image and class: each found one by its score and the true one."""
    sides = np.array([0.0, 0.0, 8.0, 8.0], np.float32)
    true_boxes = np.array([sides + 10 * i for i in range(true)], np.float32).reshape(-1, 4)
    places = [sides + (200 + 10 * i if of is None else 10 * of) for i, (_, of) in enumerate(found)]
    return {
        "images": np.array([[400, 400]]),
        "found_boxes": np.array(places, np.float32).reshape(-1, 4),
        "found_labels": np.full(len(found), label),
        "found_images": np.zeros(len(found), np.int64),
        "found_scores": np.array([score for score, _ in found]),
        "true_boxes": true_boxes,
        "true_labels": np.full(true, label),
        "true_images": np.zeros(true, np.int64),
        "true_crowd": np.zeros(true, np.bool_),
        "true_areas": np.full(true, 64.0),
    }


MIXED: list[tuple[float, int | None]] = [(0.9, 0), (0.8, 1), (0.7, None), (0.6, 2), (0.5, None)]


def test_objects_count_from_the_score_with_the_best_f1() -> None:
    """A detector of a few epochs has no score of 0.3, and once showed nothing of what it found."""
    assert best_f1_score(one_image(4, MIXED), 1) == pytest.approx(0.6)
    early = [(score / 50, of) for score, of in MIXED]
    assert best_f1_score(one_image(4, early), 1) == pytest.approx(0.012)
    assert best_f1_score(one_image(2, [(0.9, 0), (0.8, 1)]), 1) == pytest.approx(0.8)


@pytest.mark.parametrize("score", [0.00042, 0.001, 0.00100001, 3e-9, 0.9999])
def test_the_score_with_the_best_f1_is_none_that_leaves_all_objects_out(score: float) -> None:
    found = one_image(1, [(score, 0)])
    assert 0.5 * score < best_f1_score(found, 1) <= found["found_scores"][0]


def test_each_class_counts_alike_in_the_best_f1() -> None:
    """One class alone has its best at 0.6, the other at 0.3."""
    first, second = one_image(4, MIXED), one_image(1, [(0.3, 0)], label=1)
    both = {name: np.concatenate([first[name], second[name]]) for name in first}
    both["images"] = first["images"]
    assert best_f1_score(both, 2) == pytest.approx(0.3)


@pytest.mark.parametrize(
    "nothing", [one_image(0, [(0.9, None)]), one_image(3, []), one_image(3, [(0.9, None)])]
)
def test_without_a_found_object_there_is_no_best_f1(nothing: dict[str, Any]) -> None:
    assert best_f1_score(nothing, 1) == SCORE_MIN


def scores_and_f1(saved: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """Return the scores of what is found of one class, best first, and F1 from each score on.

    Each object counts once.
    """
    ranks = np.argsort(-saved["found_scores"], kind="stable")
    true_boxes = saved["true_boxes"].astype(float)
    taken: set[int] = set()
    hits = []
    for row in ranks:
        x1, y1, x2, y2 = saved["found_boxes"][row].astype(float)
        best, best_iou = None, 0.5
        for i, box in enumerate(true_boxes):
            if saved["true_images"][i] != saved["found_images"][row] or i in taken:
                continue
            inside = max(0.0, min(x2, box[2]) - max(x1, box[0]))
            inside *= max(0.0, min(y2, box[3]) - max(y1, box[1]))
            either = (x2 - x1) * (y2 - y1) + (box[2] - box[0]) * (box[3] - box[1]) - inside
            if inside / either >= best_iou:
                best, best_iou = i, inside / either
        if best is not None:
            taken.add(best)
        hits.append(len(taken))
    scores = saved["found_scores"][ranks]
    assert (np.diff(scores) < 0).all()  # equal ones would count together
    return scores, 2 * np.array(hits) / (np.arange(1, len(hits) + 1) + len(true_boxes))


@pytest.mark.parametrize("seed", range(3))
def test_no_other_score_has_a_much_larger_f1(seed: int) -> None:
    saved = findings(seed, classes=1, n_found=60, n_true=30)
    scores, f1 = scores_and_f1(saved)
    n_above = int((scores >= best_f1_score(saved, 1)).sum())
    assert n_above > 0
    assert f1[n_above - 1] > f1.max() - 0.02
