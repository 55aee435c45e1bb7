from __future__ import annotations

import json
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from faster_coco_eval.core import mask as coco
from PIL import Image

from archfront.trainers.data.raw import RawData, RawSample
from archfront.trainers.data.readers import READERS, Reader
from archfront.trainers.data.targets import IGNORED, Labels, Mask, Objects, TargetKind, no_objects
from archfront.trainers.drawing import gallery
from archfront.trainers.drawing.colors import N_COLORS, PALETTE, class_color
from archfront.trainers.drawing.gallery import READ, chosen, judged, write_gallery, write_mistakes
from archfront.trainers.drawing.labels import with_labels
from archfront.trainers.drawing.panels import RIGHT, TINT, TITLES, WRONG, DrawnPrediction, panel
from archfront.trainers.drawing.paper import (
    LINES_MAX,
    PAPER,
    SIDE,
    WIDTH,
    Line,
    Panel,
    captioned,
    grid,
    shown,
    tag_size,
)
from archfront.trainers.errors import DataError
from archfront.trainers.networks.backbone import preprocess_for
from archfront.trainers.spec import Architecture, Weights
from archfront.trainers.tasks import TASKS
from archfront.trainers.tasks.judges import average_precision
from archfront.trainers.tasks.judges.average_precision import packed
from tests.support.drawn_images import REF, draw_folder
from tests.support.small_truth import samples_of

NAMES = ("cat", "dog", "bird")
GREY = np.full((40, 80, 1), 100, np.uint8)


def texts(one: Panel) -> list[str]:
    return [line.text for line in one.lines]


def objects(*boxes: tuple[float, ...], labels: tuple[int, ...], **more: object) -> Objects:
    n = len(labels)
    kept = np.array(boxes, np.float32).reshape(n, 4)
    return Objects(kept, np.array(labels, np.int64), np.zeros(n, np.bool_), **more)


def at(picture: Image.Image, x: float, y: float) -> tuple[int, ...]:
    """Return the color at a place of the 80 x 40 image, in the picture of it."""
    return picture.getpixel((int(x * SIDE / 80), int(y * SIDE / 80)))


def test_a_picture_keeps_the_shape_of_its_image() -> None:
    assert shown(GREY).size == (SIDE, SIDE // 2)
    assert shown(GREY.transpose(1, 0, 2)).size == (SIDE // 2, SIDE)
    assert shown(np.zeros((1, 500, 3), np.uint8)).size == (SIDE, 1)


def test_tiny_images_keep_their_squares() -> None:
    checks = (np.indices((8, 8)).sum(axis=0) % 2 * 255).astype(np.uint8)[..., None]
    assert set(np.unique(np.asarray(shown(checks)))) == {0, 255}


@pytest.mark.parametrize(
    ("truth", "color", "said"), [(1, RIGHT, "right"), (2, WRONG, "wrong, it is bird")]
)
def test_a_label_is_framed_and_said_right_or_wrong(
    truth: int, color: tuple[int, int, int], said: str
) -> None:
    prediction = DrawnPrediction(scores=np.array([0.2, 0.7, 0.1]))
    one = panel("label", GREY, truth, prediction, NAMES)
    assert texts(one) == ["dog 0.70", said]
    assert one.lines[0].color == color
    assert one.pictures[0].getpixel((0, 0)) == color


def test_labels_are_right_wrong_or_missed() -> None:
    prediction = DrawnPrediction(scores=np.array([0.9, 0.6, 0.1]))
    one = panel("labels", GREY, Labels((0, 2)), prediction, NAMES)
    assert texts(one) == ["cat 0.90", "dog 0.60, wrong", "bird 0.10, missed"]
    assert [line.color for line in one.lines] == [RIGHT, WRONG, WRONG]
    assert one.pictures[0].getpixel((0, 0)) == WRONG
    none = panel("labels", GREY, Labels(()), DrawnPrediction(scores=np.zeros(3)), NAMES)
    assert (texts(none), none.lines[0].color) == (["nothing, right"], RIGHT)


def test_masks_tint_the_image_and_leave_what_is_ignored() -> None:
    true = np.zeros((40, 80), np.uint8)
    true[:, 40:] = 1
    true[:, 70:] = IGNORED
    found = np.zeros((4, 8), np.uint8)  # a tenth of the size
    one = panel("mask", GREY, Mask(true), DrawnPrediction(mask=found), NAMES)
    mixed = [
        tuple(round((1 - TINT) * 100 + TINT * value) for value in class_color(label))
        for label in (0, 1)
    ]
    left, right = one.pictures
    assert (at(left, 20, 20), at(left, 60, 20), at(left, 75, 20)) == (*mixed, (100,) * 3)
    assert (at(right, 20, 20), at(right, 60, 20), at(right, 75, 20)) == (
        mixed[0],
        mixed[0],
        (100,) * 3,
    )
    assert texts(one) == ["cat, IoU 0.57", "dog, IoU 0.00"]
    assert one.lines[1].swatch == PALETTE[1]


def test_boxes_lie_where_they_are_in_the_image() -> None:
    true = objects((10, 5, 30, 35), labels=(0,))
    found = objects((40, 10, 70, 30), (0, 0, 9, 9), labels=(2, 1))
    prediction = DrawnPrediction(scores=np.array([0.8, 0.1]), objects=found, score_min=0.3)
    one = panel("boxes", GREY, true, prediction, NAMES)
    left, right = one.pictures
    assert at(left, 10, 20) == class_color(0)
    assert at(left, 20, 20) == (100, 100, 100)
    assert at(right, 40, 20) == class_color(2)
    assert at(right, 4.5, 0) == (100, 100, 100), "a score under the least was drawn"
    assert texts(one) == ["cat: 1 true, 0 found", "bird: 0 true, 1 found"]


def test_labels_hide_no_object() -> None:
    """Labels of small objects covered them and their neighbors."""
    rng = np.random.default_rng(3)
    corners = rng.uniform(0, 150, (30, 2))
    boxes = np.concatenate([corners, corners + rng.uniform(4, 14, (30, 2))], axis=1)
    colors = [class_color(n % 3) for n in range(30)]
    texts = [f"nucleus 0.{n:02}" for n in range(30)]
    plain = Image.new("RGB", (168, 168), (7, 7, 7))
    homeless = with_labels(plain, boxes, texts, colors)
    assert 0 < len(homeless) < 30
    inside = np.zeros((168, 168), np.bool_)
    for x1, y1, x2, y2 in boxes.astype(int):
        inside[y1 + 2 : y2 - 1, x1 + 2 : x2 - 1] = True
    frames = Image.new("RGB", (168, 168), (7, 7, 7))
    assert len(with_labels(frames, boxes, ["x" * 99] * 30, colors)) == 30
    assert (np.asarray(plain) != np.asarray(frames)).any(2).sum() > 30 * 20
    assert (np.asarray(plain)[inside] == np.asarray(frames)[inside]).all()


def test_a_label_lies_beside_a_small_object_and_within_a_large_one() -> None:
    width, height = tag_size("cat 0.90")
    image = Image.new("RGB", (168, 168), (7, 7, 7))
    assert with_labels(image, np.array([[50.0, 60, 60, 70]]), ["cat 0.90"], [(255, 0, 0)]) == []
    pixels = np.asarray(image)
    assert (pixels[61:69, 51:59] == 7).all()
    assert (pixels[60 - 2 - height, 50 : 50 + width] == (255, 0, 0)).all()
    image = Image.new("RGB", (168, 168), (7, 7, 7))
    assert with_labels(image, np.array([[0.0, 0, 168, 168]]), ["cat 0.90"], [(255, 0, 0)]) == []
    assert (np.asarray(image)[4, :2] == (255, 0, 0)).all()
    narrow = Image.new("RGB", (20, 20), (7, 7, 7))
    assert with_labels(narrow, np.array([[2.0, 2, 9, 9]]), ["cat 0.90"], [(255, 0, 0)]) == [0]


def test_colors_of_many_classes_are_told_apart() -> None:
    """Of thirty classes some had nearly one color."""
    colors = np.array([class_color(label) for label in range(N_COLORS)], int)
    assert [tuple(color) for color in colors[: len(PALETTE)]] == list(PALETTE)
    apart = np.abs(colors[:, None] - colors[None]).sum(axis=2) + 999 * np.eye(N_COLORS, dtype=int)
    assert apart[:32, :32].min() >= 40  # 15 with hues alone
    assert apart.min() >= 30
    assert class_color(N_COLORS) == class_color(0)


def test_words_below_a_picture_hide_nothing_of_it() -> None:
    image = Image.new("RGB", (30, 40), (9, 9, 9))
    drawn = np.asarray(captioned(image, [Line("cat 0.90", swatch=PALETTE[0])]))
    assert (drawn[:40, :30] == 9).all()
    assert (drawn[:40, 30:] == PAPER).all()
    assert (drawn[40:] == PALETTE[0]).all(axis=2).any()


def test_outlines_are_filled_whether_polygon_or_run_lengths() -> None:
    corner = ((10.0, 5.0, 30.0, 5.0, 30.0, 35.0, 10.0, 35.0),)
    counts = {"size": [40, 80], "counts": [0, 40 * 40, 40 * 40]}  # the left half
    true = objects((10, 5, 30, 35), labels=(0,), segments=(corner,))
    found = objects((0, 0, 40, 40), labels=(1,), segments=(counts,))
    one = panel("outlines", GREY, true, DrawnPrediction(np.ones(1), objects=found), NAMES)
    left, right = one.pictures
    tint = [tuple(round((1 - TINT) * 100 + TINT * v) for v in class_color(n)) for n in (0, 1)]
    assert (at(left, 20, 25), at(left, 50, 25)) == (tint[0], (100, 100, 100))
    assert (at(right, 20, 25), at(right, 60, 25)) == (tint[1], (100, 100, 100))


@pytest.mark.parametrize(
    ("n_true", "said"), [(2, ["the best 30"]), (35, ["the best 35"]), (50, [])]
)
def test_all_found_objects_are_counted_and_as_many_are_drawn_as_are_true(
    n_true: int, said: list[str]
) -> None:
    """Of crowded images the count of what was found ended at 30, and so did what was drawn."""
    rows = [(float(n), 5.0, n + 1.0, 35.0) for n in range(50)]
    true, found = objects(*rows[:n_true], labels=(0,) * n_true), objects(*rows, labels=(0,) * 50)
    scores = np.linspace(0.9, 0.4, 50)
    one = panel("boxes", GREY, true, DrawnPrediction(scores, objects=found), NAMES)
    more = [f"of those found {best} are drawn" for best in said]
    assert texts(one) == [f"cat: {n_true} true, 50 found", *more]
    row = np.asarray(one.pictures[1])[30 * SIDE // 80]  # below the texts
    last = np.flatnonzero((row != 100).any(axis=1)).max() * 80 / SIDE
    assert round(last) == min(50, max(30, n_true))


def test_an_image_without_objects_says_so() -> None:
    nothing = DrawnPrediction(np.zeros(0), objects=no_objects())
    assert texts(panel("boxes", GREY, no_objects(), nothing, NAMES)) == [
        "nothing true, nothing found"
    ]


def test_a_crowd_is_not_drawn_as_an_object() -> None:
    crowd = replace(objects((0, 0, 60, 38), labels=(0,)), crowd=np.ones(1, np.bool_))
    nothing = DrawnPrediction(np.zeros(0), objects=no_objects())
    one = panel("boxes", GREY, crowd, nothing, NAMES)
    assert (np.asarray(one.pictures[0]) == 100).all()


def test_many_lines_end_with_how_many_are_left_out() -> None:
    scores = DrawnPrediction(scores=np.linspace(0.9, 0.6, 9))
    one = panel("labels", GREY, Labels(()), scores, [f"class {i}" for i in range(9)])
    assert len(one.lines) == LINES_MAX
    assert texts(one)[-1] == "and 5 more"


@pytest.mark.parametrize("n", [1, 2, 7, 12])
@pytest.mark.parametrize("n_pictures", [1, 2])
def test_a_grid_is_as_wide_as_a_page_and_cuts_long_words(n: int, n_pictures: int) -> None:
    line = Line("a very long name of a class, çédille, 漢字 " * 5)
    one = Panel((shown(GREY),) * n_pictures, (line,))
    paper = grid([one] * n, "title")
    assert paper.width <= WIDTH + SIDE
    right = np.asarray(paper)[:, -6:]
    assert (right == 255).all(), "words run out of the paper"


def test_a_grid_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one panel"):
        grid([], "title")


def test_the_same_seed_shows_the_same_images() -> None:
    assert chosen(100, 3) == chosen(100, 3) != chosen(100, 4)
    assert len(set(chosen(100, 3))) == 12
    assert chosen(5, 3) == [0, 1, 2, 3, 4]


SIDE_PX, N_VAL = 24, 4


def reading(kind: TargetKind) -> RawData:
    """Return 16 drawn images with targets of a kind."""
    samples = samples_of(kind, 16, classes=3, side=SIDE_PX)
    raw = tuple(RawSample(s.source, s.target, s.name) for s in samples)
    return RawData("drawn images", NAMES, {"train": raw[N_VAL:], "val": raw[:N_VAL]})


@pytest.mark.parametrize("name", TASKS)
def test_what_the_evaluator_of_a_task_saves_becomes_a_picture(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = TASKS[name]
    kind = task.target
    monkeypatch.setitem(READERS, "drawn", Reader(lambda ref: reading(kind), (kind,)))
    data = replace(REF, reader="drawn", target=kind, name=name)
    grid = task.grid(task.heads[0])
    shape = {
        "width": 32 * grid.width,
        "depth": max(2, grid.depths[0]) * grid.depth,
        "finest": max(grid.finest, default=0),
    }
    a = Architecture(name, "test_resnet", task.heads[0], 64, 3, 3, **shape)
    samples = samples_of(kind, N_VAL, classes=3, side=SIDE_PX)
    evaluator = task.evaluator(samples, NAMES, preprocess_for(a, Weights(), task.resize))
    with torch.no_grad():
        model = task.build(a, Weights()).eval()
        evaluator.update(task.predict(model, task.example(a, N_VAL, 0)))
    np.savez(tmp_path / "kept.npz", **evaluator.saved_predictions())
    first, second = (
        write_gallery(judged(a, data, tmp_path / "kept.npz"), tmp_path / file).read_bytes()
        for file in ("first.png", "second.png")
    )
    assert first == second
    picture = Image.open(BytesIO(first))
    assert picture.format == "PNG"
    assert picture.width > 2 * SIDE
    assert {p.name for p in tmp_path.iterdir()} == {"kept.npz", "first.png", "second.png"}
    worst, details = tmp_path / "mistakes.png", tmp_path / "details.json"
    write_mistakes(judged(a, data, tmp_path / "kept.npz"), worst, details)
    assert Image.open(BytesIO(worst.read_bytes())).width > 2 * SIDE
    found = json.loads(details.read_text(encoding="utf-8"))
    assert found["class_names"] == list(NAMES)
    assert all(len(column) == 3 for column in found["metrics"].values())
    assert bool(found["confusion"]) == (kind in ("label", "mask"))


def test_a_title_has_every_digit_of_the_score() -> None:
    assert "of at least 0.999," in gallery._title("boxes", 0.999)


def test_objects_are_evaluated_once_for_all_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The evaluation of many objects takes seconds, and was done three times."""
    monkeypatch.setitem(READERS, "drawn", Reader(lambda ref: reading("boxes"), ("boxes",)))
    data = replace(REF, reader="drawn", target="boxes", name="detection")
    a = Architecture("detection", "test_resnet", "yolo", 64, 3, 3, finest=3)
    samples, task = samples_of("boxes", N_VAL, classes=3, side=SIDE_PX), TASKS["detection"]
    evaluator = task.evaluator(samples, NAMES, preprocess_for(a, Weights(), task.resize))
    evaluator.update({"detections": torch.zeros(N_VAL, 10, 6)})
    np.savez(tmp_path / "kept.npz", **evaluator.saved_predictions())
    evaluate, calls = average_precision._evaluated, []

    def counted(*words: Any) -> Any:
        calls.append(words)
        return evaluate(*words)

    monkeypatch.setattr(average_precision, "_evaluated", counted)
    said = judged(a, data, tmp_path / "kept.npz")
    write_gallery(said, tmp_path / "gallery.png")
    write_mistakes(said, tmp_path / "mistakes.png", tmp_path / "details.json")
    assert len(calls) == 1
    assert said.details.score_min == average_precision.best_f1_score(said.saved, 3)


def test_found_objects_are_those_of_their_image() -> None:
    [sample] = samples_of("outlines", 1, classes=3, side=SIDE_PX)
    masks = [np.eye(SIDE_PX, k=k, dtype=np.uint8).copy("F") for k in (0, 3)]
    outlines = [coco.encode(mask) for mask in masks]
    content, ends = packed([outline["counts"] for outline in outlines])
    kept = {
        "images": np.array([[SIDE_PX, SIDE_PX]] * 2),
        "found_images": np.array([0, 1]),
        "found_boxes": np.array([[1, 1, 8, 8], [2, 2, 6, 7]], np.float32),
        "found_labels": np.array([0, 2]),
        "found_scores": np.array([0.9, 0.5]),
        "found_masks": content,
        "found_mask_ends": ends,
    }
    said = READ["outlines"](kept, 1, sample, Architecture("instance", "x", "y", 64, 3, 3))
    assert said.objects is not None
    assert said.objects.boxes.tolist() == [[2, 2, 6, 7]]
    assert (said.objects.labels.tolist(), said.scores) == ([2], 0.5)
    assert np.array_equal(coco.decode(said.objects.segments[0]), masks[1])


def test_predictions_of_other_data_are_refused(tmp_path: Path) -> None:
    data = draw_folder(tmp_path / "images", {"cat": 8, "dog": 8})
    np.savez(tmp_path / "kept.npz", images=np.arange(7))
    a = Architecture("classification", "test_resnet", "avg", 32, 2, 3)
    with pytest.raises(DataError, match=r"for 7 images and the val split has 4\. Did the"):
        judged(a, data, tmp_path / "kept.npz")


def test_every_kind_of_target_has_its_title() -> None:
    assert set(TITLES) == {"label", "labels", "mask", "boxes", "outlines"}
