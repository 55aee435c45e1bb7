"""Images of any size through a network of tiles: cut, predicted and put together."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any, Self

import numpy as np
import pytest
from faster_coco_eval.core import mask as coco
from numpy.typing import NDArray
from scipy import ndimage

from archfront.search.errors import ArtifactError
from archfront.search.predict.answer import answer
from archfront.search.predict.draw import drawn
from archfront.search.predict.manifest import Manifest
from archfront.search.predict.predictor import Predictor
from archfront.trainers.data.tiles import Tiling
from tests.support import described_export

SIDE, TILING = 32, Tiling(64, 0.25)
# x1, y1, x2, y2 of bright rectangles in an image of 180 x 130 px.
BRIGHT = ((4, 4, 14, 10), (40, 20, 100, 40), (60, 60, 70, 76), (150, 100, 180, 130))


class BrightRectangles:
    """A network that finds every bright rectangle of its input, and their pixels."""

    def __init__(self, *, labels: int = 1) -> None:
        self.n_images: list[int] = []
        self.label = labels - 1

    def outputs(self, images: NDArray[np.uint8]) -> dict[str, NDArray[Any]]:
        self.n_images.append(len(images))
        is_bright = images[:, 0] > 200
        detections = np.zeros((len(images), 100, 6), np.float32)
        masks = np.zeros((len(images), 100, SIDE, SIDE), np.float32)
        for i, bright in enumerate(is_bright):
            for k, (rows, columns) in enumerate(ndimage.find_objects(ndimage.label(bright)[0])):
                box = columns.start, rows.start, columns.stop, rows.stop
                detections[i, k] = *box, 0.9, self.label
                masks[i, k, rows, columns] = 1
        logits = np.stack([~is_bright, is_bright, is_bright & False], axis=1)
        return {
            "boxes": detections[:, :, :4],
            "scores": detections[:, :, 4:5],
            "detections": detections,
            "masks": masks,
            "logits": logits.astype(np.float32),
        }

    def __enter__(self) -> Self:
        """Return the network, which holds nothing."""
        return self

    def __exit__(self, *raised: object) -> None:
        """Free nothing."""


def manifest(task: str) -> Manifest:
    plain = described_export.manifest(task)
    preprocess = replace(plain.preprocess, input_size=SIDE, tiling=TILING, interpolation="nearest")
    return replace(plain, preprocess=preprocess)


def opened(task: str, network: BrightRectangles, batch: int | None = 4) -> Predictor:
    artifact = described_export.artifact("onnx-int8")
    given = replace(artifact.input, batch=batch, shape=(3, SIDE, SIDE))
    return Predictor(manifest(task), replace(artifact, input=given), network)


def picture() -> NDArray[np.uint8]:
    pixels = np.zeros((130, 180, 3), np.uint8)
    for x1, y1, x2, y2 in BRIGHT:
        pixels[y1:y2, x1:x2] = 255
    return pixels


@pytest.mark.parametrize("task", ["detection", "instance"])
@pytest.mark.parametrize("batch", [1, 4, None])
def test_objects_are_found_once_in_the_pixels_of_the_image(task: str, batch: int | None) -> None:
    network = BrightRectangles()
    with opened(task, network, batch) as predictor:
        asked = predictor.predicted(picture())
        said = json.loads(json.dumps(answer(asked)))
    n_tiles = TILING.count(180, 130)
    assert sum(network.n_images) >= n_tiles
    assert max(network.n_images) == (batch or n_tiles)
    assert (said["width"], said["height"]) == (180, 130)
    found = np.array(sorted(tuple(one["box"]) for one in said["objects"]))
    assert found == pytest.approx(np.array(BRIGHT), abs=2)  # two px of the image are one of a tile
    assert {one["label"] for one in said["objects"]} == {"daisy"}
    if task == "instance":
        for one in said["objects"]:
            x1, y1, x2, y2 = one["box"]
            mask = coco.decode({**one["mask"], "counts": one["mask"]["counts"].encode()})
            assert mask.shape == (130, 180)
            assert mask.sum() == pytest.approx((x2 - x1) * (y2 - y1), rel=0.3)
    assert drawn(picture(), asked, said).size[0] >= 180


def test_the_classes_of_pixels_are_put_together() -> None:
    with opened("semantic", BrightRectangles()) as predictor:
        asked = predictor.predicted(picture())
        said = answer(asked)
    is_bright = picture()[..., 0] > 200
    assert (asked.classes != is_bright).mean() < 0.03
    assert sum(one["share"] for one in said["classes"]) == pytest.approx(1)
    assert drawn(picture(), asked, said).size[0] >= 180


def test_an_image_of_one_tile_is_predicted_as_it_is() -> None:
    network = BrightRectangles()
    with opened("detection", network, 1) as predictor:
        said = answer(predictor.predicted(picture()[:64, :64]))
    assert network.n_images == [1]
    boxes = [one["box"] for one in said["objects"]]
    assert boxes == [[4, 4, 14, 10], [40, 20, 64, 40], [60, 60, 64, 64]]


def test_scores_below_the_least_do_not_count() -> None:
    with opened("detection", BrightRectangles()) as predictor:
        assert answer(predictor.predicted(picture(), 0.95))["objects"] == []


def test_outputs_that_are_not_those_of_the_task_are_refused_with_their_shapes() -> None:
    with opened("detection", BrightRectangles(labels=9)) as predictor:
        asked = predictor.predicted(picture())
        with pytest.raises(ArtifactError, match=r"'detections': \[100, 6\].* of detection with 3"):
            answer(asked)


def test_a_manifest_keeps_the_tiling_and_one_without_says_nothing_of_it() -> None:
    cut, plain = manifest("detection"), described_export.manifest()
    content = json.loads(json.dumps(cut.as_dict()))
    assert content["preprocess"]["tiling"] == {"size": 64, "overlap": 0.25}
    assert Manifest.from_dict(content).preprocess == cut.preprocess
    assert "tiling" not in plain.as_dict()["preprocess"]
    content["preprocess"]["tiling"] = {"size": 0, "overlap": 0.25}
    with pytest.raises(ArtifactError, match="does not fit"):
        Manifest.from_dict(content)
