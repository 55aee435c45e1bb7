"""Targets: classes mapped, objects checked, and what a network of some size learns of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from archfront.trainers.data.batch_targets import batch_targets
from archfront.trainers.data.images import image_size, read_colors, read_index
from archfront.trainers.data.objects import (
    Found,
    checked_objects,
    gathered,
    rasterized,
    resized_rle,
    rle_of,
)
from archfront.trainers.data.preprocess import Preprocess, Resize
from archfront.trainers.data.readers.coco_objects import unpacked
from archfront.trainers.data.readers.shapes import run_lengths
from archfront.trainers.data.targets import (
    IGNORED,
    Labels,
    Mask,
    Objects,
    Segment,
    class_counts,
    digest,
    no_objects,
    relabeled,
)
from archfront.trainers.data.verify import Sample
from archfront.trainers.errors import DataError
from tests.support import coco_oracle as oracle
from tests.support.drawn_images import draw

TRIANGLE = ((2.0, 2.0, 30.0, 6.0, 10.0, 18.0),)
TWO_PARTS = ((1.0, 1.0, 9.0, 1.0, 9.0, 9.0, 1.0, 9.0), (20.0, 5.0, 38.0, 5.0, 38.0, 15.0))
WIDTH, HEIGHT = 40, 20
OUTLINES: dict[str, Segment] = {
    "a polygon": TRIANGLE,
    "two polygons": TWO_PARTS,
    "runs": {"size": [HEIGHT, WIDTH], "counts": [45, 10, 10, 10, 725]},
}


def mask_of(segment: Segment) -> NDArray[np.uint8]:
    """Return the mask that pycocotools makes of an outline."""
    return oracle.decode(oracle.packed(segment, WIDTH, HEIGHT))


def preprocess(side: int, resize: Resize) -> Preprocess:
    return Preprocess(side, 1, mean=(0.5,), std=(0.5,), resize=resize)


def sample_of(target: Any, width: int = WIDTH, height: int = HEIGHT) -> Sample:
    source = draw(0, width=width, height=height, channels=1)[..., None]
    return Sample(source, target, "a", width, height, is_grey=True, digest="0")


def objects(*boxes: tuple[float, ...], **options: Any) -> Objects:
    found = [Found(box, label, f"box {label}") for label, box in enumerate(boxes)]
    return gathered(found, has_outlines=False)


class TestOutlines:
    @pytest.mark.parametrize("name", OUTLINES)
    def test_they_are_rasterized_as_by_pycocotools(self, name: str) -> None:
        found = [Found((0, 0, 1, 1), 4, "x", segment=OUTLINES[name])]
        drawn = rasterized(gathered(found, has_outlines=True), np.array([4]), WIDTH, HEIGHT)
        assert np.array_equal(drawn, mask_of(OUTLINES[name]) * 4)
        assert 0 < drawn.astype(bool).sum() < WIDTH * HEIGHT

    @pytest.mark.parametrize("seed", range(20))
    def test_any_polygon_is_rasterized_as_by_pycocotools(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        corners = rng.uniform(-5, 45, 2 * int(rng.integers(3, 9)))
        segment = (tuple(corners.tolist()),)
        ours = oracle.decode(rle_of(segment, WIDTH, HEIGHT))
        assert np.array_equal(ours, mask_of(segment))

    @pytest.mark.parametrize("name", OUTLINES)
    def test_a_compressed_encoding_is_the_same_outline(self, name: str) -> None:
        packed = oracle.encode(mask_of(OUTLINES[name]))
        for counts in (packed["counts"], packed["counts"].decode()):
            again = rle_of({"size": [HEIGHT, WIDTH], "counts": counts}, WIDTH, HEIGHT)
            assert np.array_equal(oracle.decode(again), mask_of(OUTLINES[name]))

    @pytest.mark.parametrize("seed", range(20))
    def test_runs_are_those_of_pycocotools_packed_and_unpacked(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        shape = tuple(rng.integers(1, 90, 2).tolist())
        mask = np.kron(rng.random(shape) < rng.random(), np.ones((3, 7))).astype(bool)
        runs = run_lengths(mask)
        assert isinstance(runs, dict)
        packed = oracle.packed(runs, mask.shape[1], mask.shape[0])
        assert np.array_equal(oracle.decode(packed), mask)
        assert unpacked(packed["counts"].decode()) == runs["counts"]

    def test_later_objects_lie_over_earlier_ones_and_crowds_do_not_count(self) -> None:
        square = ((0.0, 0.0, 10.0, 0.0, 10.0, 10.0, 0.0, 10.0),)
        inner = ((2.0, 2.0, 6.0, 2.0, 6.0, 6.0, 2.0, 6.0),)
        found = [
            Found((0, 0, 10, 10), 0, "a", segment=square),
            Found((2, 2, 6, 6), 1, "b", segment=inner),
            Found((20, 0, 30, 10), 1, "c", is_crowd=True, segment=inner),
        ]
        both = rasterized(gathered(found[:2], has_outlines=True), np.array([7, 8]), 20, 20)
        assert (both == 8).sum() == 16
        assert (both == 7).sum() == 84
        crowd = rasterized(gathered(found, has_outlines=True), np.array([7, 8, 8]), 20, 20)
        assert (crowd == IGNORED).sum() == 16

    @pytest.mark.parametrize("resize", ["squash", "pad"])
    @pytest.mark.parametrize("side", [13, 40, 96])
    @pytest.mark.parametrize("name", ["a polygon", "two polygons"])
    def test_runs_are_resized_as_polygons_are(self, name: str, side: int, resize: Resize) -> None:
        scale = preprocess(side, resize).scale(WIDTH, HEIGHT)
        runs = run_lengths(mask_of(OUTLINES[name]).astype(bool))
        one, other = (
            oracle.decode(resized_rle(outline, (WIDTH, HEIGHT), scale, side)).astype(bool)
            for outline in (OUTLINES[name], runs)
        )
        assert one.shape == other.shape == (side, side)
        assert (one & other).sum() / (one | other).sum() > (0.65 if side == 13 else 0.9)
        assert abs(one.sum() - other.sum()) <= max(4, 0.01 * one.sum())


class TestChecks:
    def test_a_box_inside_is_not_touched(self) -> None:
        kept, problems = checked_objects(objects((1, 2, 30, 18)), "a.png", WIDTH, HEIGHT)
        assert kept.boxes.tolist() == [[1, 2, 30, 18]]
        assert problems == ()

    def test_a_box_that_stands_out_by_rounding_is_clipped_in_silence(self) -> None:
        kept, problems = checked_objects(objects((-1.5, 0, 41, 20)), "a.png", WIDTH, HEIGHT)
        assert kept.boxes.tolist() == [[0, 0, 40, 20]]
        assert problems == ()

    def test_a_box_that_stands_out_is_clipped_and_told(self) -> None:
        kept, (problem,) = checked_objects(objects((-9, 0, 20, 20)), "a.png", WIDTH, HEIGHT)
        assert kept.boxes.tolist() == [[0, 0, 20, 20]]
        assert (problem.name, problem.reason) == (
            "a.png, box 0",
            "box outside of the image, clipped",
        )

    @pytest.mark.parametrize(
        ("box", "reason"),
        [
            ((5, 5, 5, 9), "box without an area"),
            ((9, 5, 5, 9), "box without an area"),
            ((50, 5, 60, 9), "box outside of the image"),
            ((5, -9, 9, 0), "box outside of the image"),
            ((5, 5, float("nan"), 9), "box that is no numbers"),
            ((5, 5, float("inf"), 9), "box that is no numbers"),
        ],
    )
    def test_a_box_that_is_none_is_left_out_and_told(
        self, box: tuple[float, ...], reason: str
    ) -> None:
        kept, (problem,) = checked_objects(objects((1, 1, 4, 4), box), "a.png", WIDTH, HEIGHT)
        assert kept.labels.tolist() == [0]
        assert (problem.name, problem.reason) == ("a.png, box 1", reason)

    def test_an_outline_outside_of_the_image_is_left_out_and_told(self) -> None:
        """Its box lay inside, and it became an object without a pixel."""
        inside, outside = ((1.0, 1.0, 9.0, 1.0, 9.0, 9.0),), ((50.0, 1.0, 60.0, 1.0, 60.0, 9.0),)
        boxes = objects((1, 1, 9, 9), (1, 1, 9, 9))
        found = Objects(boxes.boxes, boxes.labels, boxes.crowd, (inside, outside), ("a", "b"))
        kept, (problem,) = checked_objects(found, "a.png", WIDTH, HEIGHT)
        assert kept.segments == (inside,)
        assert (problem.name, problem.reason) == ("a.png, b", "outline outside of the image")

    def test_no_objects_are_no_problem(self) -> None:
        kept, problems = checked_objects(no_objects(), "a.png", WIDTH, HEIGHT)
        assert len(kept) == len(problems) == 0


class TestClasses:
    def test_what_is_shown_is_counted_by_kind(self) -> None:
        crowded = gathered(
            [Found((0, 0, 1, 1), label, "", is_crowd=label == 2) for label in (1, 1, 2)],
            has_outlines=False,
        )
        assert class_counts(3) == {3: 1}
        assert class_counts(Labels((0, 2))) == {0: 1, 2: 1}
        assert class_counts(Mask(Path("x"), counts=(5, 0, 7))) == {0: 5, 2: 7}
        assert class_counts(crowded) == {1: 2}

    def test_a_class_that_is_left_out_takes_its_part_with_it(self) -> None:
        labels = {0: 0, 2: 1}
        assert relabeled(2, labels) == 1
        assert relabeled(1, labels) is None
        assert relabeled(Labels((1, 2)), labels) == Labels((1,))
        kept = relabeled(objects((0, 0, 1, 1), (0, 0, 2, 2), (0, 0, 3, 3)), labels)
        assert isinstance(kept, Objects)
        assert kept.labels.tolist() == [0, 1]
        assert kept.boxes[:, 2].tolist() == [1, 3]
        assert kept.names == ("box 0", "box 2")

    @pytest.mark.parametrize("values", [None, ((0, 0), (1, 1), (2, 2), (IGNORED, IGNORED))])
    def test_the_pixels_of_a_class_that_is_left_out_do_not_count(self, values: Any) -> None:
        indices = np.array([[0, 1, 2], [2, 1, IGNORED]], np.uint8)
        moved = relabeled(Mask(indices, values, counts=(1, 2, 2)), {0: 0, 2: 1})
        assert isinstance(moved, Mask)
        assert moved.indices().tolist() == [[0, IGNORED, 1], [1, IGNORED, IGNORED]]
        assert moved.counts == (1, 2)

    def test_equal_targets_have_equal_digests_and_others_do_not(self) -> None:
        box = objects((0, 0, 1, 1))
        zeros = np.zeros((2, 2), np.uint8)
        different = [3, 4, Labels((1,)), box, objects((0, 0, 1, 2)), Mask(zeros), Mask(zeros + 1)]
        digests = [repr(digest(target)) for target in different]
        assert len(set(digests)) == len(different)
        assert digest(box) == digest(objects((0, 0, 1, 1)))


class TestMaskFiles:
    def saved(self, tmp_path: Path, image: Image.Image) -> Path:
        image.save(tmp_path / "mask.png")
        return tmp_path / "mask.png"

    def test_indices_are_read_whatever_a_palette_shows(self, tmp_path: Path) -> None:
        image = Image.fromarray(np.array([[0, 1], [2, 1]], np.uint8))
        image.putpalette([9, 9, 9, 200, 0, 0, 0, 200, 0])
        file = self.saved(tmp_path, image)
        assert read_index(file).tolist() == [[0, 1], [2, 1]]
        assert read_colors(file)[0, 1].tolist() == [200, 0, 0]

    @pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA", "I;16"])
    def test_indices_in_other_files_are_read(self, tmp_path: Path, mode: str) -> None:
        values = np.array([[0, 1], [2, 255]], np.uint8)
        grey = Image.fromarray(values)
        image = Image.fromarray(values.astype(np.uint16)) if mode == "I;16" else grey.convert(mode)
        assert read_index(self.saved(tmp_path, image)).tolist() == values.tolist()

    def test_values_beyond_255_are_refused(self, tmp_path: Path) -> None:
        file = self.saved(tmp_path, Image.fromarray(np.array([[300]], np.uint16)))
        with pytest.raises(DataError, match="its values reach 300; indices end at 255"):
            read_index(file)

    def test_colors_become_classes_by_the_palette(self) -> None:
        pixels = np.array([[[1, 2, 3], [4, 5, 6]]], np.uint8)
        mask = Mask(pixels, (((4, 5, 6), 0), ((1, 2, 3), 1)))
        assert mask.indices().tolist() == [[1, 0]]

    def test_colors_without_a_palette_and_a_palette_without_colors_are_told(self) -> None:
        with pytest.raises(DataError, match="the mask has colors, and its classes are numbers"):
            Mask(np.zeros((2, 2, 3), np.uint8)).indices()
        with pytest.raises(DataError, match="the mask has no colors;"):
            Mask(np.zeros((2, 2), np.uint8), (((4, 5, 6), 0),)).indices()

    def test_the_size_of_an_image_is_that_after_its_rotation(self, tmp_path: Path) -> None:
        image = Image.new("RGB", (5, 3))
        exif = image.getexif()
        exif[0x0112] = 6
        image.save(tmp_path / "a.jpg", exif=exif)
        assert image_size(tmp_path / "a.jpg") == (3, 5)
        (tmp_path / "b.jpg").write_bytes(b"x")
        assert image_size(tmp_path / "b.jpg") is None


class TestLearned:
    @pytest.mark.parametrize(
        ("resize", "expected"),
        [("squash", [5.0, 5.0, 10.0, 20.0]), ("pad", [5.0, 2.5, 10.0, 10.0])],
    )
    def test_boxes_are_scaled_to_the_input(self, resize: Resize, expected: list[float]) -> None:
        """40 x 20 px to 20 x 20: squashed 0.5 and 1, padded 0.5 both ways."""
        target = objects((10, 5, 20, 20))
        (learned,) = batch_targets([sample_of(target)], preprocess(20, resize), 1).of(
            torch.tensor([0])
        )
        assert learned["boxes"].tolist() == [expected]
        assert learned["boxes"].dtype == torch.float32
        assert learned["labels"].tolist() == [0]

    @pytest.mark.parametrize("resize", ["squash", "pad"])
    @pytest.mark.parametrize(("width", "height"), [(40, 20), (20, 40), (33, 7), (16, 16)])
    def test_a_box_stays_around_what_it_was_around(
        self, resize: Resize, width: int, height: int
    ) -> None:
        """A white rectangle is where its box is, in the image that the network sees."""
        pixels = np.zeros((height, width, 1), np.uint8)
        pixels[2:6, 4:14] = 255
        how = preprocess(64, resize)
        image = how(pixels)[0].numpy().astype(float)
        (learned,) = batch_targets([sample_of(objects((4, 2, 14, 6)), width, height)], how, 1).of(
            torch.tensor([0])
        )
        if resize == "pad":
            across, down = how.inside(width, height)
            image[down:], image[:, across:] = 0, 0
        rows, columns = np.nonzero(image > 127)
        seen = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        assert np.abs(learned["boxes"][0].numpy() - seen).max() <= 1.0

    def test_crowds_are_not_learned(self) -> None:
        found = [Found((0, 0, 9, 9), 0, ""), Found((0, 0, 5, 5), 1, "", is_crowd=True)]
        target = gathered(found, has_outlines=False)
        (learned,) = batch_targets([sample_of(target)], preprocess(8, "pad"), 2).of(
            torch.tensor([0])
        )
        assert learned["labels"].tolist() == [0]
        assert "masks" not in learned

    @pytest.mark.parametrize("resize", ["squash", "pad"])
    def test_outlines_lie_in_their_boxes(self, resize: Resize) -> None:
        found = [
            Found((2, 2, 30, 18), 0, "", segment=TRIANGLE),
            Found((1, 1, 38, 15), 1, "", segment=TWO_PARTS),
        ]
        target = gathered(found, has_outlines=True)
        (learned,) = batch_targets([sample_of(target)], preprocess(60, resize), 2).of(
            torch.tensor([0])
        )
        assert (learned["masks"].shape, learned["masks"].dtype) == ((2, 60, 60), torch.uint8)
        for box, mask in zip(learned["boxes"], learned["masks"], strict=True):
            rows, columns = torch.nonzero(mask, as_tuple=True)
            seen = torch.stack([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
            assert (seen - box).abs().max() <= 2.0

    def test_an_image_without_objects_teaches_that_there_are_none(self) -> None:
        empty = gathered([], has_outlines=True)
        (learned,) = batch_targets([sample_of(empty)], preprocess(8, "pad"), 2).of(
            torch.tensor([0])
        )
        assert learned["boxes"].shape == (0, 4)
        assert learned["masks"].shape == (0, 8, 8)

    def test_a_padded_mask_does_not_count_beside_the_image(self) -> None:
        """40 x 20 px fill the upper half of a padded square, and all of a squashed one."""
        target = Mask(np.full((HEIGHT, WIDTH), 3, np.uint8))
        padded = batch_targets([sample_of(target)], preprocess(16, "pad"), 4).of(torch.tensor([0]))
        assert isinstance(padded, torch.Tensor)
        assert (padded[0, :8] == 3).all()
        assert (padded[0, 8:] == IGNORED).all()
        squashed = batch_targets([sample_of(target)], preprocess(16, "squash"), 4)
        assert squashed.of(torch.tensor([0])).unique().tolist() == [3]  # type: ignore[union-attr]

    def test_a_resized_mask_has_no_value_that_it_had_not(self) -> None:
        values = np.random.default_rng(0).choice([0, 7, IGNORED], (HEIGHT, WIDTH)).astype(np.uint8)
        learned = batch_targets([sample_of(Mask(values))], preprocess(31, "squash"), 8)
        assert learned.of(torch.tensor([0])).unique().tolist() == [0, 7, IGNORED]  # type: ignore[union-attr]

    def test_several_labels_are_a_row_of_ones(self) -> None:
        samples = [sample_of(Labels((0, 2))), sample_of(Labels(()))]
        learned = batch_targets(samples, preprocess(8, "squash"), 3).of(torch.tensor([1, 0]))
        assert isinstance(learned, torch.Tensor)
        assert learned.tolist() == [[0, 0, 0], [1, 0, 1]]
