from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest

from archfront.trainers.tasks.judges.average_precision import coco_metrics
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
@pytest.mark.parametrize("metric", METRICS)
def test_an_image_that_counts_more_is_one_that_is_there_more_often(case: str, metric: str) -> None:
    kept = findings(7, **CASES[case])
    names = [str(k) for k in range(CASES[case].get("classes", 3))]
    n = len(kept["images"])
    weights = np.random.default_rng(0).multinomial(n, np.full(n, 1 / n), size=20)
    values = resampled_ap(metric, kept)(weights)
    expected = [coco_metrics(repeated(kept, row), names)[metric] for row in weights]
    assert values == pytest.approx(np.array(expected), abs=1e-6)
    assert np.ptp(values) > 0.01


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
